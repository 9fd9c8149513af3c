"""Masks of colours, of objects and of one class each become the labels they mean, or are refused by name."""

import numpy as np
import pytest
from data_helpers import BINARY, PLANES, SCENES, picture, save
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from test_rasters import write_tiff

from maskwright.core.errors import DataError, InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.sources.open import open_source
from maskwright.output.masks import write_mask

PALETTE = {"background": (0, 0, 0), "road": (128, 64, 128), "car": (64, 0, 128), "ignore": (255, 255, 255)}
COLOURS = FolderSource(images="images", masks="masks", encoding="rgb", palette=PALETTE)
OBJECTS = FolderSource(images="images", masks="masks", encoding="instances")
CELLS = Task(kind="multiclass", classes=("background", "inside", "border"))
SHAPE = (6, 8)
LABELS = arrays(np.uint8, SHAPE, elements=st.integers(0, 2))


def one(root, mask, name="a.png", **options):
    save(root / "images" / "a.png", picture(1, *SHAPE))
    return save(root / "masks" / name, mask, **options)


def read(block, root, task=SCENES, key="a"):
    return open_source(block, root, task).read_label(key, SHAPE, task)


def refusal(block, root, task=SCENES):
    with pytest.raises(InputError) as caught:
        read(block, root, task)
    return str(caught.value)


def faults_of(block, root, task):
    with pytest.raises(DataError) as caught:
        open_source(block, root, task)
    return list(caught.value.faults)


@given(label=LABELS, known=arrays(np.bool_, SHAPE), kind=st.sampled_from(["RGB", "RGBA", "P", "tiff"]))
def test_colours_become_classes_in_every_way_to_store_them(tmp_path_factory, label, known, kind):
    root = tmp_path_factory.getbasetemp() / f"colours_{kind}"
    rgb = np.array([PALETTE[name] for name in (*SCENES.classes, "ignore")], np.uint8)[np.where(known, label, 3)]
    (root / "masks").mkdir(parents=True, exist_ok=True)
    if kind == "tiff":
        save(root / "images" / "a.png", picture(1, *SHAPE))
        write_tiff(root / "masks" / "a.tif", np.moveaxis(rgb, -1, 0))
    elif kind == "P":
        one(root, rgb)
        indexed = Image.fromarray(np.where(known, label, 3).astype(np.uint8))
        indexed.putpalette([shade for colour in PALETTE.values() for shade in colour])
        indexed.save(root / "masks" / "a.png")
    else:
        one(root, np.dstack([rgb, np.full(SHAPE, 255, np.uint8)]) if kind == "RGBA" else rgb)
    found, valid = read(COLOURS, root)
    np.testing.assert_array_equal(valid, known)
    np.testing.assert_array_equal(found, np.where(known, label, 0))
    assert found.dtype == np.uint8


def test_a_class_may_have_several_colours_and_transparent_pixels_do_not_count(tmp_path):
    rgba = np.zeros((*SHAPE, 4), np.uint8)
    rgba[:, :, 3] = 255
    rgba[0, 0, :3], rgba[0, 1, :3] = (1, 2, 3), (4, 5, 6)
    rgba[0, 2] = (99, 98, 97, 0)
    one(tmp_path, rgba)
    block = COLOURS.model_copy(update={"palette": {"background": (0, 0, 0), "car": ((1, 2, 3), (4, 5, 6))}})
    label, valid = read(block, tmp_path)
    assert label[0, :4].tolist() == [2, 2, 0, 0]
    assert np.argwhere(~valid).tolist() == [[0, 2]]


def test_without_a_palette_the_colours_of_the_task_are_meant(tmp_path):
    rgb = np.zeros((*SHAPE, 3), np.uint8)
    rgb[1, 1] = (200, 10, 20)
    one(tmp_path, rgb)
    block = COLOURS.model_copy(update={"palette": None})
    for classes, colours in ((("roof",), ((200, 10, 20),)), (("ground", "roof"), ((0, 0, 0), (200, 10, 20)))):
        label, _ = read(block, tmp_path, Task(kind="binary", classes=classes, colours=colours))
        assert np.argwhere(label).tolist() == [[1, 1]]


def test_an_undeclared_colour_is_named_with_its_share_and_the_nearest_one(tmp_path):
    rgb = np.zeros((*SHAPE, 3), np.uint8)
    rgb[0, :6] = (120, 200, 10)
    path = one(tmp_path, rgb)
    assert refusal(COLOURS, tmp_path) == (
        f"{path}: colour [120, 200, 10] covers 12.50% of the mask but no class has it; nearest is [128, 64, 128], "
        "'road'; add it to palette, or map it to ignore"
    )


