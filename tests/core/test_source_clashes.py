"""A recipe whose sources disagree with its task, or with themselves, is refused before any work."""

import pytest

from maskwright.core.labels import Task
from maskwright.core.recipe.source_clashes import colours_of, is_labelled, parts_of, source_clashes
from maskwright.core.recipe.sources import FolderSource, MergeSource, RleCsvSource, TableSource

BINARY = Task(kind="binary", classes=("roof",))
SCENES = Task(kind="multiclass", classes=("background", "road", "car"))
PLANES = Task(kind="multilabel", classes=("lung", "heart"))
RED = {"background": (0, 0, 0), "road": (255, 0, 0)}


def folder(**more):
    return FolderSource(images="i", masks="m", **more)


def table(**more):
    return TableSource(table="t.csv", **{"mask_column": "mask", **more})


REFUSED = [
    (folder(), PLANES, "encoding: an index mask gives one class a pixel; the task is multilabel, use encoding: planes"),
    (folder(values={0: 0, 9: 3}), SCENES, "values: 9 is mapped to 3, which is not one of [0, 1, 2]"),
    (folder(palette=RED), SCENES, "palette: colours are for encoding: rgb, this one is index"),
    (folder(layout="key/class"), SCENES, "layout: key/class is for encoding: planes, this one is index"),
    (folder(target="border"), SCENES, "target: border is for encoding: instances, this one is index"),
    (folder(border=3), SCENES, "border: a width is for encoding: instances with target: border"),
    (
        folder(encoding="rgb"),
        SCENES,
        "palette: encoding: rgb needs the colour of each class; set palette, or task.colours",
    ),
    (
        folder(encoding="rgb", palette=RED),
        PLANES,
        "encoding: a colour mask gives one class a pixel; the task is multilabel",
    ),
    (
        folder(encoding="rgb", palette={**RED, "raod": (1, 2, 3)}),
        SCENES,
        "palette: 'raod' is no class (did you mean 'road'?); use one of: background, road, car, ignore",
    ),
    (
        folder(encoding="rgb", palette={**RED, "car": ((9, 9, 9), (255, 0, 0))}),
        SCENES,
        "palette: 'road' and 'car' have one colour [255, 0, 0]; give each its own",
    ),
    (
        folder(encoding="rgb", palette=RED, values={0: 0}),
        SCENES,
        "values: not for encoding: rgb; colours are named by palette",
    ),
    (
        folder(encoding="instances", values={0: 0}),
        BINARY,
        "values: not for encoding: instances; every value above 0 is an object",
    ),
    (
        folder(encoding="instances"),
        SCENES,
        "target: binary needs a binary task, or background and one class; the task is multiclass with 3 classes",
    ),
    (
        folder(encoding="instances", target="border"),
        BINARY,
        "target: border needs classes background, inside and border; the task is binary with one class",
    ),
    (
        folder(encoding="instances", target="distance"),
        PLANES,
        "target: distance needs a multiclass task: background and one class for each level; "
        "the task is multilabel with 2 classes",
    ),
    (
        folder(encoding="planes"),
        SCENES,
        "encoding: planes give a pixel any number of classes; the task is multiclass",
    ),
    (
        folder(encoding="planes"),
        PLANES.model_copy(update={"ignore": 255}),
        "values: planes hold 0 and 1 or 255, but task.ignore is 255; say what the values mean, e.g. {0: 0, 255: 1}",
    ),
    (
        folder(encoding="planes", values={0: 0, 9: 2}),
        PLANES,
        "values: 9 is mapped to 2, which is not one of [0, 1]",
    ),
    (
        table(encoding="planes"),
        PLANES,
        "mask_columns: encoding: planes and mask_columns go together; give both or neither",
    ),
    (
        table(encoding="planes", mask_column=None, mask_columns={"lung": "a"}),
        PLANES,
        "mask_columns: name a column for each of lung, heart; 'heart' does not fit",
    ),
    (table(mask_column=None), SCENES, "mask_column is missing; name the column with the masks' paths"),
    (
        FolderSource(images="i"),
        SCENES,
        "masks is missing; name the folder of masks, or take unlabelled images out of data.train",
    ),
    (RleCsvSource(images="i", table="t"), SCENES, "class_column: a multiclass task needs it"),
    (
        RleCsvSource(images="i", table="t", class_column="c"),
        BINARY,
        "class_column: a binary task has one foreground class and takes no class_column",
    ),
    (
        RleCsvSource(images="i", table="t", overlap="order"),
        BINARY,
        "overlap: order is for multiclass tasks; in a binary task rows may overlap",
    ),
    (
        folder(role="train_only"),
        SCENES,
        "role: train_only leaves no item to score; let one source have role: full",
    ),
]


