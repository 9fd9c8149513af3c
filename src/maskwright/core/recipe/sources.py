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


Side = Annotated[int, Field(ge=16, le=65536)]
"""Side of a chip in pixels."""
PartName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$")]
"""Name of a part of a merge; keys begin with it."""


class SourceBlock(Block):
    """What every source can say about its items."""

    weight: float = Field(default=1.0, gt=0, le=1000)
    """How often an item is drawn in training, relative to items of other sources of a merge."""
    role: Literal["full", "train_only"] = "full"
    """train_only: external or noisy items, in the training part of every fold and never scored."""


class MaskBlock(SourceBlock):
    """What raster masks hold, whichever way they are joined to their images."""

    encoding: Literal["index", "rgb", "instances", "planes", "soft"] = "index"
    """index: a value (or palette index) for each class; rgb: a colour for each class; instances: 0 for background
    and a number for each object, 8 to 32 bits; planes: a mask of its own for each class of a multilabel task; soft:
    masks of probabilities, 255 or (16 bits) 65535 being 1, one for each class as in planes, for a binary task the
    foreground's alone."""
    values: ValueMap | None = None
    """Raw mask value -> class id or ignore, e.g. {0: 0, 255: 1}; None: raw values are class ids, and in planes 0 is
    absent, 1 and 255 are present."""
    palette: dict[str, Colour | tuple[Colour, ...]] | None = None
    """For rgb: class name, background or ignore -> its colour [R, G, B], or a list of colours; None: task.colours."""
    target: Literal["binary", "border", "distance"] = "binary"
    """For instances. binary: object or not; border: classes background, inside and touching border, in this order;
    distance: background, then levels of distance to the object's edge from the rim to the core, one for each
    further class."""
    border: int = Field(default=2, ge=1, le=50)
    """For target border: pixels that are at most this many pixels (in height and in width) from two objects."""
    missing_mask: Literal["refuse", "background"] = "refuse"
    """What an image without a mask (in planes: without the mask of a class) means."""


class FolderSource(MaskBlock):
    """Images in a folder; masks, if any, in another, joined by key.

    The key is the path below `images` without its suffix, without `image_prefix` and `image_suffix`, and without
    the folder `image_folder`; that of a mask is made in the same way.
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
    image_prefix: str = ""
    """Start of an image's file name that is not part of the key, e.g. img_."""
    mask_prefix: str = ""
    """Start of a mask's file name that is not part of the key, e.g. mask_."""
    image_folder: Below = ""
    """Folder in the path of images that is not part of the key: with images: . and image_folder: images,
    scene1/images/a.png has the key scene1/a."""
    mask_folder: Below = ""
    """Folder in the path of masks that is not part of the key."""
    key: Literal["path", "name"] = "path"
    """path: the path below the folder; name: the file name alone, whatever folder it is in."""
    layout: Literal["key/class", "class/key"] | None = None
    """For planes and soft: <key>/<class>.png, as output format masks writes it, or <class>/<key>.png; None:
    guessed, and printed."""

    @property
    def labelled(self) -> bool:
        """Whether there is a folder of masks."""
        return self.masks is not None


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
    overlap: Literal["refuse", "order", "large_first"] = "refuse"
    """What a pixel in rows of two classes is in a multiclass task: a fault, of the later row, or of the smaller."""
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


class TableSource(MaskBlock):
    """A CSV file with a row for each item: the image's path, the mask's, and columns to group by.

    The key is the image's path without its suffix.
    """

    format: Literal["csv"] = "csv"
    table: Below
    """CSV file, below data.root; its paths are below data.root too."""
    image_column: str = "image"
    """Column with the image's path."""
    mask_column: str | None = None
    """Column with the mask's path; None: unlabelled."""
    mask_columns: dict[str, str] | None = None
    """For planes: class name -> column with the path of its mask."""

    @property
    def labelled(self) -> bool:
        """Whether any column names masks."""
        return self.mask_column is not None or self.mask_columns is not None


