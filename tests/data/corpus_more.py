"""More planted faults, found by trying what was not in the corpus before: odd files, odd names, odd JSON and CSV."""

from __future__ import annotations

import json
import shutil
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from corpus import BINARY, COLOURS, Planted, Planter, binary, clean_palette, deep, folder_set, image, mask, read, save
from corpus_tables import class_table, coco, paths, polygons, set_cell, table, update
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.recipe.sources import FolderSource, MergeSource


def png(
    width: int, height: int, depth: int, kind: int, rows: bytes, palette: bytes = b"", interlaced: int = 0
) -> bytes:
    """Return a PNG of packed rows whose checksums are right."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced))]
    parts += [(b"PLTE", palette)] if palette else []
    parts += [(b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def rows_of(array: np.ndarray) -> bytes:
    """Pack an array as rows of a PNG without filters."""
    return b"".join(b"\0" + row.tobytes() for row in array)


def half(array: np.ndarray) -> bytes:
    """Pack the first half of the rows."""
    rows = rows_of(array)
    return rows[: len(rows) // 2]


def with_file(path: Callable[[Path], Path], content: Callable[[Path], bytes]) -> Planter:
    """Return a planter that puts other bytes in the place of one file of a binary set."""

    def plant(root: Path) -> Planted:
        found = binary(root)
        path(root).write_bytes(content(root))
        return found

    return plant


def bits(root: Path) -> bytes:
    return png(64, 48, 1, 0, half(np.packbits(read(mask(root)), axis=1)))


def indices(root: Path) -> bytes:
    return png(64, 48, 8, 3, half(read(mask(root))), bytes(range(30)))


def grey_and_alpha(root: Path) -> bytes:
    grey = read(image(root))[:, :, 0]
    return png(64, 48, 8, 4, half(np.dstack([grey, np.full_like(grey, 255)])))


def deep_colour(root: Path) -> bytes:
    return png(64, 48, 16, 2, half(read(image(root)).astype(">u2")))


def no_palette(root: Path) -> bytes:
    return png(64, 48, 8, 3, rows_of(read(image(root))[:, :, 0]))


def short_palette(root: Path) -> bytes:
    return png(64, 48, 8, 3, rows_of(read(image(root))[:, :, 0]), bytes(range(30)))


def zeros_behind(root: Path) -> Planted:
    """A JPEG of its whole length, of which half was copied."""
    found = binary(root)
    path = save(image(root).with_suffix(".jpg"), read(image(root)), quality=95)
    image(root).unlink()
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    return found


def moving_png(root: Path) -> Planted:
    found = binary(root)
    frames = [Image.fromarray(read(image(root, index))) for index in (3, 4)]
    frames[0].save(image(root), save_all=True, append_images=frames[1:])
    return found


def other_palette(root: Path) -> Planted:
    found = clean_palette(root)
    turned = np.array([0, 2, 1, *range(3, 256)], np.uint8)
    picture = Image.fromarray(turned[read(mask(root))])
    picture.putpalette([int(shade) for colour in COLOURS[[0, 2, 1, 3, 4, 5]] for shade in colour])
    picture.save(mask(root))
    return found


def change_tiffs(root: Path, change: Callable[[np.ndarray], None], dtype: str, scale: float) -> Planted:
    """Change the pixels (B, H, W) of four GeoTIFFs."""
    import rasterio

    found = deep(root, 3, dtype, scale)
    for path in sorted((root / "images").iterdir())[:4]:
        with rasterio.open(path, "r+", driver="GTiff") as file:
            pixels = file.read()
            change(pixels)
            file.write(pixels)
    return found


def infrared(root: Path) -> Planted:
    return deep(root, 4, "uint8", 1.0)  # GDAL calls the fourth band of 8 bit alpha


def mixed_foreground(root: Path) -> Planted:
    found = binary(root)
    for index in range(4):
        save(mask(root, index), read(mask(root, index)) * 255)
    return found


def two_classes(root: Path) -> Planted:
    return Planted(folder_set(root, store=lambda label: label * 255), Task(kind="multiclass", classes=("sky", "blob")))


def composed(root: Path) -> Planted:
    found = binary(root)
    for form in ("NFC", "NFD"):
        shutil.copy(image(root), root / "images" / unicodedata.normalize(form, "é.png"))
        shutil.copy(mask(root), root / "masks" / unicodedata.normalize(form, "é.png"))
    return found


def composed_coco(root: Path) -> Planted:
    found = coco(root)
    for form in ("NFC", "NFD"):
        shutil.copy(image(root), root / "images" / unicodedata.normalize(form, "é.png"))
    return found


def loop(root: Path) -> Planted:
    found = binary(root)
    (root / "images" / "a.png").symlink_to(root / "images" / "b.png")
    (root / "images" / "b.png").symlink_to(root / "images" / "a.png")
    return found


def renamed(source: Callable[[Path], Path], name: str) -> Planter:
    """Return a planter that renames one file."""

    def plant(root: Path) -> Planted:
        found = binary(root)
        source(root).rename(source(root).with_name(name))
        return found

    return plant


def edited(planter: Planter, name: str, change: Callable[[bytes], bytes]) -> Planter:
    """Return a planter that edits the bytes of a label file."""

    def plant(root: Path) -> Planted:
        found = planter(root)
        (root / name).write_bytes(change((root / name).read_bytes()))
        return found

    return plant


def repeated(plain: dict[str, Any]) -> None:
    plain["annotations"].append({**plain["annotations"][3], "id": 9999})


def texts_as_ids(plain: dict[str, Any]) -> None:
    for entry in plain["annotations"]:
        entry["category_id"] = str(entry["category_id"])


def unsized_twice_as_large(root: Path) -> Planted:
    found = polygons(root)
    for path in (root / "json").iterdir():
        plain = json.loads(path.read_text())
        del plain["width"], plain["height"]
        for shape in plain["shapes"]:
            shape["points"] = (np.array(shape["points"]) * 3).tolist()
        path.write_text(json.dumps(plain))
    return found


def json_twins(root: Path) -> Planted:
    found = polygons(root)
    shutil.copy(root / "json/item03.json", root / "json/item03.JSON")
    return found


def unlabelled_part(root: Path) -> Planted:
    binary(root)
    parts = {"a": FolderSource(images="images", masks="masks"), "b": FolderSource(images="images")}
    return Planted(root, BINARY, MergeSource(parts=parts))


def turned_images(root: Path) -> Planted:
    found = binary(root)
    for path in sorted((root / "images").iterdir()):
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.rot90(read(path)).copy()).save(path.with_suffix(".jpg"), quality=95, exif=exif)
        path.unlink()
    return found


def antialiased(root: Path) -> Planted:
    def store(label: np.ndarray) -> np.ndarray:
        small = cv2.resize(label * 255, (32, 24), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (64, 48), interpolation=cv2.INTER_LINEAR)

    return Planted(folder_set(root, store=store))


def table_of(name: str, change: Callable[[bytes], bytes]) -> Planter:
    return edited(table, name, change)


def corner(value: float) -> Callable[[np.ndarray], None]:
    """Return a change that puts a value into a corner."""

    def change(pixels: np.ndarray) -> None:
        pixels[:, :9, :9] = value

    return change


MORE: dict[str, tuple[Planter, str]] = {
    "rows missing of a 1-bit mask": (with_file(mask, bits), "damaged_file"),
    "rows missing of a palette mask": (with_file(mask, indices), "damaged_file"),
    "rows missing, grey with alpha": (with_file(image, grey_and_alpha), "damaged_file"),
    "rows missing, 16-bit colour": (with_file(image, deep_colour), "damaged_file"),
    "palette image without palette": (with_file(image, no_palette), "damaged_file"),
    "colours that the palette lacks": (with_file(image, short_palette), "damaged_file"),
    "JPEG whose second half is zeros": (zeros_behind, "damaged_file"),
    "Git LFS pointer": (with_file(image, lambda _: b"version https://git-lfs.github.com/spec/v1\n"), "foreign_format"),
    "animated PNG": (moving_png, "animation"),
    "palette in another order": (other_palette, "palettes_differ"),
    "-9999 undeclared": (lambda root: change_tiffs(root, corner(-9999), "int16", 20), "nodata_undeclared"),
    "largest float undeclared": (
        lambda root: change_tiffs(root, corner(3.4e38), "float32", 1 / 255),
        "nodata_undeclared",
    ),
    "infrared called alpha": (infrared, "alpha_is_data"),
    "foreground 1 and 255": (mixed_foreground, "foreground_value"),
    "two classes as 0 and 255": (two_classes, "foreground_value"),
    "smooth edges": (antialiased, "soft_mask"),
    "names composed in two ways": (composed, "key_twice"),
    "COCO: names composed in two ways": (composed_coco, "key_twice"),
    "links in a circle": (loop, "bad_link"),
    "space at the end of a name": (renamed(image, "item03 .png"), "missing_label"),
    "second suffix": (renamed(mask, "item03.png.png"), "orphan_label"),
    "all images turned by EXIF": (turned_images, "size_transposed"),
    "COCO: repeated annotation": (lambda root: coco(root, repeated), "annotation_twice"),
    "COCO: ids as texts": (lambda root: coco(root, texts_as_ids), "bad_annotation"),
    "COCO: iscrowd is yes": (lambda root: coco(root, update(3, iscrowd="yes")), "bad_annotation"),
    "COCO: no annotations": (lambda root: coco(root, lambda plain: plain["annotations"].clear()), "no_labels"),
    "COCO: annotations twice": (
        edited(coco, "a.json", lambda data: data[:-1] + b',"annotations":[]}'),
        "bad_label_file",
    ),
    "COCO: very deep": (edited(coco, "a.json", lambda _: b"[" * 99_999), "bad_label_file"),
    "polygons: scaled, no size named": (unsized_twice_as_large, "bad_annotation"),
    "polygons: .json and .JSON": (json_twins, "key_twice"),
    "RLE: class in capitals": (lambda root: class_table(root, set_cell(4, 1, "BLOB")), "unknown_class"),
    "RLE: 16-bit text": (table_of("t.csv", lambda data: data.decode().encode("utf-16")), "bad_label_file"),
    "RLE: packed": (table_of("t.csv", zlib.compress), "bad_label_file"),
    "RLE: shortened by pandas": (lambda root: table(root, set_cell(4, 1, "30 20 ...")), "bad_runs"),
    "RLE: overlapping runs": (lambda root: table(root, set_cell(4, 1, "10 5 12 5")), "bad_runs"),
    "paths: empty name": (lambda root: paths(root, set_cell(4, 0, "")), "odd_name"),
    "paths: URL": (lambda root: paths(root, set_cell(4, 0, "https://example.org/a.png")), "odd_name"),
    "merge: part without labels": (unlabelled_part, "no_labels"),
    "test set = training set": (
        lambda root: replace(binary(root), test=FolderSource(images="images")),
        "test_in_train",
    ),
}
"""What is planted -> the function that does it, and the kind that must be found."""
