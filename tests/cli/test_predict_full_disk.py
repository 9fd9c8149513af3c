"""maskwright predict --input on a disk that is really full: exit code 4, nothing partial, and it goes on with room."""

import os
import subprocess

import pytest
from test_predict_scenes import write_raster


@pytest.fixture
def disk(tmp_path):
    """A tmpfs of 256 kB, and what makes it larger."""
    path = tmp_path / "out"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")

    def grow(size):
        subprocess.run(["mount", "-o", f"remount,size={size}", str(path)], check=True)

    yield path, grow
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_ends_with_4_and_room_lets_it_go_on(cli, tmp_path, folder_set, write_recipe, disk):
    code, _, err = cli("run", write_recipe(folder_set), "--until", "decide")
    assert code == 0, err
    scene, (out, grow) = write_raster(tmp_path / "scene.tif", 700, 260), disk
    words = ("predict", "runs/tiny", "--input", scene, "--window", 64, "--overlap", 16, "--tta", "none", "--output")
    code, _, err = cli(*words, "out")
    assert (code, err.splitlines()[-1].startswith("error: out/.scene.bands: No space left on device (")) == (4, True)
    assert err.endswith(" MiB free); free some space and run again; finished row bands are kept\n")
    grow("500k")  # the row bands fit, the final files do not
    code, said, err = cli(*words, "out")
    assert (code, "row bands were there already" in said) == (4, True), err
    assert "out/scene_probability.tif: could not be written (" in err
    assert "MiB free" in err
    assert sorted(path.name for path in out.iterdir()) == [".scene.bands", "run.lock"]
    grow("2m")
    code, said, err = cli(*words, "out")
    assert (code, "predict scene: 15 of 15 row bands were there already" in said) == (0, True), err
    code, _, err = cli(*words, tmp_path / "twin")
    assert code == 0, err
    for name in ("scene_classes.tif", "scene_probability.tif", "scene.json"):
        assert (out / name).read_bytes() == (tmp_path / "twin" / name).read_bytes()
