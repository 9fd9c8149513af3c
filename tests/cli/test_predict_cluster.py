"""maskwright predict --cluster ray: two workers give the bytes of one process, also when one of them is killed."""

import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from test_predict_scenes import write_raster

NAMES = ("s_classes.tif", "s_probability.tif", "s_classes.tif.aux.xml", "s.json")


@pytest.fixture
def trained(cli, tmp_path, folder_set, write_recipe):
    code, _, err = cli("run", write_recipe(folder_set), "--until", "decide")
    assert code == 0, err
    return tmp_path / "runs" / "tiny"


def test_without_ray_it_says_what_to_install(cli, tmp_path, trained, monkeypatch):
    write_raster(tmp_path / "s.tif", 40, 40)
    monkeypatch.setitem(sys.modules, "ray", None)
    words = ("predict", trained, "--input", "s.tif", "--output", "out")
    code, _, err = cli(*words, "--cluster", "ray")
    assert (code, err) == (
        2,
        "error: --cluster ray: needs the package ray, which is not installed; pip install 'maskwright[ray]'\n",
    )
    code, _, err = cli(*words, "--cluster", "rays")
    assert (code, err) == (2, "error: --cluster: unknown cluster 'rays' (did you mean 'ray'?); use one of: ray\n")
    code, _, err = cli(*words, "--workers", "2")
    assert (code, err) == (2, "error: command line: --workers is for a cluster; add --cluster ray\n")
    assert not (tmp_path / "out").exists()


@pytest.fixture
def cluster(monkeypatch):
    """Two machines of one processor each, as far as Ray knows."""
    pytest.importorskip("ray", reason="ray is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    script = "from ray.cluster_utils import Cluster; c = Cluster(); c.add_node(num_cpus=1); c.add_node(num_cpus=1);"
    script += "print(c.address, flush=True); input(); c.shutdown()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as head:
        address = next(line for line in head.stdout if ":" in line and " " not in line.strip()).strip()
        monkeypatch.setenv("RAY_ADDRESS", address)
        yield head
        head.communicate("\n")


WORDS = ("predict", "runs/tiny", "--input", "s.tif", "--window", "32", "--overlap", "8", "--output")


@pytest.fixture
def one_thread():
    """Predict here with as many threads as each of the workers."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def working(head: subprocess.Popen) -> list[psutil.Process]:
    """Workers of the cluster that make a piece now."""
    found = []
    for one in psutil.Process(head.pid).children(recursive=True):
        with suppress(psutil.Error):  # it may end meanwhile
            if "ray::_make" in " ".join(one.cmdline()):
                found.append(one)
    return found


@pytest.mark.slow
def test_two_workers_one_of_which_is_killed_give_the_bytes_of_one_process(cli, tmp_path, trained, cluster, one_thread):
    write_raster(tmp_path / "s.tif", 200, 150)
    code, _, err = cli(*WORDS, "alone")
    assert code == 0, err
    command = [sys.executable, "-m", "maskwright", *WORDS, "both", "--cluster", "ray"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as both:
        while both.poll() is None and len(found := working(cluster)) < 2:
            time.sleep(0.01)
        found[0].send_signal(signal.SIGKILL)
        out, err = both.communicate(timeout=300)
    assert both.returncode == 0, err
    assert "predict: 2 workers of 1 threads on a cluster of 2 machines" in out
    assert "warning: predict s: a worker died over row bands " in err
    for name in NAMES:
        assert (tmp_path / "alone" / name).read_bytes() == (tmp_path / "both" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "both").iterdir()) == sorted([*NAMES, "run.lock"])
