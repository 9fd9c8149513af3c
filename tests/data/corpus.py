"""Small generated sets, clean ones and ones with planted faults; each is written by a function of its own.

A scene is a textured ground with shapes on it, each class in its own colour, so that labels fit their
images as real ones do. A planter takes a folder, writes a set there and returns what an audit needs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource

BINARY = Task(kind="binary", classes=("blob",))
THREE = Task(kind="multiclass", classes=("ground", "blob", "bar"))
THREE_IGNORE = Task(kind="multiclass", classes=("ground", "blob", "bar"), ignore=255)
PLANES = Task(kind="multilabel", classes=("blob", "bar"))
COLOURS = np.array(
    [[96, 110, 84], [196, 90, 70], [70, 120, 200], [220, 210, 90], [150, 60, 190], [30, 160, 150]], np.float32
)
FOLDER = FolderSource(images="images", masks="masks")


@dataclass(frozen=True)
class Planted:
    """A set on disk and the recipe's words for it."""

    root: Path
    task: Task = BINARY
    train: Any = FOLDER
    test: Any = None
    more: dict[str, Any] = field(default_factory=dict)
    """Further settings of the data block."""


Planter = Callable[[Path], Planted]


def scene(seed: int, height: int = 48, width: int = 64, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Draw an image uint8 (H, W, 3) and its label uint8 (H, W) with every class in it."""
    chance = np.random.default_rng(1000 + seed)
    label = np.zeros((height, width), np.uint8)
    for kind in range(1, classes):
        for _ in range(int(chance.integers(1, 4))):
            at = (int(chance.integers(6, width - 6)), int(chance.integers(6, height - 6)))
            size = (int(chance.integers(3, 9)), int(chance.integers(3, 7)))
            if kind == 1:
                cv2.ellipse(label, at, size, float(chance.integers(0, 180)), 0, 360, kind, -1)
            else:
                cv2.rectangle(label, at, (at[0] + size[0], at[1] + size[1]), kind, -1)
        if not (label == kind).any():
            label[kind * 3 : kind * 3 + 3, 2:6] = kind
    texture = cv2.resize(chance.normal(0, 14, (height // 6, width // 6, 3)), (width, height))
    image = COLOURS[label] + texture + chance.normal(0, 5, (height, width, 3)) + chance.normal(0, 8, 3)
    return np.clip(image, 1, 255).astype(np.uint8), label


def scenes(
    count: int = 10, classes: int = 2, start: int = 0, **size: int
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Give key, image and label of several scenes."""
    for index in range(count):
        yield (f"item{index:02}", *scene(start + index, classes=classes, **size))


def save(path: Path, array: np.ndarray, **options: Any) -> Path:
    """Write an array as the image its suffix names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)
    return path


def tiff(path: Path, bands: np.ndarray, **options: Any) -> Path:
    """Write (B, H, W) as a GeoTIFF."""
    import rasterio
    from rasterio.transform import Affine

    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "GTiff", "count": bands.shape[0], "height": bands.shape[1], "width": bands.shape[2],
        "dtype": bands.dtype, "crs": "EPSG:32645", "transform": Affine(0.5, 0, 3e5, 0, -0.5, 3e6), **options,
    }  # fmt: skip
    with rasterio.open(path, "w", **profile) as file:
        file.write(bands)
    return path


def folder_set(
    root: Path,
    count: int = 10,
    classes: int = 2,
    store: Callable[[np.ndarray], np.ndarray] = lambda label: label,
    start: int = 0,
    **size: int,
) -> Path:
    """Write images/*.png and masks/*.png; `store` turns a label into what its mask holds."""
    for key, image, label in scenes(count, classes, start, **size):
        save(root / "images" / f"{key}.png", image)
        save(root / "masks" / f"{key}.png", store(label))
    return root


def binary(root: Path, **more: Any) -> Planted:
    """Write a clean binary set."""
    return Planted(folder_set(root, **more))


def three(root: Path, **more: Any) -> Planted:
    """Write a clean set of three classes."""
    return Planted(folder_set(root, classes=3, **more), THREE)


def deep(root: Path, bands: int = 5, dtype: str = "uint16", scale: float = 40.0, **options: Any) -> Planted:
    """Write a clean set of GeoTIFFs with several bands and PNG masks."""
    for key, image, label in scenes():
        stack = np.concatenate([image, image[:, :, ::-1]], axis=2)[:, :, :bands].astype(np.float32) * scale
        tiff(root / "images" / f"{key}.tif", np.moveaxis(stack, 2, 0).astype(dtype), **options)
        save(root / "masks" / f"{key}.png", label)
    return Planted(root)


def with_test(root: Path, **more: Any) -> Planted:
    """Write a clean binary set and unlabelled images to predict."""
    found = binary(root, **more)
    for key, image, _ in scenes(10, start=500):
        save(root / "test" / f"{key}.png", image)
    return replace(found, test=FolderSource(images="test"))


def image(root: Path, index: int = 3) -> Path:
    """Return the file of one image."""
    return root / "images" / f"item{index:02}.png"


def mask(root: Path, index: int = 3) -> Path:
    """Return the file of one mask."""
    return root / "masks" / f"item{index:02}.png"


def read(path: Path) -> np.ndarray:
    """Decode an image."""
    return np.array(Image.open(path))


# ---- sets without a fault -----------------------------------------------------------------------------------------


def clean_values(root: Path) -> Planted:
    """0/255 masks with their map."""
    folder_set(root, store=lambda label: label * 255)
    return Planted(root, train=FolderSource(images="images", masks="masks", values={0: 0, 255: 1}))


def clean_ignore(root: Path) -> Planted:
    """Three classes, and a border that is ignored."""

    def store(label: np.ndarray) -> np.ndarray:
        edge = cv2.morphologyEx(label, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        return np.where(edge, np.uint8(255), label)

    return Planted(folder_set(root, classes=3, store=store), THREE_IGNORE)


def clean_names(root: Path) -> Planted:
    """Images and masks in one folder, told apart by suffixes."""
    for key, picture, label in scenes():
        save(root / "all" / f"{key}_img.jpg", picture, quality=95)
        save(root / "all" / f"{key}_mask.png", label)
    return Planted(root, train=FolderSource(images="all", masks="all", image_suffix="_img", mask_suffix="_mask"))


def clean_subfolders(root: Path) -> Planted:
    """Keys with folders in them."""
    for index, (key, picture, label) in enumerate(scenes()):
        save(root / "images" / f"day{index % 2}" / f"{key}.png", picture)
        save(root / "masks" / f"day{index % 2}" / f"{key}.png", label)
    return Planted(root)


def clean_negatives(root: Path) -> Planted:
    """Some images without a mask, which means background."""
    folder_set(root)
    for index in (11, 12):
        texture = np.random.default_rng(index).normal(0, 12, (48, 64, 3))
        save(image(root, index), np.clip(COLOURS[0] + texture, 1, 255).astype(np.uint8))
    return Planted(root, train=FolderSource(images="images", masks="masks", missing_mask="background"))


def clean_sizes(root: Path) -> Planted:
    """Images of several sizes and proportions."""
    for index, (height, width) in enumerate([(48, 64), (64, 48), (40, 72), (56, 56)] * 3):
        picture, label = scene(index, height, width)
        save(root / "images" / f"item{index:02}.png", picture)
        save(root / "masks" / f"item{index:02}.png", label)
    return Planted(root)


def clean_alpha(root: Path) -> Planted:
    """Some pixels hidden by alpha."""
    for index, (key, picture, label) in enumerate(scenes()):
        alpha = np.full(picture.shape[:2], 255, np.uint8)
        alpha[:2, : index % 3] = 0
        save(root / "images" / f"{key}.png", np.dstack([picture, alpha]))
        save(root / "masks" / f"{key}.png", label)
    return Planted(root)


def clean_grey(root: Path) -> Planted:
    """One band."""
    folder_set(root)
    for path in sorted((root / "images").iterdir()):
        save(path, read(path)[:, :, 0])
    return Planted(root)


def clean_palette(root: Path) -> Planted:
    """Masks as palette PNGs."""
    for key, picture, label in scenes(classes=3):
        save(root / "images" / f"{key}.png", picture)
        indexed = Image.fromarray(label)
        indexed.putpalette([int(shade) for colour in COLOURS for shade in colour])
        (root / "masks").mkdir(exist_ok=True)
        indexed.save(root / "masks" / f"{key}.png")
    return Planted(root, THREE)


def clean_nodata(root: Path) -> Planted:
    """GeoTIFFs with a nodata value at one corner."""
    found = deep(root, bands=4, nodata=0)
    import rasterio

    for path in sorted((root / "images").iterdir())[:3]:
        with rasterio.open(path, "r+", driver="GTiff") as file:
            pixels = file.read()
            pixels[:, :3, :3] = 0
            file.write(pixels)
    return found


CLEAN: dict[str, Planter] = {
    "binary": binary,
    "three classes": three,
    "0 and 255": clean_values,
    "ignored border": clean_ignore,
    "suffixes in one folder": clean_names,
    "sub-folders": clean_subfolders,
    "negatives": clean_negatives,
    "sizes": clean_sizes,
    "alpha": clean_alpha,
    "grey": clean_grey,
    "palette": clean_palette,
    "16 bit": deep,
    "float": lambda root: deep(root, 3, "float32", 1 / 255),
    "bands chosen": lambda root: replace(deep(root, 6), more={"bands": (4, 2, 1)}),
    "signed with nodata": lambda root: deep(root, 3, "int16", 30, nodata=-1),
    "nodata": clean_nodata,
    "with a test set": with_test,
    "larger": lambda root: binary(root, count=6, height=120, width=160),
}
"""Name -> the function that writes a folder set without a fault; corpus_tables.py has the other formats."""
