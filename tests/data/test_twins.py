"""Twins hold the competitions' files as SEEDS describes them; the readers here know nothing of what wrote them."""

import csv

import cv2
import numpy as np
import pytest
import rasterio

from maskwright.core.errors import InputError
from maskwright.data.synthetic.twins.table import TWINS, write_twin


def tree(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def wildfire(tmp_path_factory):
    folder = tmp_path_factory.mktemp("twin") / "mini"
    write_twin("wildfire", folder, 12, seed=3)
    return folder / "Wildfire"


def test_wildfire_has_the_files_of_the_competition(wildfire):
    images = sorted(path.name for path in (wildfire / "train_img").iterdir())
    assert len(images) == 12
    assert all(name.startswith("train_img_") and name[10:-4].isdigit() and name.endswith(".tif") for name in images)
    assert sorted(path.name for path in (wildfire / "train_mask").iterdir()) == [
        name.replace("img", "mask") for name in images
    ]
    with (wildfire / "train_meta.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert sorted(row["train_img"] for row in rows) == images
    assert all(row["train_mask"] == row["train_img"].replace("img", "mask") for row in rows)
    tests = sorted(path.name for path in (wildfire / "test_img").iterdir())
    assert (wildfire / "test_meta.csv").read_text().split() == ["test_img", *sorted(tests, key=lambda n: int(n[9:-4]))]


def test_wildfire_pixels_are_what_the_solution_reads(wildfire):
    burning = gaps = 0
    for path in (wildfire / "train_img").iterdir():
        with rasterio.open(path) as file:
            image = file.read()
        assert (image.dtype, image.shape) == (np.uint16, (10, 256, 256))
        assert all(band.any() for band in image), "no band is wholly 0 (SEEDS 002.1)"
        mask = cv2.imread(str(wildfire / "train_mask" / path.name.replace("img", "mask")), cv2.IMREAD_UNCHANGED)
        assert (mask.dtype, mask.shape) == (np.uint8, (256, 256))
        assert set(np.unique(mask)) <= {0, 1}
        fire = mask == 1
        if fire.any():
            assert image[6][fire].mean() > 2 * image[6][~fire].mean()
        burning, gaps = burning + fire.any(), gaps + (image == 0).any()
    assert burning >= 8
    assert gaps >= 1


@pytest.mark.parametrize("name", TWINS)
def test_the_same_seed_gives_the_same_files(tmp_path, name):
    for place, seed in enumerate((1, 1, 2)):
        write_twin(name, tmp_path / str(place), 4, seed)
    first, again, other = (tree(tmp_path / str(place)) for place in range(3))
    assert first == again
    assert first != other
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1", "2"]


def test_what_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("keep")
    for name, folder, items, said in (
        ("wildfires", tmp_path / "a", 8, "command line: unknown twin 'wildfires' (did you mean 'wildfire'?)"),
        ("wildfire", tmp_path / "a", 3, "--items: 3 items are too few; give 4 or more"),
        ("wildfire", tmp_path / "full", 8, f"{tmp_path}/full: holds something already; choose another --output, or "),
    ):
        with pytest.raises(InputError) as caught:
            write_twin(name, folder, items)
        assert str(caught.value).startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
