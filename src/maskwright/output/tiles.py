"""Write tiles of scenes: GeoTIFF with coordinates, JPEG or PNG, each whole or absent."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.files import atomic_path
from maskwright.core.grid import Grid

Suffix = Literal["tif", "png", "jpg"]
JPEG_QUALITY = 95


def write_tile(path: Path, image: NDArray[Any], valid: NDArray[np.bool_], grid: Grid) -> None:
    """Write one image in the format that its suffix names.

    Args:
        path: .tif keeps bands, dtype, coordinates and an internal mask of what is not valid; .png and .jpg take one or
            three bands of 8 bits and know no coordinates.
        image: (H, W, B).
        valid: bool (H, W).
        grid: where it lies; without a system a TIFF gets none.

    Raises:
        InputError: bands or dtype that the format cannot hold.
        StorageError: disk full or no permission.
    """
    if path.suffix == ".tif":
        _write_tiff(path, image, valid, grid)
        return
    if image.dtype != np.uint8 or image.shape[2] not in (1, 3):
        what = f"{path.suffix[1:]} holds 1 or 3 bands of uint8, this scene has {image.shape[2]} of {image.dtype}"
        raise InputError(what, where="--format", fix="choose tif")
    from PIL import Image

    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        if path.suffix == ".png":
            picture.save(stream, format="PNG")
        else:
            picture.save(stream, format="JPEG", quality=JPEG_QUALITY, subsampling=0)


def _write_tiff(path: Path, image: NDArray[Any], valid: NDArray[np.bool_], grid: Grid) -> None:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning
    from rasterio.transform import Affine

    height, width, bands = image.shape
    profile: dict[str, Any] = {"driver": "GTiff", "height": height, "width": width, "count": bands}
    profile |= {"dtype": image.dtype, "compress": "deflate"}
    if grid.crs:
        profile["crs"] = grid.crs
    if grid.crs or not Affine(*grid.affine).is_identity:
        profile["transform"] = Affine(*grid.affine)
    if height >= 256 and width >= 256:
        profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256}

    def check(written: Path) -> None:
        with rasterio.open(written, driver="GTiff") as found:
            if not np.array_equal(found.read(), np.moveaxis(image, -1, 0)):
                raise InputError(
                    "does not read back as it was written", where=path, fix="check the disk, and run again"
                )

    with (
        warnings.catch_warnings(action="ignore", category=NotGeoreferencedWarning),
        atomic_path(path, check) as temporary,
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
        rasterio.open(temporary, "w", **profile) as file,
    ):
        file.write(np.moveaxis(image, -1, 0))
        if not valid.all():
            file.write_mask(valid)


def write_label_tiff(path: Path, label: NDArray[np.uint8], grid: Grid | None) -> None:
    """Write a label as single-band uint8 GeoTIFF, values as they are; the file is whole or absent.

    Args:
        path: ends in .tif.
        label: uint8 (H, W).
        grid: where it lies; None: nowhere.

    Raises:
        StorageError: disk full or no permission.
    """
    place = grid or Grid.nowhere((label.shape[0], label.shape[1]))
    _write_tiff(path, label[:, :, None], np.ones(label.shape, bool), place)


def write_tile_mask(path: Path, label: NDArray[np.uint8]) -> None:
    """Write the mask of a tile as grey PNG, values as they are.

    Args:
        path: ends in .png.
        label: uint8 (H, W).
    """
    from PIL import Image

    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        Image.fromarray(np.ascontiguousarray(label)).save(stream, format="PNG")
