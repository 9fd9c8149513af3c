import pytest
import torch

from maskwright.core.errors import InputError
from maskwright.models.tensors import read_tensors, write_tensors


def test_no_length_of_the_header_is_taken_for_a_pickle(tmp_path):
    starts = set()
    for padding in range(0, 400, 4):
        path = tmp_path / "w.safetensors"
        write_tensors(path, {"a": torch.arange(3)}, {"note": "x" * padding})
        assert read_tensors(path)[1] == {"note": "x" * padding}
        starts.add(path.read_bytes()[:1])
    assert b"\x80" in starts, "the case this test is for did not occur"


@pytest.mark.parametrize("start", [b"PK\x03\x04" + b"x" * 40, b"\x80\x04\x95" + b"x" * 40])
def test_pickles_are_named_as_such(tmp_path, start):
    path = tmp_path / "w.safetensors"
    path.write_bytes(start)
    with pytest.raises(InputError) as caught:
        read_tensors(path)
    assert str(caught.value) == (
        f"{path}: a pickled checkpoint, which can run code when it is opened; "
        "convert it to .safetensors where you trust it"
    )
