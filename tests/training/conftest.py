import discs
import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("discs")
    discs.draw(folder)
    return folder


@pytest.fixture
def make_job(pictures):
    return lambda **given: discs.job_on(pictures, **given)
