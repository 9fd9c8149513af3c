"""Planted faults of files and of the join: what is damaged, absent, twice, too large, or of another kind."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
from corpus import Planted, Planter, binary, deep, folder_set, image, mask, read, save, scenes, three, tiff, with_test
from PIL import Image

from maskwright.core.recipe.sources import FolderSource


def damaged_image(root: Path) -> Planted:
    found = binary(root)
    data = image(root).read_bytes()
    image(root).write_bytes(data[: len(data) // 2])
    return found


def damaged_mask(root: Path) -> Planted:
    found = binary(root)
    data = mask(root).read_bytes()
    mask(root).write_bytes(data[:-20])
    return found


def flipped_byte(root: Path) -> Planted:
    found = binary(root)
    data = bytearray(image(root).read_bytes())
    data[len(data) // 2] ^= 0xFF
    image(root).write_bytes(bytes(data))
    return found


def early_end(root: Path) -> Planted:
    """All checksums are right, but half of the rows are not there."""
    found = binary(root)
    rows = b"".join(b"\0" + row.tobytes() for row in read(image(root)))
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(rows[: len(rows) // 2])), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    ]
    image(root).write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return found


def truncated_jpeg(root: Path) -> Planted:
    found = binary(root)
    path = save(image(root).with_suffix(".jpg"), read(image(root)), quality=95)
    image(root).unlink()
    path.write_bytes(path.read_bytes()[:-400])
    return found


def truncated_tiff(root: Path) -> Planted:
    found = deep(root)
    path = root / "images" / "item03.tif"
    path.write_bytes(path.read_bytes()[:-4000])
    return found


def empty_image(root: Path) -> Planted:
    found = binary(root)
    image(root).write_bytes(b"")
    return found


def empty_mask(root: Path) -> Planted:
    found = binary(root)
    mask(root).write_bytes(b"")
    return found


def bomb(root: Path) -> Planted:
    found = binary(root)
    save(image(root), np.zeros((3000, 3000), np.uint8))
    return replace(found, more={"max_pixels": 1_000_000})


def text_as_png(root: Path) -> Planted:
    found = binary(root)
    image(root).write_text("<html>404 not found</html>")
    return found


def numpy_as_png(root: Path) -> Planted:
    found = binary(root)
    with mask(root).open("wb") as file:
        np.save(file, np.zeros((48, 64), np.uint8))
    return found


def vrt(root: Path) -> Planted:
    found = binary(root)
    image(root).write_text("<VRTDataset rasterXSize='64' rasterYSize='48'></VRTDataset>")
    return found


def animation(root: Path) -> Planted:
    found = binary(root)
    frames = [Image.fromarray(read(image(root, index))[:, :, 0]) for index in (3, 4)]
    image(root).unlink()
    frames[0].save(root / "images/item03.gif", save_all=True, append_images=frames[1:])
    return found


def jpeg_mask(root: Path) -> Planted:
    found = binary(root)
    values = read(mask(root)) * 255
    mask(root).unlink()
    save(mask(root).with_suffix(".jpg"), values)
    return found


def colour_mask(root: Path) -> Planted:
    found = binary(root)
    values = read(mask(root))
    save(mask(root), np.dstack([values * 200, values * 30, values * 90]))
    return found


def fraction_mask(root: Path) -> Planted:
    found = binary(root)
    values = read(mask(root))
    mask(root).unlink()
    tiff(mask(root).with_suffix(".tif"), (values * 0.7)[None].astype(np.float32))
    return found


def other_size(root: Path) -> Planted:
    found = binary(root)
    save(mask(root), read(mask(root))[:, :-3])
    return found


def transposed(root: Path) -> Planted:
    found = binary(root)
    save(mask(root), np.ascontiguousarray(read(mask(root)).T))
    return found


def half_size(root: Path) -> Planted:
    found = binary(root)
    save(mask(root), np.ascontiguousarray(read(mask(root))[::2, ::2]))
    return found


def missing_mask(root: Path) -> Planted:
    found = binary(root)
    mask(root).unlink()
    return found


def orphan_mask(root: Path) -> Planted:
    found = binary(root)
    image(root).unlink()
    return found


def key_twice(root: Path) -> Planted:
    found = binary(root)
    save(image(root).with_suffix(".bmp"), read(image(root)))
    return found


def key_case(root: Path) -> Planted:
    found = binary(root)
    save(root / "images/ITEM03.png", read(image(root, 4)))
    save(root / "masks/ITEM03.png", read(mask(root, 4)))
    return found


def control_character(root: Path) -> Planted:
    found = binary(root)
    image(root).rename(root / "images" / "item\t03.png")
    mask(root).rename(root / "masks" / "item\t03.png")
    return found


def link_out(root: Path) -> Planted:
    found = binary(root / "set")
    outside = save(root / "outside" / "x.png", read(image(root / "set")))
    image(root / "set").unlink()
    image(root / "set").symlink_to(outside)
    return replace(found, root=root / "set")


def no_images(root: Path) -> Planted:
    found = binary(root)
    for path in (root / "images").iterdir():
        path.unlink()
    return found


def no_folder(root: Path) -> Planted:
    return replace(binary(root), train=FolderSource(images="pictures", masks="masks"))


def nothing_joins(root: Path) -> Planted:
    found = binary(root)
    for path in sorted((root / "masks").iterdir()):
        path.rename(path.with_name(f"{path.stem}_gt.png"))
    return found


def another_depth(root: Path) -> Planted:
    found = deep(root, 3, "uint16", 40)
    path = root / "images/item03.tif"
    tiff(path, np.moveaxis(next(iter(scenes(1)))[1], 2, 0))
    return found


def another_bands(root: Path) -> Planted:
    found = deep(root, 5)
    pixels = np.moveaxis(next(iter(scenes(1)))[1], 2, 0).astype(np.uint16) * 40
    tiff(root / "images/item03.tif", np.concatenate([pixels, pixels[:1]]))
    return found


def band_that_is_not_there(root: Path) -> Planted:
    return replace(deep(root, 4), more={"bands": (1, 2, 7)})


def imagenet_for_five_bands(root: Path) -> Planted:
    return replace(deep(root, 5), more={"normalize": "imagenet"})


def test_of_another_depth(root: Path) -> Planted:
    found = binary(root)
    for key, picture, _ in scenes(4, start=500):
        tiff(root / "test" / f"{key}.tif", np.moveaxis(picture, 2, 0).astype(np.uint16) * 257)
    return replace(found, test=FolderSource(images="test"))


def test_of_more_bands(root: Path) -> Planted:
    found = binary(root)
    for key, picture, _ in scenes(4, start=500):
        tiff(root / "test" / f"{key}.tif", np.moveaxis(np.dstack([picture, picture]), 2, 0))
    return replace(found, test=FolderSource(images="test"))


def damaged_test(root: Path) -> Planted:
    found = with_test(root)
    path = root / "test" / "item05.png"
    path.write_bytes(path.read_bytes()[:200])
    return found


def swapped(root: Path) -> Planted:
    folder_set(root)
    return Planted(root, train=FolderSource(images="masks", masks="images"))


def complex_tiff(root: Path) -> Planted:
    found = deep(root, 3)
    tiff(root / "images/item03.tif", np.zeros((3, 48, 64), np.complex64))
    return found


def deep_mask_of_instances(root: Path) -> Planted:
    found = three(root)
    save(mask(root), np.arange(48 * 64, dtype=np.uint16).reshape(48, 64))
    return found


FILES: dict[str, tuple[Planter, str]] = {
    "image cut in half": (damaged_image, "damaged_file"),
    "mask without its end": (damaged_mask, "damaged_file"),
    "flipped byte": (flipped_byte, "damaged_file"),
    "rows missing, checksums right": (early_end, "damaged_file"),
    "JPEG cut": (truncated_jpeg, "damaged_file"),
    "TIFF cut": (truncated_tiff, "damaged_file"),
    "image of test set cut": (damaged_test, "damaged_file"),
    "empty image": (empty_image, "empty_file"),
    "empty mask": (empty_mask, "empty_file"),
    "bomb": (bomb, "too_large"),
    "web page named png": (text_as_png, "foreign_format"),
    "numpy file named png": (numpy_as_png, "foreign_format"),
    "VRT": (vrt, "virtual_raster"),
    "animation": (animation, "animation"),
    "complex numbers": (complex_tiff, "odd_bands"),
    "JPEG as mask": (jpeg_mask, "jpeg_mask"),
    "colours as mask": (colour_mask, "colour_mask"),
    "fractions as mask": (fraction_mask, "fraction_mask"),
    "other size": (other_size, "size_mismatch"),
    "height and width swapped": (transposed, "size_transposed"),
    "half size": (half_size, "size_scaled"),
    "no mask": (missing_mask, "missing_label"),
    "no image": (orphan_mask, "orphan_label"),
    "one key twice": (key_twice, "key_twice"),
    "keys differ in case": (key_case, "key_case"),
    "tab in a name": (control_character, "odd_name"),
    "link that leads out": (link_out, "bad_link"),
    "empty folder": (no_images, "no_images"),
    "no folder": (no_folder, "no_folder"),
    "suffix not named": (nothing_joins, "nothing_joins"),
    "one image of another depth": (another_depth, "dtype_differs"),
    "one image of other bands": (another_bands, "bands_differ"),
    "band that is not there": (band_that_is_not_there, "band_absent"),
    "ImageNet for five bands": (imagenet_for_five_bands, "bands_unfit"),
    "test set of another depth": (test_of_another_depth, "test_dtype"),
    "test set of more bands": (test_of_more_bands, "test_bands"),
    "folders swapped": (swapped, "swapped_folders"),
    "one wild mask": (deep_mask_of_instances, "instance_map"),
}
"""What is planted -> the function that does it, and the kind that must be found."""
