"""Recipe blocks of where labelled items come from: one per layout, and the merge of several."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from maskwright.core.errors import near
from maskwright.core.labels import Task
from maskwright.core.recipe.base import Block

ValueMap = dict[int, int | Literal["ignore"]]
Shade = Annotated[int, Field(ge=0, le=255)]
Colour = tuple[Shade, Shade, Shade]


def _below_root(name: str | None) -> str | None:
    if name is not None and (name.startswith(("/", "~")) or "\\" in name or ".." in name.split("/")):
        raise ValueError(f"'{name}' must lie below data.root; set data.root, and give names below it")
    return name


Below = Annotated[str, AfterValidator(_below_root)]
"""A path below data.root, so that a run folder names no machine's paths."""


def _id_as_text(name: object) -> object:
    return str(name) if isinstance(name, int) and not isinstance(name, bool) else name


CategoryName = Annotated[str, BeforeValidator(_id_as_text)]
"""A category's name, or its id."""


class SourceBlock(Block):
    """What every source can say about its items."""

    weight: float = Field(default=1.0, gt=0, le=1000)
    """How often an item is drawn in training, relative to items of other sources of a merge."""
    role: Literal["full", "train_only"] = "full"
    """train_only: external or noisy items, in the training part of every fold and never scored."""


class FolderSource(SourceBlock):
    """Images in a folder; masks, if any, in another, one index image for each key.

    The key is the path below `images` without its suffix (and without `image_suffix`).
    """

    format: Literal["folder"] = "folder"
    images: Below
    """Folder of images, below data.root."""
    masks: Below | None = None
    """Folder of masks, below data.root; None: unlabelled."""
    image_suffix: str = ""
    """End of an image's stem that is not part of the key, e.g. _img."""
    mask_suffix: str = ""
    """End of a mask's stem that is not part of the key, e.g. _mask."""
    values: ValueMap | None = None
    """Raw mask value -> class id or ignore, e.g. {0: 0, 255: 1}; None: raw values are class ids."""
    missing_mask: Literal["refuse", "background"] = "refuse"
    """What an image without a mask means."""


class RleCsvSource(SourceBlock):
    """Images in a folder and run lengths in a CSV file, joined by key."""

    format: Literal["rle_csv"] = "rle_csv"
    images: Below
    """Folder of images, below data.root."""
    table: Below
    """CSV file, below data.root."""
    key_column: str = "ImageId"
    """Column with the image's name, with or without suffix."""
    rle_column: str = "EncodedPixels"
    """Column with `start length start length ...`."""
    class_column: str | None = None
    """Column with the class name or id: one row per image and class. Needed unless the task is binary."""
    order: Literal["row", "column"] | None = None
    """row: left to right, then down; column: top to bottom, then right (Kaggle). None: guessed, and printed."""
    base: Literal[0, 1] = 1
    """Number of the first pixel."""
    rows: Literal["image", "instance"] = "image"
    """image: one row per image, a second one is a fault; instance: rows of one image are joined."""
    empty: tuple[str, ...] = ("", "-1")
    """Texts that stand for a mask without pixels."""
    missing_mask: Literal["refuse", "background"] = "refuse"
    """What an image without a row means."""


class CocoSource(SourceBlock):
    """Images in a folder and one COCO JSON file: polygons, run lengths, crowds, joined by file_name."""

    format: Literal["coco"] = "coco"
    images: Below
    """Folder that file_name in the JSON is below, below data.root."""
    annotations: Below
    """JSON file, below data.root."""
    categories: dict[CategoryName, str] | None = None
    """Category name (or id, in digits; an id goes first) -> class name, background or ignore; categories that
    are not named here go by the name they share with a class."""
    overlap: Literal["large_first", "order", "highest_id"] = "large_first"
    """Who is seen where annotations overlap in a multiclass task: the smaller, the later in the file, or the
    higher annotation id."""
    crowd: Literal["ignore", "draw", "skip"] = "ignore"
    """What iscrowd regions are: pixels that never count, objects like others, or nothing."""
    unlabelled: str | None = None
    """Class of pixels that no annotation covers, or ignore, in a multiclass task; None: the class called
    background if there is one, else ignore."""
    missing_outline: Literal["refuse", "skip", "box"] = "refuse"
    """What an annotation without a segmentation is: a fault, nothing, or its bbox filled."""


