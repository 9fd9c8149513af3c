"""Undeclared colours of many masks are one fault of the set, with what they look like."""

import numpy as np
from data_helpers import SCENES, data_block, picture, save

from maskwright.core.progress import Silent
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.audit import audit

PALETTE = {"background": (0, 0, 0), "road": (128, 64, 128), "car": (64, 0, 128)}


def test_one_line_for_all_masks(tmp_path):
    for place, name in enumerate("abc"):
        save(tmp_path / "images" / f"{name}.png", picture(place))
        mask = np.zeros((12, 16, 3), np.uint8)
        mask[:, 8:] = PALETTE["road"]
        if name != "b":
            mask[0, : place + 1] = (9, 200, 9)
        save(tmp_path / "masks" / f"{name}.png", mask)
    block = FolderSource(images="images", masks="masks", encoding="rgb", palette=PALETTE)
    found = audit.examine(SCENES, data_block(tmp_path, block), Silent())
    faults = [finding for finding in found.sets["train"].findings if finding.severity == "fault"]
    assert [str(fault) for fault in faults] == [
        "data.train: colours that no class has in 2 of 3 masks ('a', 'c'), 1.04% of their pixels: "
        "[9, 200, 9] (1.04%); add it to palette, or map it to ignore"
    ]
    assert faults[0].keys == ("a", "c")
    assert faults[0].facts["colours"] == {"9,200,9": {"pixels": 4, "share": 4 / 384}}


def test_a_single_mask_keeps_its_own_line(tmp_path):
    for place, name in enumerate("ab"):
        save(tmp_path / "images" / f"{name}.png", picture(place))
        mask = np.zeros((12, 16, 3), np.uint8)
        mask[place] = PALETTE["road"]
        save(tmp_path / "masks" / f"{name}.png", mask)
    mask[0, 0] = (9, 200, 9)
    path = save(tmp_path / "masks" / "b.png", mask)
    block = FolderSource(images="images", masks="masks", encoding="rgb", palette=PALETTE)
    found = audit.examine(SCENES, data_block(tmp_path, block), Silent())
    (fault,) = [finding for finding in found.sets["train"].findings if finding.severity == "fault"]
    assert str(fault).startswith(f"{path}: colour [9, 200, 9] covers 0.52% of the mask but no class has it; nearest")
