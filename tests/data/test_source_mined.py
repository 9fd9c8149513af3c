"""Mined windows as a source: all background, fold by fold, never for a fold that their models had seen."""

import json

import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import DataError, InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource, MergeSource, MinedSource
from maskwright.data.sources.base import limited
from maskwright.data.sources.mined import mined_keys, mined_parts, names_of
from maskwright.data.sources.open import open_source

TASK = Task(kind="binary", classes=("roof",))


@pytest.fixture
def pool(tmp_path):
    """Two images, of which one window and one whole image are listed; and a labelled folder."""
    rng = np.random.default_rng(0)
    for folder, names in (("pool/deep", ("a", "b")), ("images", ("x", "y")), ("masks", ("x", "y"))):
        (tmp_path / folder).mkdir(parents=True)
        for name in names:
            pixels = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
            Image.fromarray(pixels if folder != "masks" else pixels[..., 0] // 128).save(
                tmp_path / folder / f"{name}.png"
            )
    one = {"presence": [None], "highest": [0.1]}
    plain = {
        "recipe": "r",
        "pool": "p",
        "looked": 2,
        "presence": 0.2,
        "pixel": 0.2,
        "window": [10, 15],
        "sure": 0.7,
        "teachers": [
            {"fold": 0, "weights": {"w": "1"}, "unseen": ["x"]},
            {"fold": 1, "weights": {"w": "2"}, "unseen": ["y"]},
        ],
        "negatives": [
            {"key": "deep/a@10_15", "image": "deep/a.png", "window": [10, 15, 10, 15], "folds": [1], **one},
            {"key": "deep/b", "image": "deep/b.png", "window": None, "folds": [0], **one},
        ],
        "hard": [{"key": "y", "fold": 0, "area": 9}],
    }
    (tmp_path / "mined.json").write_text(json.dumps(plain))
    return tmp_path, plain


def merged(root, **other):
    block = MergeSource(
        parts={
            "own": FolderSource(images="images", masks="masks"),
            "mined": MinedSource(list=str(root / "mined.json"), images="pool"),
        },
        **other,
    )
    return open_source(block, root, TASK)


def test_windows_are_read_from_their_images_as_background(pool):
    root, _ = pool
    source = merged(root, bare="own")
    assert source.keys == ("mined/deep/a@10_15", "mined/deep/b", "x", "y")
    key = source.keys[0]
    pixels, valid = source.read_image(key, 10**6)
    whole = np.asarray(Image.open(root / "pool" / "deep" / "a.png"))
    assert (pixels == whole[10:, 15:]).all()
    assert valid.all()
    assert source.read_header(key, 10**6).shape == (10, 15)
    label, known = source.read_label(key, (10, 15), TASK)
    assert not label.any()
    assert known.all()
    assert not source.scored(key)
    assert source.scored("x")
    assert source.attributes(key) == {"part": "mined", "mined_for": "1", "scene": "deep/a@10_15"}
    some = limited(source, [key, "x"])
    assert mined_keys(some) == {"mined/deep/a@10_15", "mined/deep/b"}
    assert [start for start, _ in mined_parts(some)] == ["mined/"]
    planes, _ = source.read_label(key, (10, 15), Task(kind="multilabel", classes=("a", "b")))
    assert planes.shape == (2, 10, 15)


def test_a_fold_that_their_models_had_seen_is_refused(pool):
    root, _ = pool
    bare, named = merged(root, bare="own"), merged(root)
    assert named.keys[-2:] == ("own/x", "own/y")
    ((_, part),) = mined_parts(named)
    part.refuse_seen(0, [names_of(named, "own/x")])
    part.refuse_seen(1, [names_of(bare, "y")])
    with pytest.raises(InputError) as caught:
        part.refuse_seen(1, [names_of(named, "own/y"), names_of(named, "own/x")])
    assert str(caught.value) == (
        f"{root}/mined.json: fold 1 is scored on 'own/x', which the models that mined for it may have seen; "
        "run maskwright mine again with the folds of this recipe"
    )


def test_a_list_that_is_damaged_leads_out_or_lost_its_images_is_refused(pool):
    root, plain = pool
    block, path = MinedSource(list=str(root / "mined.json"), images="pool"), root / "mined.json"
    (root / "pool" / "deep" / "b.png").unlink()
    with pytest.raises(DataError, match=r"no image 'deep/b.png' in .*pool; set images to the folder that was mined"):
        open_source(block, root, TASK)
    plain["negatives"][0]["image"] = "../images/x.png"
    path.write_text(json.dumps(plain))
    with pytest.raises(InputError, match="leaves the data folder"):
        open_source(block, root, TASK)
    path.write_text("[]")
    with pytest.raises(InputError, match="not a list of mined windows of this version; run maskwright mine again"):
        open_source(block, root, TASK)