class SceneSource(SourceBlock):
    """GeoTIFF scenes and labels on the ground: polygons in any coordinate system, or label rasters on any grid.

    Scenes are cut into chips, which are the items: the key is the scene's key and where the chip begins, in pixels
    as they are used (`town/00512_01024`). Nothing is written; every chip is read from its file when it is needed.
    """

    format: Literal["scenes"] = "scenes"
    images: Below | None = None
    """A GeoTIFF or a folder of them, below data.root. Give either this or table."""
    labels: Below | None = None
    """A file of polygons (GeoJSON, GPKG, FlatGeobuf) or a label raster for all scenes, or a folder with one for each
    scene, of the scene's key; None: unlabelled, unless the table has a label_column."""
    table: Below | None = None
    """CSV file with a row for each scene, below data.root; its paths are below data.root too."""
    image_column: str = "img_uri"
    """Column of the table with the scene's path."""
    label_column: str | None = None
    """Column of the table with the path of its polygons or label raster."""
    uri_prefix: str = ""
    """Start of the table's paths that is taken off, e.g. the address of the archive they were copied from."""
    within: Below | None = None
    """Only rows of the table whose scene lies below this folder, e.g. train_tier_1; None: all."""
    image_suffix: str = ""
    """End of a scene's stem that is not part of the key."""
    label_suffix: str = ""
    """End of a label file's stem that is not part of the key, e.g. -labels."""
    missing_mask: Literal["refuse", "background"] = "refuse"
    """What a scene without a label file of its own means."""
    layer: str | None = None
    """Layer of a GPKG; None: the only one."""
    attribute: str | None = None
    """Attribute of polygons that names their class; None: in a binary task every polygon is foreground."""
    categories: dict[CategoryName, str] | None = None
    """Value of the attribute -> class name, background or ignore; values that are not named here go by the name they
    share with a class."""
    values: ValueMap | None = None
    """For label rasters: raw value -> class id or ignore; None: raw values are class ids."""
    pixels: Literal["centre", "all_touched"] = "centre"
    """Which pixels a polygon covers: those whose centre is inside, or all that it touches."""
    overlap: Literal["large_first", "order"] = "order"
    """Who is seen where polygons overlap in a multiclass task: the smaller, or the later in the file."""
    unlabelled: str | None = None
    """Class of pixels that no polygon covers, or ignore, in a multiclass task; None: the class called background
    if there is one, else ignore."""
    area: Below | None = None
    """Polygons of where labels were drawn (area of interest); outside nothing counts. None: everywhere."""
    crs: str | None = None
    """Coordinate system of scenes that do not name theirs, e.g. EPSG:32645; None: they have no place."""
    label_crs: str | None = None
    """Coordinate system of polygons or label rasters, where their file does not say it or says a wrong one."""
    swap_axes: bool = False
    """Polygons are written as latitude, longitude (y before x)."""
    chip: Side | tuple[Side, Side] | Literal["whole"] = 1024
    """Side or (height, width) of chips in pixels as they are used; a scene is cut evenly, so that they differ a little
    and meet without overlap. whole: each scene is one item."""
    chip_overlap: float = Field(default=0.0, ge=0, le=0.75)
    """Share of a chip that the next one covers again; chips beyond the even cut only ever train."""
    gsd: float | None = Field(default=None, gt=0, le=1000)
    """Metres that a pixel is to measure on the ground; scenes are resampled to that. None: as they are."""
    scales: tuple[Annotated[float, Field(ge=0.1, le=16)], ...] = ()
    """Scales that items are cut at besides 1, e.g. [2, 0.5]: at 2 a pixel covers twice the length, at 0.5 half of it.
    These items only ever train."""

    @property
    def labelled(self) -> bool:
        """Whether there are labels."""
        return self.labels is not None or self.label_column is not None

    @property
    def chip_shape(self) -> tuple[int, int] | None:
        """(height, width) of chips, None for whole scenes."""
        if self.chip == "whole":
            return None
        return (self.chip, self.chip) if isinstance(self.chip, int) else (self.chip[0], self.chip[1])


class MinedSource(SourceBlock):
    """Windows of images without labels in which models found nothing: all background, listed by maskwright mine.

    Nothing is copied. A window trains only the folds whose own models looked at it.
    """

    format: Literal["mined"] = "mined"
    list: str
    """JSON file that maskwright mine wrote; relative to the current directory, as data.root is."""
    images: str = "."
    """Folder that the list's images lie in, relative to data.root."""
    role: Literal["train_only"] = "train_only"
    """These items are never scored."""
    hard: float = Field(default=1.0, ge=1, le=100)
    """How much more often labelled items are drawn on which a fold's own models were confidently wrong, in windows
    around these places; 1: no more."""


class MergeSource(Block):
    """Several sources as one; keys begin with the part's name and a slash."""

    format: Literal["merge"] = "merge"
    parts: dict[PartName, PlainSource] = Field(min_length=1)
    """Name -> source, each with its own weight and role."""
    bare: PartName | None = None
    """Part whose keys stay as they are alone, so that folds and lists of a recipe without the merge hold."""


def vector_clashes(name: str, source: CocoSource | PolygonsSource | SceneSource, task: Task) -> list[str]:
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
    FolderSource | RleCsvSource | CocoSource | PolygonsSource | TableSource | SceneSource | MinedSource,
    Field(discriminator="format"),
]
Source = Annotated[
    FolderSource | RleCsvSource | CocoSource | PolygonsSource | TableSource | SceneSource | MinedSource | MergeSource,
    Field(discriminator="format"),
]
MergeSource.model_rebuild()