def test_smoothed_edges_and_the_noise_of_a_jpeg_are_told_apart(tmp_path):
    rgb = np.zeros((*SHAPE, 3), np.uint8)
    rgb[:, 4:] = PALETTE["road"]
    rgb[:, 3] = np.linspace(0.2, 0.7, 6)[:, None] * np.array(PALETTE["road"])
    path = one(tmp_path, rgb)
    assert refusal(COLOURS, tmp_path) == (
        f"{path}: colour [25, 12, 25] covers 2.08% of the mask (and 5 more colours, 12.50% together) but no class has "
        "it; nearest is [0, 0, 0], 'background'; they lie between declared colours, as smoothed (antialiased) or "
        "resized edges do; draw and resize masks with nearest neighbour, without smoothing"
    )
    rgb[:, :4], rgb[0, :3] = 0, ((3, 0, 0), (0, 2, 5), (7, 7, 0))
    one(tmp_path, rgb)
    assert refusal(COLOURS, tmp_path).endswith(
        "; all are close to declared colours, as in a mask that was a JPEG; save masks without loss, as PNG"
    )


def test_colour_masks_of_other_depths_and_jpegs_are_refused(tmp_path):
    one(tmp_path, picture(1, *SHAPE), "a.jpg")
    assert refusal(COLOURS, tmp_path) == f"{tmp_path}/masks/a.jpg: a JPEG mask has blurred colours; save masks as PNG"
    (tmp_path / "masks" / "a.jpg").unlink()
    Image.fromarray(np.zeros(SHAPE, np.uint16)).save(tmp_path / "masks" / "a.png")
    assert refusal(COLOURS, tmp_path) == (
        f"{tmp_path}/masks/a.png: a mask of colours has 3 bands of uint8, this one 1 of uint16; "
        "save it as an 8-bit RGB PNG"
    )


@given(ids=arrays(np.uint32, SHAPE, elements=st.sampled_from([0, 1, 2, 255, 256, 65535, 70_000, 2**31])))
def test_every_object_of_a_map_is_foreground_in_8_16_and_32_bits(tmp_path_factory, ids):
    root = tmp_path_factory.getbasetemp() / "objects"
    save(root / "images" / "a.png", picture(1, *SHAPE))
    (root / "masks").mkdir(exist_ok=True)
    for old in (root / "masks").iterdir():
        old.unlink()
    if ids.max() < 65536:
        save(root / "masks" / "a.png", ids.astype(np.uint8 if ids.max() < 256 else np.uint16))
    else:
        write_tiff(root / "masks" / "a.tif", ids[None])
    label, valid = read(OBJECTS, root, BINARY)
    np.testing.assert_array_equal(label, ids > 0)
    assert label.dtype == np.uint8
    assert valid.all()


def test_borders_and_levels_need_their_classes_and_ignore_stays_out(tmp_path):
    ids = np.zeros(SHAPE, np.uint16)
    ids[1:5, 1:4], ids[1:5, 4:7], ids[0, 0] = 300, 301, 999
    one(tmp_path, ids)
    task = CELLS.model_copy(update={"ignore": 999})
    label, valid = read(OBJECTS.model_copy(update={"target": "border", "border": 1}), tmp_path, task)
    assert label[2].tolist() == [0, 1, 1, 2, 2, 1, 1, 0]
    assert np.argwhere(~valid).tolist() == [[0, 0]]
    assert label[0, 0] == 0
    label, _ = read(OBJECTS.model_copy(update={"target": "distance"}), tmp_path, task)
    assert label[2].tolist() == [0, 1, 2, 1, 1, 2, 1, 0]


def test_a_negative_object_number_is_refused_unless_it_is_nodata(tmp_path):
    one(tmp_path, np.zeros(SHAPE, np.uint8))
    (tmp_path / "masks" / "a.png").unlink()
    ids = np.zeros((1, *SHAPE), np.int32)
    ids[0, 0, 0], ids[0, 1, 1] = -1, 7
    path = write_tiff(tmp_path / "masks" / "a.tif", ids)
    assert refusal(OBJECTS, tmp_path, BINARY) == (
        f"{path}: an instance map holds -1; 0 is background and objects are numbered from 1; "
        "mend it, or set task.ignore if the value means unknown"
    )
    write_tiff(path, ids, nodata=-1)
    label, valid = read(OBJECTS, tmp_path, BINARY)
    assert (np.argwhere(label).tolist(), np.argwhere(~valid).tolist()) == ([[1, 1]], [[0, 0]])


@given(
    label=arrays(np.uint8, (2, *SHAPE), elements=st.integers(0, 1)),
    key=st.sampled_from(["a", "sub/a", "caf\u00e9 (1)", ".hidden"]),
    names=st.sampled_from([("lung", "heart"), ("left lung", "c\u0153ur/2")]),
)
def test_planes_are_read_back_as_the_masks_output_writes_them(tmp_path_factory, label, key, names):
    root = tmp_path_factory.mktemp("planes", numbered=True)
    task = Task(kind="multilabel", classes=names)
    name = "x" if key == ".hidden" else key
    save(root / "images" / f"{name}.png", picture(1, *SHAPE))
    write_mask(root / "masks", name, label, task)
    block = FolderSource(images="images", masks="masks", encoding="planes", layout="key/class")
    found, valid = read(block, root, task, name)
    np.testing.assert_array_equal(found, label)
    assert valid.all()


