import numpy as np
import pytest
import torch
from data_helpers import BINARY, PLANES, SCENES, picture, save

from maskwright.core.errors import InputError
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.members import Sampling
from maskwright.core.recipe.source_clashes import is_soft, source_clashes
from maskwright.core.recipe.sources import FolderSource, MergeSource, TableSource
from maskwright.data.augment import base, table
from maskwright.data.dataset import Preprocess, TrainSet, TrainSpec, ValidSet, collate
from maskwright.data.labels.soft import harden, soften, to_bytes, to_floats
from maskwright.data.sampling import Lots
from maskwright.data.sources.base import limited
from maskwright.data.sources.open import open_source

SOFT = FolderSource(images="images", masks="soft", encoding="soft")
PLAIN = Preprocess((0, 1, 2), 255.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def shares(task, seed, height=12, width=16):
    """Probabilities of an item in steps of 255, uint8 (K, H, W)."""
    rng = np.random.default_rng(seed)
    if task.kind == "multiclass":
        return np.floor(rng.dirichlet([1.0] * task.planes, (height, width)) * 255).astype(np.uint8).transpose(2, 0, 1)
    return rng.integers(0, 256, (task.planes, height, width), dtype=np.uint8)


def write(root, task, name="soft", seeds=range(3)):
    """Write items with soft labels; return their probabilities by key."""
    found = {}
    for seed in seeds:
        found[f"k{seed}"] = shares(task, seed)
        save(root / "images" / f"k{seed}.png", picture(seed))
        for plane, values in enumerate(found[f"k{seed}"]):
            file = f"k{seed}.png" if task.kind == "binary" else f"k{seed}/{task.classes[plane]}.png"
            save(root / name / file, values)
    return found


def plain(planes, task):
    """What the likeliest label is, said in another way than the code does."""
    if task.kind == "multiclass":
        return np.array([[max(range(len(planes)), key=lambda k: (column[k], -k)) for column in row]
                         for row in planes.transpose(1, 2, 0)])  # fmt: skip
    there = (planes >= 128).astype(int)
    return there[0] if task.kind == "binary" else there


def samples_of(source, task, keys=None, **more):
    spec = TrainSpec(
        source, tuple(keys or source.keys), task, PLAIN, None, more.pop("augment", []), 10**6, 1, 3, **more
    )
    return TrainSet(spec)


@pytest.mark.parametrize("task", [BINARY, SCENES, PLANES], ids=lambda task: task.kind)
def test_probabilities_reach_the_sample_and_all_else_sees_the_likeliest_label(tmp_path, task):
    written = write(tmp_path, task)
    source = open_source(SOFT, tmp_path, task)
    assert source.soft
    for key, planes in written.items():
        label, valid = source.read_label(key, (12, 16), task)
        assert (label == plain(planes, task)).all()
        assert label.dtype == np.uint8
        assert valid.all()
        read, known = limited(source, ["k0", "k1"]).read_soft(key, (12, 16), task)
        assert (read == planes).all()
        assert known.all()
    training = samples_of(source, task)
    for index in range(3):
        sample = training[0, index]
        planes = written[source.keys[sample["index"]]].astype(np.float64)
        wanted = planes / (planes.sum(0) if task.kind == "multiclass" else 255)
        assert sample["label"].dtype == torch.float32
        np.testing.assert_allclose(sample["label"].numpy(), wanted, rtol=1e-6)
    assert collate([training[0, 0], training[0, 1]])["label"].shape == (2, task.planes, 12, 16)
    held_out = ValidSet(source, ["k1"], task, PLAIN, None, 10**6)[0]
    assert held_out["label"].dtype == torch.int64
    assert (held_out["label"].numpy() == plain(written["k1"], task)).all()


@pytest.mark.parametrize("task", [BINARY, SCENES, PLANES], ids=lambda task: task.kind)
def test_plain_labels_become_certain_ones_and_come_back(task):
    rng = np.random.default_rng(3)
    shape = (task.planes, 5, 7) if task.kind == "multilabel" else (5, 7)
    label = rng.integers(0, len(task.values), shape).astype(np.uint8)
    planes = soften(label, task)
    assert set(np.unique(planes)) == {0, 255}
    assert (harden(planes, task) == label).all()
    assert set(np.unique(to_floats(planes, task))) == {0.0, 1.0}


def test_a_merge_of_soft_and_plain_parts_trains_on_both(tmp_path):
    written = write(tmp_path, BINARY)
    for seed in (7, 8):
        save(tmp_path / "own" / f"h{seed}.png", picture(seed))
        mask = picture(seed)[:, :, 0]
        save(tmp_path / "masks" / f"h{seed}.png", np.where(mask < 20, 9, mask > 100).astype(np.uint8))
    parts = {
        "taught": SOFT.model_copy(update={"role": "train_only"}),
        "own": FolderSource(images="own", masks="masks", values={0: 0, 1: 1, 9: "ignore"}),
    }
    block = MergeSource(format="merge", parts=parts)
    assert is_soft(block)
    source = open_source(block, tmp_path, BINARY)
    assert source.soft
    assert source.keys == ("own/h7", "own/h8", "taught/k0", "taught/k1", "taught/k2")
    label, valid = source.read_label("own/h7", (12, 16), BINARY)
    planes, known = source.read_soft("own/h7", (12, 16), BINARY)
    assert (planes[0] == label * 255).all()
    assert (known == valid).all()
    assert not valid.all()
    training = samples_of(source, BINARY, ["own/h7", "taught/k1"])
    found = {sample["index"]: sample for sample in (training[epoch, index] for epoch in range(3) for index in range(3))}
    np.testing.assert_array_equal(found[0]["label"][0].numpy(), label.astype(np.float32))
    assert (found[0]["valid"].numpy() == valid).all()
    np.testing.assert_allclose(found[1]["label"].numpy(), written["k1"] / 255, rtol=1e-6)
    assert not open_source(parts["own"], tmp_path, BINARY).soft


def test_probabilities_move_with_the_image(tmp_path):
    for seed in range(3):
        grey = shares(BINARY, seed)[0]
        save(tmp_path / "images" / f"k{seed}.png", np.repeat(grey[:, :, None], 3, 2))
        save(tmp_path / "soft" / f"k{seed}.png", grey)
    source = open_source(SOFT, tmp_path, BINARY)
    for steps in ([{"d4": {"p": 1.0}}], [{"mosaic": {"p": 1.0}}], [{"coarse_dropout": {"p": 1.0}}]):
        training = samples_of(source, BINARY, augment=steps)
        for index in range(3):
            sample = training[0, index]
            if "coarse_dropout" not in steps[0]:
                np.testing.assert_allclose(sample["image"][0].numpy(), sample["label"][0].numpy(), atol=1e-6)
            assert ((sample["label"] >= 0) & (sample["label"] <= 1)).all()


def test_windows_are_drawn_by_the_likeliest_label(tmp_path):
    planes = np.full((40, 40), 40, np.uint8)
    planes[30:34, 5:9] = 200
    save(tmp_path / "images" / "k.png", picture(1, 40, 40))
    save(tmp_path / "soft" / "k.png", planes)
    source = open_source(SOFT, tmp_path, BINARY)
    sampling = Sampling(windows="balanced", p=1.0, classes=("roof",))
    pixels = np.array([[1584, 16]])
    lots = Lots(1, 1, 8, sampling=sampling, pixels=pixels, classes=(1,))
    spec = TrainSpec(source, ("k",), BINARY, PLAIN, (8, 8), [], 10**6, 1, 8, lots=lots, classes=(1,))
    training = TrainSet(spec)
    assert all(training[0, index]["label"].max() > 0.7 for index in range(8))


def test_sixteen_bits_and_nothing_known(tmp_path):
    assert to_bytes(np.array([[0, 65535, 32896, 128, 129]], np.uint16), "m").tolist() == [[0, 255, 128, 0, 1]]
    assert to_bytes(np.array([[True, False]]), "m").tolist() == [[255, 0]]
    written = write(tmp_path, SCENES, seeds=[0])["k0"]
    for plane, name in enumerate(SCENES.classes):
        values = written[plane].astype(np.uint16) * 257
        values[0, :3] = 0
        save(tmp_path / "soft" / "k0" / f"{name}.png", values)
    source = open_source(SOFT, tmp_path, SCENES)
    planes, valid = source.read_soft("k0", (12, 16), SCENES)
    assert (planes[:, valid] == written[:, valid]).all()
    assert valid.sum() == 12 * 16 - 3
    assert not source.read_label("k0", (12, 16), SCENES)[1][0, :3].any()


def test_what_is_no_probability_is_refused(tmp_path):
    write(tmp_path, SCENES, seeds=[0])
    save(tmp_path / "soft" / "k0" / "road.png", np.full((12, 16), 250, np.uint8))
    source = open_source(SOFT, tmp_path, SCENES)
    planes = shares(SCENES, 0)
    total = (int(planes[0, 0, 0]) + 250 + int(planes[2, 0, 0])) / 255
    with pytest.raises(InputError) as caught:
        source.read_soft("k0", (12, 16), SCENES)
    assert str(caught.value) == (
        f"{tmp_path / 'soft' / 'k0' / 'background.png'}: probabilities of the classes add up to {total:.2f} at row 0, "
        "column 0; they must add up to 1, or be 0 for all classes where nothing is known"
    )
    with pytest.raises(InputError) as caught:
        to_bytes(np.zeros((2, 2), np.int32), "m.tif")
    assert str(caught.value) == (
        "m.tif: a mask of probabilities has 8 or 16 bits without sign, this one is int32; save it so that 255 (or "
        "65535) is probability 1"
    )


def test_settings_that_soft_labels_do_not_have_are_refused():
    said = source_clashes("train", SOFT.model_copy(update={"values": {0: 0}}), BINARY)
    assert said == ["data.train.values: not for encoding: soft; the mask is the probability, 255 or 65535 being 1"]
    rows = TableSource(table="t.csv", mask_column="mask", encoding="soft")
    assert source_clashes("train", rows, BINARY) == [
        "data.train.encoding: soft is for format: folder; put the masks into one folder"
    ]
    assert source_clashes("train", SOFT.model_copy(update={"layout": "key/class"}), SCENES) == []
    assert source_clashes("train", SOFT.model_copy(update={"layout": "key/class"}), BINARY) == [
        "data.train.layout: key/class is for encoding: planes, this one is soft"
    ]
    assert Recipe  # the union of sources takes the block as any other


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            {"copy_paste": {}},
            "r: copy_paste looks for objects in labels, but labels are probabilities (encoding: soft); use mosaic or "
            "cutmix",
        ),
        (
            {"mask_dropout": {}},
            "r: mask_dropout looks for objects in labels, but labels are probabilities (encoding: soft); use "
            "coarse_dropout",
        ),
        (
            {"coarse_dropout": {"mask_fill": "background"}},
            "r: mask_fill writes class background into labels, but labels are probabilities (encoding: soft); use "
            "mask_fill: ignore",
        ),
    ],
)
def test_steps_that_need_plain_labels_are_refused(step, said):
    table.check([step], "r", base.Setting(BINARY, 3))
    with pytest.raises(InputError) as caught:
        table.check([step], "r", base.Setting(BINARY, 3, soft=True))
    assert said.removeprefix("r: ") in str(caught.value)
