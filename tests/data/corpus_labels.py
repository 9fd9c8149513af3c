"""Planted faults of content: label values, classes, masks and images that are legal but cannot be right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from corpus import (
    BINARY,
    PLANES,
    THREE,
    THREE_IGNORE,
    Planted,
    Planter,
    binary,
    clean_ignore,
    deep,
    folder_set,
    image,
    mask,
    read,
    save,
    scene,
    scenes,
    three,
    tiff,
    with_test,
)

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource, RleCsvSource


def stored(root: Path, table: list[int], task: Task = THREE, classes: int = 3) -> Planted:
    """Store each class as the value the table names."""
    return Planted(folder_set(root, classes=classes, store=lambda label: np.array(table, np.uint8)[label]), task)


def stray(root: Path) -> Planted:
    found = three(root, height=96, width=128)
    values = read(mask(root))
    values[10, 10:13] = 77
    save(mask(root), values)
    return found


def soft(root: Path) -> Planted:
    return Planted(folder_set(root, store=lambda label: cv2.GaussianBlur(label * 255, (5, 5), 1.2)))


def instances(root: Path) -> Planted:
    def numbered(label: np.ndarray) -> np.ndarray:
        return (cv2.connectedComponents(label)[1] + (label > 0) * np.arange(64) // 8).astype(np.uint8) * (label > 0)

    def ranked(label: np.ndarray) -> np.ndarray:
        return np.unique(numbered(label), return_inverse=True)[1].reshape(label.shape).astype(np.uint8)

    return Planted(folder_set(root, store=ranked, height=64, width=64))


def unknown_values(root: Path) -> Planted:
    return stored(root, [0, 1, 9, 40, 41], classes=5)


def other_ignore(root: Path) -> Planted:
    return replace(clean_ignore(root), task=THREE_IGNORE.model_copy(update={"ignore": 254}))


def undeclared_ignore(root: Path) -> Planted:
    return replace(clean_ignore(root), task=THREE)


def border_is_a_class(root: Path) -> Planted:
    """Ignored borders became the last class, and nothing is ignored."""

    def store(label: np.ndarray) -> np.ndarray:
        edge = cv2.dilate(label, np.ones((3, 3), np.uint8)) != label
        return np.where(edge, np.uint8(3), label)

    task = Task(kind="multiclass", classes=("ground", "blob", "bar", "hedge"), ignore=255)
    return Planted(folder_set(root, classes=3, store=store), task)


def conflict(root: Path) -> Planted:
    found = binary(root)
    save(image(root, 3), read(image(root, 4)))
    return found


def twice(root: Path) -> Planted:
    found = binary(root)
    save(image(root, 3), read(image(root, 4)), compress_level=1)
    save(mask(root, 3), read(mask(root, 4)))
    return found


def recompressed(root: Path) -> Planted:
    found = binary(root, height=128, width=160)
    picture, label = read(image(root, 3)), read(mask(root, 3))
    save(root / "images/item20.jpg", picture, quality=80)
    save(root / "masks/item20.png", label)
    return found


def in_both(root: Path) -> Planted:
    found = with_test(root)
    save(root / "test/item05.png", read(image(root, 2)))
    return found


def nearly_in_both(root: Path) -> Planted:
    found = with_test(root, height=128, width=160)
    save(root / "test/item05.jpg", read(image(root, 2)), quality=85)
    (root / "test/item05.png").unlink()
    return found


def label_as_image(root: Path) -> Planted:
    found = binary(root)
    save(image(root), read(mask(root)) * 200)
    return found


def flat_images(root: Path) -> Planted:
    found = binary(root)
    for path in (root / "images").iterdir():
        save(path, (read(path) > 120).astype(np.uint8) * 255)
    return found


def no_background(root: Path) -> Planted:
    task = Task(kind="multiclass", classes=("background", "blob", "bar"))
    return Planted(folder_set(root, classes=2, store=lambda label: label + 1), task)


def absent(root: Path) -> Planted:
    return Planted(folder_set(root, classes=2), THREE)


def nearly_nothing(root: Path) -> Planted:
    found = Planted(folder_set(root, count=30, store=lambda label: label * 0))
    save(mask(root), scene(3)[1])
    return found


def constant(root: Path) -> Planted:
    return Planted(folder_set(root, classes=3, store=lambda label: np.full_like(label, int(label.sum()) % 3)), THREE)


def same_label(root: Path) -> Planted:
    found = binary(root)
    save(mask(root, 3), read(mask(root, 4)))
    return found


def copied_planes(root: Path) -> Planted:
    rows = ["ImageId,name,EncodedPixels"]
    for key, picture, _ in scenes():
        save(root / "images" / f"{key}.png", picture)
        start = 200 + int(key[-2:]) * 7
        rows += [f"{key},{name},{start} 20 {start + 64} 20" for name in PLANES.classes]
    (root / "t.csv").write_text("\n".join(rows) + "\n")
    block = RleCsvSource(images="images", table="t.csv", class_column="name", order="row")
    return Planted(root, PLANES, block)


def upside_down(root: Path) -> Planted:
    return Planted(folder_set(root, store=lambda label: 1 - label))


def all_ignored(root: Path) -> Planted:
    return Planted(
        folder_set(root, classes=3, store=lambda label: np.where(label == 0, np.uint8(255), label)), THREE_IGNORE
    )


def one_ignored(root: Path) -> Planted:
    found = clean_ignore(root)
    save(mask(root), np.full((48, 64), 255, np.uint8))
    return found


def specks(root: Path) -> Planted:
    chance = np.random.default_rng(0)
    return Planted(folder_set(root, store=lambda label: label | (chance.random(label.shape) < 0.04).astype(np.uint8)))


def blank_with_label(root: Path) -> Planted:
    found = binary(root)
    save(image(root), np.full((48, 64, 3), 90, np.uint8))
    return found


def all_blank(root: Path) -> Planted:
    found = binary(root)
    for index, path in enumerate(sorted((root / "images").iterdir())):
        save(path, np.full((48, 64, 3), 60 + index, np.uint8))
        save(root / "masks" / path.name, read(root / "masks" / path.name) * 0)
    return found


def hidden(root: Path) -> Planted:
    found = binary(root)
    for path in (root / "images").iterdir():
        alpha = np.zeros((48, 64), np.uint8)
        alpha[:, :20] = 255
        save(path, np.dstack([read(path), alpha]))
    return found


def another_scale(root: Path) -> Planted:
    found = deep(root, 3, "float32", 1.0)
    path = root / "images/item03.tif"
    tiff(path, np.moveaxis(scene(3)[0], 2, 0).astype(np.float32) / 255)
    return found


def not_divided(root: Path) -> Planted:
    return replace(deep(root, 3, "float32", 40.0), more={"normalize": "imagenet"})


def one_tiny(root: Path) -> Planted:
    found = binary(root)
    save(image(root), read(image(root))[:8, :9])
    save(mask(root), read(mask(root))[:8, :9])
    return found


def one_long(root: Path) -> Planted:
    found = binary(root)
    picture, label = scene(77, 48, 48 * 12)
    save(image(root), picture)
    save(mask(root), label)
    return found


def rare(root: Path) -> Planted:
    found = three(root, count=24)
    for index in range(2, 24):
        save(mask(root, index), np.minimum(read(mask(root, index)), 1))
    return found


def full(root: Path) -> Planted:
    found = binary(root)
    save(mask(root), np.ones((48, 64), np.uint8))
    return found


def one_large(root: Path) -> Planted:
    found = binary(root)
    picture, label = scene(77, 400, 500)
    save(image(root), picture)
    save(mask(root), label)
    return found


def one_blank(root: Path) -> Planted:
    found = binary(root)
    save(image(root), np.full((48, 64, 3), 90, np.uint8))
    save(mask(root), np.zeros((48, 64), np.uint8))
    return found


def dead_band(root: Path) -> Planted:
    found = binary(root)
    for path in (root / "images").iterdir():
        pixels = read(path)
        pixels[:, :, 2] = 7
        save(path, pixels)
    return found


def grey_in_three(root: Path) -> Planted:
    found = binary(root)
    for path in (root / "images").iterdir():
        save(path, np.repeat(read(path)[:, :, :1], 3, axis=2))
    return found


def one_grey(root: Path) -> Planted:
    found = binary(root)
    save(image(root), read(image(root))[:, :, 0])
    return found


def mixed_formats(root: Path) -> Planted:
    found = binary(root)
    save(image(root).with_suffix(".bmp"), read(image(root)))
    image(root).unlink()
    return found


def small_things(root: Path) -> Planted:
    chance = np.random.default_rng(0)
    dots = [np.kron(chance.random((12, 16)) < 0.03, np.ones((2, 2))).astype(np.uint8) for _ in range(10)]
    found = binary(root)
    for index, part in enumerate(dots):
        label = np.zeros((48, 64), np.uint8)
        label[::4, ::4][part[:12, :16] > 0] = 1
        save(mask(root, index), cv2.dilate(label, np.ones((2, 2), np.uint8)))
    return found


def one_empty(root: Path) -> Planted:
    found = binary(root)
    save(mask(root), np.zeros((48, 64), np.uint8))
    return found


def turned_by_exif(root: Path) -> Planted:
    from PIL import Image

    found = binary(root)
    exif = Image.Exif()
    exif[0x0112] = 3
    save(image(root).with_suffix(".jpg"), read(image(root)), quality=95, exif=exif)
    image(root).unlink()
    return found


def one_dominates(root: Path) -> Planted:
    def store(label: np.ndarray) -> np.ndarray:
        thin = np.zeros_like(label)
        thin[2, 2], thin[9, 9] = 1, 2
        return thin

    return Planted(folder_set(root, classes=3, store=store, height=48, width=64), THREE)


def unlabelled_class_of_test(root: Path) -> Planted:
    found = three(root)
    for key, picture, label in scenes(5, 2, start=500):
        save(root / "test" / f"{key}.png", picture)
        save(root / "truth" / f"{key}.png", label)
    return replace(found, test=FolderSource(images="test", masks="truth"))


LABELS: dict[str, tuple[Planter, str]] = {
    "0 and 255 without a map": (lambda root: stored(root, [0, 255], BINARY, 2), "foreground_value"),
    "0 and 7": (lambda root: stored(root, [0, 7], BINARY, 2), "foreground_value"),
    "counted from 1": (lambda root: stored(root, [1, 2, 3]), "labels_off_by_one"),
    "a class more": (lambda root: stored(root, [0, 1, 2, 3], classes=4), "extra_class"),
    "0, 100, 200": (lambda root: stored(root, [0, 100, 200]), "spread_values"),
    "255 not declared": (undeclared_ignore, "ignore_undeclared"),
    "254 declared, 255 stored": (other_ignore, "ignore_elsewhere"),
    "a slip": (stray, "stray_value"),
    "smoothed masks": (soft, "soft_mask"),
    "objects numbered": (instances, "instance_map"),
    "unknown numbers": (unknown_values, "undeclared_value"),
    "ignored border as class": (border_is_a_class, "ignore_as_class"),
    "equal images, other labels": (conflict, "duplicate_conflict"),
    "equal images": (twice, "exact_duplicate"),
    "recompressed copy": (recompressed, "near_duplicate"),
    "training image in the test set": (in_both, "test_in_train"),
    "recompressed training image in the test set": (nearly_in_both, "test_near_train"),
    "label as image": (label_as_image, "image_is_label"),
    "images of two values": (flat_images, "images_like_masks"),
    "no background": (no_background, "background_absent"),
    "a class never drawn": (absent, "class_absent"),
    "no foreground at all": (lambda root: Planted(folder_set(root, store=lambda label: label * 0)), "no_foreground"),
    "nearly no foreground": (nearly_nothing, "mostly_empty"),
    "labels of images": (constant, "constant_labels"),
    "a mask twice": (same_label, "identical_labels"),
    "plane copied": (copied_planes, "planes_equal"),
    "inverted": (upside_down, "inverted"),
    "most pixels ignored": (all_ignored, "mostly_ignored"),
    "an item without a valid pixel": (one_ignored, "void_items"),
    "specks": (specks, "speckled_labels"),
    "blank image with label": (blank_with_label, "blank_labelled"),
    "all images blank": (all_blank, "all_blank"),
    "most pixels hidden": (hidden, "mostly_hidden"),
    "an image in fractions": (another_scale, "scale_differs"),
    "fractions expected": (not_divided, "divide_unfit"),
    "one tiny image": (one_tiny, "tiny_images"),
    "one long image": (one_long, "extreme_aspect"),
    "a rare class": (rare, "class_rare"),
    "one full mask": (full, "full_labels"),
    "one empty mask": (one_empty, "empty_labels"),
    "one large image": (one_large, "size_outlier"),
    "sizes": (one_large, "sizes_differ"),
    "proportions": (one_long, "aspects_differ"),
    "one blank image": (one_blank, "blank_images"),
    "a dead band": (dead_band, "constant_band"),
    "grey in three bands": (grey_in_three, "grey_as_colour"),
    "one grey image": (one_grey, "grey_beside_colour"),
    "two file formats": (mixed_formats, "formats_differ"),
    "objects of 4 pixels": (small_things, "tiny_objects"),
    "pixels hidden": (hidden, "hidden_pixels"),
    "turned by EXIF": (turned_by_exif, "exif_orientation"),
    "one class everywhere": (one_dominates, "class_dominates"),
    "ignore never used": (lambda root: replace(three(root), task=THREE_IGNORE), "ignore_unused"),
    "16 bit that hold 8": (lambda root: deep(root, 3, "uint16", 1.0), "range_unused"),
    "a class not in the test set": (unlabelled_class_of_test, "class_unseen"),
}
"""What is planted -> the function that does it, and the kind that must be found."""