@given(label=LABELS, key=st.sampled_from(["a", "sub/a b", "caf\u00e9 (1)"]), grey=st.booleans())
def test_index_masks_are_read_back_as_the_masks_output_writes_them(tmp_path_factory, label, key, grey):
    root = tmp_path_factory.mktemp("index", numbered=True)
    save(root / "images" / f"{key}.png", picture(1, *SHAPE))
    values = {0: 7, 1: 0, 2: 255} if grey else None
    write_mask(root / "masks", key, label, SCENES, values)
    inverse = {7: 0, 0: 1, 255: 2} if grey else None
    found, _ = read(FolderSource(images="images", masks="masks", values=inverse), root, SCENES, key)
    np.testing.assert_array_equal(found, label)


def planes_set(root, layout, names=("a", "b")):
    for name in names:
        save(root / "images" / f"{name}.png", picture(1, *SHAPE))
        for plane, text in enumerate(PLANES.classes):
            mask = np.zeros(SHAPE, np.uint8)
            mask[plane] = 255
            inner = f"{name}/{text}" if layout == "key/class" else f"{text}/{name}"
            save(root / "masks" / f"{inner}.png", mask)
    return FolderSource(images="images", masks="masks", encoding="planes")


@pytest.mark.parametrize("layout", ["key/class", "class/key"])
def test_the_layout_of_planes_is_guessed_and_said(tmp_path, layout):
    block = planes_set(tmp_path, layout)
    source = open_source(block, tmp_path, PLANES)
    assert source.keys == ("a", "b")
    assert source.notes == (
        f"{tmp_path}/masks: masks lie in {layout} order, as guessed from their names; write layout: {layout} to fix it",
    )
    label, valid = source.read_label("b", SHAPE, PLANES)
    assert np.argwhere(label)[:, :2].tolist() == [[0, 0]] * 8 + [[1, 1]] * 8
    assert valid.all()
    assert source.label_path("a") == source.label_paths("a")[0]
    assert [path.is_file() for path in source.label_paths("a")] == [True, True]
    assert source.attributes("a") == {}


def test_a_missing_plane_is_refused_unless_it_means_absent(tmp_path):
    block = planes_set(tmp_path, "key/class").model_copy(update={"layout": "key/class"})
    (tmp_path / "masks" / "a" / "heart.png").unlink()
    save(tmp_path / "masks" / "a" / "hart.png", np.zeros(SHAPE, np.uint8))
    save(tmp_path / "masks" / "z" / "lung.png", np.zeros(SHAPE, np.uint8))
    assert faults_of(block, tmp_path, PLANES) == [
        f"{tmp_path}/masks/a/hart.png: 'hart' is no class (did you mean 'heart'?), the task has lung, heart "
        f"(masks below {tmp_path}/masks); rename it, take it away, or add the class to the task",
        f"{tmp_path}/images/a.png: no mask of key 'a' for 'heart' in {tmp_path}/masks; "
        "add it, or set missing_mask: background",
        f"{tmp_path}/masks/z/lung.png: no image of key 'z'; add it, or take the masks away",
    ]
    for name in ("a/hart", "z/lung"):
        (tmp_path / "masks" / f"{name}.png").unlink()
    source = open_source(block.model_copy(update={"missing_mask": "background"}), tmp_path, PLANES)
    assert source.notes == ("1 of 2 images lack the mask of a class, which counts as absent",)
    assert source.read_label("a", SHAPE, PLANES)[0].any(axis=(1, 2)).tolist() == [True, False]


def test_planes_whose_keys_fit_no_image_are_one_fault(tmp_path):
    block = planes_set(tmp_path, "class/key").model_copy(update={"layout": "class/key"})
    for name in ("a", "b"):
        (tmp_path / "images" / f"{name}.png").rename(tmp_path / "images" / f"{name}_img.png")
    assert faults_of(block, tmp_path, PLANES) == [
        f"{tmp_path}/masks: no mask has the key of an image: images are named like 'a_img', masks of a class like 'a'; "
        "make the names equal, or set layout"
    ]


def test_planes_hold_0_and_1_or_255_and_what_one_ignores_counts_in_none(tmp_path):
    block = planes_set(tmp_path, "key/class").model_copy(update={"layout": "key/class"})
    mask = np.zeros(SHAPE, np.uint8)
    mask[0, 0], mask[0, 1] = 1, 9
    path = save(tmp_path / "masks" / "a" / "lung.png", mask)
    assert refusal(block, tmp_path, PLANES).startswith(f"{path}: label value 9 covers 2.08% of the mask but the task")
    values = {0: 0, 255: 1, 1: 1, 9: "ignore"}
    label, valid = read(block.model_copy(update={"values": values}), tmp_path, PLANES)
    assert label[:, 0, :2].tolist() == [[1, 0], [0, 0]]
    assert np.argwhere(~valid).tolist() == [[0, 1]]
