"""Join one folder of images with one sort of labels, as a recipe's source block and task, and say from what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from maskwright.core.errors import MaskwrightError
from maskwright.core.rle import guess_order
from maskwright.data.guess import files
from maskwright.data.guess.masks import MaskGuess, guess_masks, measure_masks, spread
from maskwright.data.guess.tree import Folder, split_of
from maskwright.data.pixels.rasters import read_header, read_image

JOINED = 0.6
"""Share of the labels that must have an image for a guess to be one."""
MOST_PIXELS = 1 << 30


@dataclass(frozen=True)
class Labels:
    """One way in which labels seem to lie beside images."""

    images: str
    """Folder below the root."""
    train: Mapping[str, Any]
    """Source block of a recipe."""
    task: Mapping[str, Any]
    keys: tuple[str, ...]
    """Of items with a label."""
    share: float
    """Of the images that have one."""
    split: str
    """train, val, test or nothing."""
    said: tuple[str, ...] = ()


def by_masks(
    root: Path, images: Folder, masks: Folder, named: Mapping[tuple[int, int, int], str], names: Sequence[str]
) -> Labels | None:
    """Join a folder of masks with a folder of images by key, with prefixes and suffixes if need be."""
    fitted = _fit(images, masks)
    if fitted is None:
        return None
    first, second = fitted
    joined = sorted(first.keys & second.keys)
    by_key = {second.key(name): name for name in second.names}
    told = guess_masks(measure_masks([root / masks.path / by_key[key] for key in joined]), named, names)
    if told is None:
        return None
    train = {"format": "folder", "images": images.path, "masks": masks.path}
    for name, folder in (("image", first), ("mask", second)):
        train |= {f"{name}_prefix": folder.prefix} if folder.prefix else {}
        train |= {f"{name}_suffix": folder.suffix} if folder.suffix else {}
    said = [f"{masks.path}: masks of {len(joined)} of the {len(first.keys)} images in {images.path}", *told.said]
    train |= _mask_block(told)
    if len(joined) < len(first.keys):
        train["missing_mask"] = "background"
        said.append(f"{len(first.keys) - len(joined)} images have no mask: taken for background (missing_mask)")
    return Labels(
        images.path,
        train,
        _task_of(told),
        tuple(joined),
        len(joined) / len(first.keys),
        _split(images, masks),
        tuple(said),
    )


def _split(images: Folder, labels: Folder) -> str:
    return images.split or labels.split


def _mask_block(told: MaskGuess) -> dict[str, Any]:
    block: dict[str, Any] = {}
    if told.encoding != "index":
        block["encoding"] = told.encoding
    if told.values is not None:
        block["values"] = dict(told.values)
    if told.palette is not None:
        block["palette"] = {name: list(colour) for name, colour in told.palette.items()}
    return block


def _task_of(told: MaskGuess) -> dict[str, Any]:
    task: dict[str, Any] = {"kind": told.kind, "classes": list(told.classes)}
    if told.ignore is not None:
        task["ignore"] = told.ignore
    if told.colours is not None:
        task["colours"] = [list(colour) for colour in told.colours]
    return task


def _fit(images: Folder, masks: Folder) -> tuple[Folder, Folder] | None:
    """Return both folders with the prefixes and suffixes that make their keys equal; None if few would join."""
    if _joins(images, masks):
        return images, masks
    ends = [_ends([str(PurePosixPath(name).with_suffix("")) for name in folder.names]) for folder in (images, masks)]
    for first in ends[0]:
        for second in ends[1]:
            pair = replace(images, prefix=first[0], suffix=first[1]), replace(masks, prefix=second[0], suffix=second[1])
            if _joins(*pair):
                return pair
    return None


def _joins(images: Folder, masks: Folder) -> bool:
    common = images.keys & masks.keys
    return len(common) >= JOINED * len(masks.keys) and len(common) >= min(2, len(masks.keys))


def _ends(stems: Sequence[str]) -> list[tuple[str, str]]:
    """Return prefixes and suffixes that all stems share, cut at _ or -, none first."""
    names = [stem.rpartition("/")[2] for stem in stems]
    start, end = _common(names), _common([name[::-1] for name in names])[::-1]
    starts = ["", *(start[: at + 1] for at, letter in enumerate(start) if letter in "_-")]
    ends = ["", *(end[at:] for at, letter in enumerate(end) if letter in "_-")]
    return [(first, second) for first in starts[:4] for second in ends[:4]]


def _common(names: Sequence[str]) -> str:
    length = 0
    for letters in zip(*names, strict=False):
        if len(set(letters)) > 1:
            break
        length += 1
    return names[0][:length] if len(names) > 1 else ""


def by_rle(root: Path, images: Folder, path: str) -> Labels | None:
    """Join a folder of images with a CSV file of run lengths; None if it is none."""
    table = files.rle_table(root, path, images.keys)
    if table is None:
        return None
    joined = sorted(images.keys & table.keys)
    order, reason = _order(root, images, table)
    train: dict[str, Any] = {"format": "rle_csv", "images": images.path, "table": path}
    train |= {"key_column": table.key, "rle_column": table.rle}
    said = [f"{path}: run lengths ({table.rle}) of {len(joined)} of the {len(images.keys)} images in {images.path}"]
    if table.class_column is not None:
        train["class_column"] = table.class_column
    if order:
        train["order"] = order
        said.append(f"run lengths go by {order}: {reason}")
    if table.rows == "instance":
        train["rows"] = "instance"
        said.append("several rows of one image are taken for its objects")
    if set(table.empty) - {"", "-1"}:
        train["empty"] = list(table.empty)
    if len(joined) < len(images.keys):
        train["missing_mask"] = "background"
        said.append(f"{len(images.keys) - len(joined)} images have no row: taken for background (missing_mask)")
    task: dict[str, Any] = {"kind": "binary", "classes": ["foreground"]}
    if table.class_column is not None:
        task = {"kind": "multilabel", "classes": list(table.classes)}
        said.append(f"{len(table.classes)} classes in column {table.class_column}; they may overlap, so multilabel")
    return Labels(images.path, train, task, tuple(joined), len(joined) / len(images.keys), images.split, tuple(said))


def _order(root: Path, images: Folder, table: files.RleTable) -> tuple[str, str]:
    """Guess in which order run lengths go, from a few rows and their images."""
    _, rows = files.read_rows(root / table.path)
    paths = {images.key(name): root / images.path / name for name in images.names}
    usable = [row for row in rows if row[table.rle] not in table.empty and files.stem(row[table.key]) in paths]
    some = spread(usable, 24)
    try:
        shapes = [read_header(paths[files.stem(row[table.key])], MOST_PIXELS).shape for row in some]
        found = guess_order(
            [row[table.rle] for row in some],
            shapes,
            image=lambda place: read_image(paths[files.stem(some[place][table.key])], MOST_PIXELS)[0],
        )
    except MaskwrightError:
        return "", ""
    return found.order, f"{found.reason} (confidence {found.confidence:.2f})"


def by_coco(root: Path, images: Folder, path: str) -> Labels | None:
    """Join a folder of images with a COCO file; None if it is none."""
    held = files.coco_file(root, path)
    if held is None:
        return None
    keys = {images.key(name) for name in held.names}
    joined = sorted(images.keys & keys)
    if len(joined) < JOINED * max(len(keys), 1):
        return None
    train: dict[str, Any] = {"format": "coco", "images": images.path, "annotations": path}
    said = [f"{path}: COCO, {held.annotations} annotations of {len(held.classes)} classes for {len(joined)} images"]
    if len(held.classes) == 1:
        task: dict[str, Any] = {"kind": "binary", "classes": list(held.classes)}
    else:
        try:
            shared, nested = files.overlaps(root, images.path, held)
        except MaskwrightError:  # what is wrong with the file, the audit says
            shared, nested = 0.0, 1.0
        several = shared > files.OVERLAPS and nested < files.NESTED
        task = {"kind": "multilabel" if several else "multiclass", "classes": list(held.classes)}
        what = "classes overlap, so multilabel" if several else "objects lie on objects or apart, so multiclass"
        said.append(
            f"several classes share {shared:.0%} of the labelled pixels, and {nested:.0%} of classes that meet lie "
            f"within one another: {what}"
        )
        if not several:
            train["overlap"] = "large_first"
            said.append("where annotations overlap, the smaller is seen (overlap: large_first)")
    split = images.split or split_of(str(PurePosixPath(path).with_suffix("")))
    return Labels(images.path, train, task, tuple(joined), len(joined) / len(images.keys), split, tuple(said))


def by_polygons(root: Path, images: Folder, path: str, names: tuple[str, ...]) -> Labels | None:
    """Join a folder of images with a folder of one JSON file each; None if they hold no outlines."""
    held = files.polygons_folder(root, path, names)
    if held is None:
        return None
    joined = sorted(images.keys & held.keys)
    if len(joined) < JOINED * len(held.keys):
        return None
    train: dict[str, Any] = {"format": "polygons", "images": images.path, "annotations": path}
    train |= {"label_field": held.label} if held.label != "label" else {}
    train |= {"points_field": held.points} if held.points != "points" else {}
    if len(joined) < len(images.keys):
        train["missing_mask"] = "background"
    kind = "multilabel" if len(held.classes) > 1 else "binary"
    said = f"{path}: outlines ({held.shapes}[].{held.points}) of {len(held.classes)} classes for {len(joined)} images"
    task = {"kind": kind, "classes": list(held.classes)}
    remark: tuple[str, ...] = (said, "outlines may overlap, so multilabel") if len(held.classes) > 1 else (said,)
    if held.traced:
        train["vertices"] = "centres"
        remark += ("some outlines have one or two vertices, as contour tracers write them (vertices: centres)",)
    return Labels(images.path, train, task, tuple(joined), len(joined) / len(images.keys), images.split, remark)


def by_table(root: Path, table: files.PathTable) -> Labels:
    """Take the images and masks that a CSV file names."""
    told = guess_masks(measure_masks([root / mask for _, mask in spread(table.pairs, 60)]), {}, ())
    train: dict[str, Any] = {
        "format": "csv",
        "table": table.path,
        "image_column": table.image,
        "mask_column": table.mask,
    }
    task: dict[str, Any] = {"kind": "binary", "classes": ["foreground"]}
    said = [f"{table.path}: paths of {len(table.pairs)} images and masks"]
    if told is not None:
        train |= _mask_block(told)
        task = _task_of(told)
        said += told.said
    keys = tuple(sorted(files.stem(image) for image, _ in table.pairs))
    return Labels("", train, task, keys, 1.0, split_of(str(PurePosixPath(table.path).with_suffix(""))), tuple(said))
