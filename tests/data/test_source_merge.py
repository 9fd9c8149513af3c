"""Several sources are one: keys, weights and roles are their part's, and faults name the part."""

import pickle

import numpy as np
import pytest
from data_helpers import BINARY, picture, save

from maskwright.core.errors import DataError
from maskwright.core.recipe.sources import FolderSource, MergeSource, RleCsvSource, TableSource
from maskwright.data.sources.base import limited
from maskwright.data.sources.open import join_source, open_source

SHAPE = (12, 16)
MERGE = MergeSource(
    parts={
        "own": FolderSource(images="own/images", masks="own/masks", weight=2.0),
        "web": RleCsvSource(images="web", table="web.csv", order="row", role="train_only", weight=0.5),
    }
)


def make(root, rle="a,1 4\nb,\n"):
    for place, name in enumerate("ab"):
        save(root / "own" / "images" / f"{name}.png", picture(place))
        save(root / "own" / "masks" / f"{name}.png", np.ones(SHAPE, np.uint8))
        save(root / "web" / f"{name}.png", picture(place + 7))
    (root / "web.csv").write_text(f"ImageId,EncodedPixels,site\n{rle}".replace("\n", ",s\n").replace("site,s", "site"))


def test_items_of_all_parts_with_their_weights_and_roles(tmp_path):
    make(tmp_path)
    source = open_source(MERGE, tmp_path, BINARY)
    assert source.keys == ("own/a", "own/b", "web/a", "web/b")
    assert source.labelled
    assert [source.weight(key) for key in source.keys] == [2.0, 2.0, 0.5, 0.5]
    assert [source.scored(key) for key in source.keys] == [True, True, False, False]
    assert source.image_path("web/b") == tmp_path / "web/b.png"
    assert source.label_path("own/b") == tmp_path / "own/masks/b.png"
    assert source.attributes("own/a") == {"part": "own"}
    assert source.attributes("web/a") == {"part": "web", "site": "s"}
    assert source.read_label("own/a", SHAPE, BINARY)[0].all()
    assert source.read_label("web/a", SHAPE, BINARY)[0].sum() == 4
    few = limited(source, ["own/b", "web/a"])
    assert (few.weight("web/a"), few.scored("web/a"), few.attributes("own/b")) == (0.5, False, {"part": "own"})
    assert pickle.loads(pickle.dumps(source)) == source


def test_faults_and_notes_begin_with_their_part(tmp_path):
    make(tmp_path, "a,1 4\nz,1 1\n")
    (tmp_path / "own" / "masks" / "b.png").unlink()
    (tmp_path / "own" / "images" / "x.txt").write_text("x")
    source, findings = join_source(MERGE, tmp_path, BINARY)
    assert source is not None
    assert source.keys == ("own/a", "web/a")
    assert [note.partition(":")[0] for note in source.notes] == ["own"]
    assert [(str(one), one.keys) for one in findings] == [
        (
            f"own: {tmp_path}/own/images/b.png: no mask of key 'b' in {tmp_path}/own/masks; "
            "add it, or set missing_mask: background",
            ("own/b",),
        ),
        (f"web: {tmp_path}/web.csv:3: no image 'z' in {tmp_path}/web; add it, or take the row away", ()),
        (f"web: {tmp_path}/web/b.png: no row in web.csv; add it, or set missing_mask: background", ("web/b",)),
    ]


def test_a_part_that_cannot_be_opened_does_not_hide_the_others(tmp_path):
    make(tmp_path)
    (tmp_path / "web.csv").unlink()
    source, findings = join_source(MERGE, tmp_path, BINARY)
    assert source is not None
    assert source.keys == ("own/a", "own/b")
    assert [str(one) for one in findings] == [f"web: {tmp_path}/web.csv: no such file or folder; check the path"]
    block = MergeSource(parts={"x": FolderSource(images="none"), "y": TableSource(table="none.csv")})
    with pytest.raises(DataError) as caught:
        open_source(block, tmp_path, BINARY)
    assert list(caught.value.faults) == [
        f"x: {tmp_path}/none: no such folder; check data.root and the folder's name",
        f"y: {tmp_path}/none.csv: no such file or folder; check the path",
    ]


def test_unlabelled_parts_make_an_unlabelled_whole(tmp_path):
    make(tmp_path)
    block = MergeSource(parts={"x": FolderSource(images="web"), "y": FolderSource(images="own/images")})
    assert not open_source(block, tmp_path, BINARY).labelled
