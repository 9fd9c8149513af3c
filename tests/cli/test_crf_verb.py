"""The verb crf: a submission file in, the same file with smoothed masks out."""

import numpy as np
import pytest
from cli_helpers import tree
from PIL import Image

from maskwright.core import rle
from maskwright.core.recipe.crf import Colours, Crf
from maskwright.ensembling.crf import refine

SHAPE = (20, 24)
ARGUMENTS = ("--size", "20x24", "--output", "refined.csv")


@pytest.fixture
def masks():
    rng = np.random.default_rng(0)
    found = np.zeros((3, *SHAPE), np.uint8)
    found[:2, 4:15, 5:20] = 1
    found[:2] ^= (rng.random((2, *SHAPE)) < 0.04).astype(np.uint8)
    return found


def test_run_lengths(cli, tmp_path, masks):
    rows = [f"T{index},{rle.encode(mask, 'row', 1, '-1')}" for index, mask in enumerate(masks)]
    (tmp_path / "a.csv").write_text("\n".join(["img_id,mask_rle", *rows]) + "\n")
    code, out, err = cli("crf", "a.csv", "--format", "dacon", *ARGUMENTS)
    assert (code, err) == (0, "crf: 3/3 in 0s\n")
    wanted = [refine(mask, Crf()) for mask in masks]
    lines = [f"T{index},{rle.encode(mask, 'row', 1, '-1')}" for index, mask in enumerate(wanted)]
    assert (tmp_path / "refined.csv").read_text() == "\n".join(["img_id,mask_rle", *lines]) + "\n"
    assert lines[2] == "T2,-1"
    share = 100 * np.mean([one != two for one, two in zip(masks, wanted, strict=True)])
    assert out == f"refined.csv: 3 rows, {share:.2f} % of pixels changed\n"


def test_classes_and_colours(cli, tmp_path, masks):
    label = (masks[0] + 2 * masks[1]).astype(np.uint8)
    text = " ".join(map(str, label.reshape(-1).tolist()))
    (tmp_path / "a.csv").write_text(f"image_id,PredictionString\nb/1.jpg,{text}\n")
    image = np.full((*SHAPE, 3), 100, np.uint8)
    image[:, 15:] = 200
    (tmp_path / "pictures" / "b").mkdir(parents=True)
    Image.fromarray(image).save(tmp_path / "pictures" / "b" / "1.png")
    (tmp_path / "pictures" / "b" / "1.png").rename(tmp_path / "pictures" / "b" / "1.jpg")  # what is inside counts
    more = ("--classes", "4", "--images", "pictures", "--colour-sxy", "2", "--colour-compat", "40")
    assert cli("crf", "a.csv", "--format", "class-string", *ARGUMENTS, *more)[0] == 0
    wanted = refine(label, Crf(colours=Colours(sxy=2, compat=40)), 4, image)
    written = (tmp_path / "refined.csv").read_text().split("\n")
    assert written[1] == f"b/1.jpg,{' '.join(map(str, wanted.reshape(-1).tolist()))}"
    assert not np.array_equal(wanted, refine(label, Crf(), 4))


@pytest.mark.parametrize(
    ("form", "more", "said"),
    [
        ("dacom", (), "unknown format 'dacom' (did you mean 'dacon'?)"),
        ("dacon", ("--classes", "3"), "--classes: masks of run lengths have no classes; leave --classes out"),
        ("dacon", ("--images", "."), "a.csv:2 (T0): no image of 'T0' in .; mend --images"),
        ("hand-bone", (), "a.csv:1: the header is 'img_id,mask_rle', but hand-bone"),
        ("class-string", (), "--classes: how many classes there are is not said; give --classes"),
    ],
)
def test_refusals_leave_nothing_behind(cli, tmp_path, form, more, said):
    (tmp_path / "a.csv").write_text("img_id,mask_rle\nT0,1 4\n")
    before = tree(tmp_path)
    code, _, err = cli("crf", "a.csv", "--format", form, *ARGUMENTS, *more)
    assert (code, tree(tmp_path)) == (2, before)
    assert said in err
    assert err.count("\n") == 1
