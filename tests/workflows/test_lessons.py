"""How label files become labels: bands, surest portions, confidences, and whose shares count for a fold."""

import numpy as np
import pytest
from PIL import Image

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.members import Model, Train
from maskwright.core.recipe.selftrain import Mix, SelfTrain
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.sources.open import open_source
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.evidence import Evidence, FoldScore
from maskwright.inference.store import Store
from maskwright.workflows.lessons import Row, Taught, batch_of, confidence, harden, read_rows, sure, write_rows
from maskwright.workflows.students import depth_options
from maskwright.workflows.teach import edges_of, shares_for

BINARY = Task(kind="binary", classes=("a",))
MANY = Task(kind="multiclass", classes=("ground", "a", "b"))
PLANES = Task(kind="multilabel", classes=("a", "b"))


def test_a_band_leaves_the_middle_out():
    planes = np.array([[[0, 100, 120, 153, 154, 255]]], np.uint8)
    label, known = harden(planes, BINARY, (0.4, 0.6))
    assert label.tolist() == [[0, 0, 0, 0, 1, 1]]
    assert known.tolist() == [[True, True, False, False, True, True]]
    several = np.array([[[200, 90, 10]], [[30, 85, 240]], [[25, 80, 5]]], np.uint8)
    label, known = harden(several, MANY, (0.4, 0.6))
    assert label.tolist() == [[0, 0, 1]]
    assert known.tolist() == [[True, False, True]]
    pair = np.array([[[255, 255, 0]], [[0, 120, 0]]], np.uint8)
    label, known = harden(pair, PLANES, (0.4, 0.6))
    assert label.tolist() == [[[1, 1, 0]], [[0, 0, 0]]]
    assert known.tolist() == [[True, False, True]]


def test_the_surest_portion_counts_for_each_class_alike(tmp_path):
    rng = np.random.default_rng(3)
    store = Store(tmp_path)
    common, rare = rng.integers(0, 60, (40, 50)), rng.integers(140, 200, (40, 50))
    planes = np.where(np.arange(50) < 45, common, rare)[None].astype(np.uint8)  # a tenth is of the class, less surely
    store.write_quantised("x", planes, np.ones((40, 50), bool))
    edges = edges_of(BINARY, store, ["x"], 0.5)
    taken = sure(planes, BINARY, edges)
    inside = planes[0] > 127
    for part in (inside, ~inside):
        assert 0.5 <= taken[part].mean() < 0.56
    assert edges[0] > 200 > edges[1]


def test_taught_items_have_the_teachers_labels_and_not_their_own(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.zeros((4, 6) if name == "masks" else (4, 6, 3), np.uint8)).save(tmp_path / name / "k.png")
    whole = open_source(FolderSource(images="images", masks="masks"), tmp_path, BINARY)
    store, valid = Store(tmp_path / "labels"), np.ones((4, 6), bool)
    valid[0] = False
    store.write_quantised("k", np.full((1, 4, 6), 200, np.uint8), valid)
    soft = Taught(whole, ("k",), store, SelfTrain())
    assert (soft.soft, soft.labelled, soft.scored("k")) == (True, True, False)
    planes, known = soft.read_soft("k", (4, 6), BINARY)
    assert np.array_equal(known, valid)
    assert (planes[0, 1:] == 200).all()
    assert not planes[:, 0].any()
    hard = Taught(whole, ("k",), store, SelfTrain(labels="hard"), (0, 201))
    label, known = hard.read_label("k", (4, 6), BINARY)
    assert not hard.soft
    assert not known.any()
    assert not label.any()
    with pytest.raises(InputError, match="a label of 4 x 6 pixels, the image has 4 x 5"):
        soft.read_soft("k", (4, 5), BINARY)


def test_confidence_is_the_mean_probability_of_the_likeliest():
    valid = np.array([[True, True, False]])
    assert confidence(np.array([[[255, 0, 128]]], np.uint8), valid, BINARY) == 1
    assert confidence(np.array([[[51, 255, 0]], [[204, 0, 0]]], np.uint8), valid, MANY) == pytest.approx(0.9)
    assert confidence(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 3), bool), BINARY) == 0


def test_members_teach_a_fold_by_the_shares_that_other_folds_chose():
    folds = tuple(
        FoldScore(fold=fold, items=3, default=0.5, honest=0.5, shares=shares, edges=(128,))
        for fold, shares in enumerate([(1, 3), (0, 1)])
    )
    evidence = Evidence(honest=0.5, optimistic=0.5, default=0.5, items=6, pixels=9, folds=folds)
    plain = {"metric": "iou", "rule": "fixed", "edges": (128,), "kept_thresholds": False, "evidence": evidence}
    decision = Decision(shares={"a": 5, "b": 1}, kept_weights=True, **plain)
    assert [shares_for(decision, fold, 2) for fold in range(2)] == [{"a": 1, "b": 3}, {"a": 0, "b": 1}]
    assert shares_for(decision, 0, 1) == {"a": 1, "b": 1}
    alike = Decision(shares={"a": 1, "b": 1}, kept_weights=False, **plain)
    assert shares_for(alike, 0, 2) == {"a": 1, "b": 1}


def test_a_share_is_of_whole_samples_and_leaves_some():
    assert batch_of(SelfTrain(mix=Mix(every=5)), Train(batch_size=6, accumulate=3)) == (6, 1, 0)
    assert batch_of(SelfTrain(mix=Mix(share=0.25)), Train(batch_size=8, accumulate=2)) == (2, 2, 2)
    assert batch_of(SelfTrain(mix=Mix(share=0.1)), Train(batch_size=2)) == (1, 1, 1)
    with pytest.raises(InputError, match=r"a share of 0\.75 leaves no labelled sample in a batch of 1"):
        batch_of(SelfTrain(mix=Mix(share=0.75)), Train(batch_size=1))


def test_stochastic_depth_is_set_where_each_family_has_it():
    found = {
        ("unet", "tu-resnet10t"): {"drop_path_rate": 0.5},
        ("upernet_mmseg", "tu-resnet10t"): {"encoder": {"drop_path_rate": 0.5}},
        ("efficient_fpn", "mish_efficientnet_b1"): {"encoder": {"drop_connect": 0.5}},
        ("upernet_mmseg", "convnext_tiny"): {"encoder": {"drop_path": 0.5}},
    }
    for (architecture, encoder), options in found.items():
        assert depth_options(Model(architecture=architecture, encoder=encoder), 0.5, "x") == options
    with pytest.raises(InputError, match="encoder plain has no stochastic depth"):
        depth_options(Model(architecture="unet3plus", encoder="plain"), 0.5, "x")


def test_tables_of_labels_survive_odd_names(tmp_path):
    rows = [Row('a,"b"\nc', "00", 0.75, True, "11"), Row("d", "22", 0.5, False, "33")]
    write_rows(tmp_path / "t.csv", rows)
    assert read_rows(tmp_path / "t.csv") == rows
    (tmp_path / "t.csv").write_text("key\n")
    with pytest.raises(InputError, match="the header is not key,image,confidence,taken,label"):
        read_rows(tmp_path / "t.csv")