@pytest.mark.parametrize(("source", "task", "message"), REFUSED)
def test_what_does_not_fit_is_named_with_its_place(source, task, message):
    assert source_clashes("train", source, task) == [f"data.train.{message}"]


@pytest.mark.parametrize(
    ("source", "task"),
    [
        (folder(), BINARY),
        (folder(values={0: 0, 255: 1, 7: "ignore"}), BINARY),
        (folder(encoding="rgb", palette=RED), SCENES),
        (folder(encoding="rgb"), SCENES.model_copy(update={"colours": ((0, 0, 0), (1, 1, 1), (2, 2, 2))})),
        (folder(encoding="instances"), BINARY),
        (folder(encoding="instances"), Task(kind="multiclass", classes=("ground", "cell"))),
        (folder(encoding="instances", target="border", border=4), SCENES),
        (folder(encoding="instances", target="distance"), SCENES),
        (folder(encoding="planes", layout="class/key"), PLANES),
        (folder(encoding="planes", values={0: 0, 255: 1}), PLANES.model_copy(update={"ignore": 254})),
        (table(), SCENES),
        (table(encoding="planes", mask_column=None, mask_columns={"lung": "a", "heart": "b"}), PLANES),
        (RleCsvSource(images="i", table="t", class_column="c", overlap="large_first"), SCENES),
    ],
)
def test_what_fits_is_taken_also_with_every_default_written_out(source, task):
    assert source_clashes("train", source, task) == []
    assert source_clashes("train", type(source)(**source.model_dump()), task) == []


def test_masks_are_in_one_column_or_in_one_for_each_class():
    both = table(encoding="planes", mask_columns={"lung": "a", "heart": "b"})
    assert source_clashes("train", both, PLANES) == [
        "data.train: mask_column and mask_columns exclude each other; keep one"
    ]


def test_parts_of_a_merge_are_checked_one_by_one():
    merge = MergeSource(parts={"a": folder(palette=RED), "b": FolderSource(images="x", role="train_only")})
    assert source_clashes("train", merge, SCENES) == [
        "data.train.parts.a.palette: colours are for encoding: rgb, this one is index",
        "data.train.parts.b.masks is missing; name the folder of masks, or take unlabelled images out of data.train",
    ]
    assert source_clashes("test", merge, SCENES) == [
        "data.test.parts.a.palette: colours are for encoding: rgb, this one is index",
        "data.test.parts.b.role: train_only items are for data.train; test items are predicted and scored",
        "data.test.parts.b: unlabelled beside labelled parts; a test set has labels for all parts, or for none",
    ]
    only = MergeSource(parts={"a": folder(role="train_only"), "b": folder(role="train_only")})
    assert source_clashes("train", only, SCENES) == [
        "data.train.role: train_only leaves no item to score; let one source have role: full"
    ]


def test_an_unlabelled_test_set_needs_nothing_of_the_task():
    assert source_clashes("test", FolderSource(images="i"), PLANES) == []
    assert source_clashes("test", MergeSource(parts={"a": FolderSource(images="i")}), PLANES) == []


def test_part_names_can_begin_keys():
    for name in ("a/b", "", ".", "a b", "-"):
        with pytest.raises(ValueError, match="pattern"):
            MergeSource(parts={name: folder()})


def test_parts_and_labels_of_sources():
    merge = MergeSource(parts={"a": folder(), "b": TableSource(table="t")})
    assert [where for where, _ in parts_of("data.test", merge)] == ["data.test.parts.a", "data.test.parts.b"]
    assert [is_labelled(part) for _, part in parts_of("", merge)] == [True, False]
    assert [where for where, _ in parts_of("data.test", folder())] == ["data.test"]


def test_colours_of_a_palette_and_of_the_task():
    assert colours_of(folder(palette={"road": (1, 2, 3), "car": ((4, 5, 6), (7, 8, 9))}), SCENES) == {
        "road": ((1, 2, 3),),
        "car": ((4, 5, 6), (7, 8, 9)),
    }
    one = BINARY.model_copy(update={"colours": ((9, 9, 9),)})
    assert colours_of(folder(), one) == {"background": ((0, 0, 0),), "roof": ((9, 9, 9),)}