class PolygonsSource(SourceBlock):
    """Images in a folder and one JSON file of polygons for each, joined by key."""

    format: Literal["polygons"] = "polygons"
    images: Below
    """Folder of images, below data.root."""
    annotations: Below
    """Folder of JSON files, below data.root."""
    shapes_field: str | None = None
    """Key of the list of shapes; None: annotations, shapes or objects, whichever is there."""
    label_field: str = "label"
    """Key of a shape's class name."""
    points_field: str = "points"
    """Key of a shape's vertices, [[x, y], ...] in pixels."""
    categories: dict[CategoryName, str] | None = None
    """Label in the JSON -> class name, background or ignore; labels that are not named here go by the name they
    share with a class."""
    vertices: Literal["corners", "centres"] = "corners"
    """corners: (0, 0) is the corner of the first pixel, and pixels whose centre is inside are drawn; centres:
    (0, 0) is its centre, and the outline is drawn too, as contour tracers such as OpenCV's write them."""
    overlap: Literal["large_first", "order"] = "order"
    """Who is seen where shapes overlap in a multiclass task: the smaller, or the later in the file."""
    unlabelled: str | None = None
    """Class of pixels that no shape covers, or ignore, in a multiclass task; None: the class called background
    if there is one, else ignore."""
    missing_mask: Literal["refuse", "background"] = "refuse"
    """What an image without a JSON file means."""


class TableSource(SourceBlock):
    """A CSV file with a row for each item: the image's path, the mask's, and columns to group by."""

    format: Literal["csv"] = "csv"
    table: Below
    """CSV file, below data.root; its paths are below data.root too."""
    image_column: str = "image"
    """Column with the image's path."""
    mask_column: str | None = None
    """Column with the mask's path; None: unlabelled."""
    values: ValueMap | None = None
    """Raw mask value -> class id or ignore; None: raw values are class ids."""
    missing_mask: Literal["refuse", "background"] = "refuse"
    """What an empty cell in the mask's column means."""


class MergeSource(Block):
    """Several sources as one; keys begin with the part's name and a slash."""

    format: Literal["merge"] = "merge"
    parts: dict[str, PlainSource] = Field(min_length=1)
    """Name -> source, each with its own weight and role."""


def vector_clashes(name: str, source: CocoSource | PolygonsSource, task: Task) -> list[str]:
    """List where a source of outlines and the task disagree, in words.

    Args:
        name: of the source in the recipe, e.g. data.train.
        source: its block.
        task: names the classes.
    """
    found = []
    targets = list(dict.fromkeys([*task.classes, "background", "ignore"]))
    for category, target in (source.categories or {}).items():
        if target not in targets:
            found.append(
                f"{name}.categories: '{category}' is mapped to '{target}', which is no class"
                f"{near(target, targets)}; use one of: {', '.join(targets)}"
            )
    if source.unlabelled is None:
        return found
    if task.kind != "multiclass":
        found.append(f"{name}.unlabelled: in a {task.kind} task, what nothing covers is 0; leave it out")
    elif source.unlabelled not in (*task.classes, "ignore"):
        hint = near(source.unlabelled, task.classes)
        listed = ", ".join([*task.classes, "ignore"])
        found.append(f"{name}.unlabelled: '{source.unlabelled}' is no class{hint}; use one of: {listed}")
    return found


PlainSource = Annotated[
    FolderSource | RleCsvSource | CocoSource | PolygonsSource | TableSource, Field(discriminator="format")
]
Source = Annotated[
    FolderSource | RleCsvSource | CocoSource | PolygonsSource | TableSource | MergeSource,
    Field(discriminator="format"),
]
MergeSource.model_rebuild()
