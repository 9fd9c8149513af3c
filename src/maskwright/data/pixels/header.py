"""What a raster file says of itself before any pixel is decoded, and which sizes are refused then."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Shape

Pixels = NDArray[Any]
"""(H, W, B) in the file's dtype."""
Valid = NDArray[np.bool_]
"""(H, W), False where a pixel does not count."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before any pixel is decoded."""

    height: int
    width: int
    bands: int
    """Bands besides alpha; 3 for a palette."""
    dtype: str
    driver: str
    """PNG, JPEG, GIF, BMP or GTiff."""
    has_alpha: bool
    orientation: int = 1
    """EXIF orientation 1..8; 1 is upright."""
    names: tuple[str, ...] = ()
    """What the file calls its bands, besides alpha; empty: nothing."""

    @property
    def shape(self) -> Shape:
        """(height, width) in pixels."""
        return self.height, self.width


Limit = int | Shape
"""The most pixels a file may have, or the very (height, width) it must have."""


def refuse_size(found: Shape, limit: Limit, path: Path) -> None:
    """Refuse a file by the size its header names, before any of it is decoded.

    Raises:
        InputError: it has more pixels than the limit, or another size than the one wanted.
    """
    if isinstance(limit, tuple):
        if tuple(found) != limit:
            raise _another_size((found[0], found[1]), limit, path)
    elif found[0] * found[1] > limit:
        raise InputError(
            f"{found[0]} x {found[1]} = {found[0] * found[1]} pixels are more than the {limit} allowed",
            where=path,
            fix="cut it into tiles, or raise data.max_pixels if you trust the file",
            kind="too_large",
        )


def _another_size(found: Shape, wanted: Shape, path: Path) -> InputError:
    """Say how the size of a mask differs from its image's."""
    what = f"the mask has {found[0]} x {found[1]} pixels (height x width), its image {wanted[0]} x {wanted[1]}"
    kind, fix = "size_mismatch", "make both the same size"
    if found == wanted[::-1]:
        kind, fix = "size_transposed", "turn the mask, or the image if its viewer turned it (EXIF)"
        what += ": height and width are swapped"
    elif abs(found[0] * wanted[1] - found[1] * wanted[0]) < max(*found, *wanted) and (
        not 0.9 < found[0] / wanted[0] < 1.1
    ):
        kind, fix = "size_scaled", "resize the mask with nearest neighbour, or take the images it was drawn on"
        what += ": the same proportions at another scale"
    return InputError(what, where=path, fix=fix, kind=kind, facts={"mask": list(found), "image": list(wanted)})


_filters = threading.Lock()


def hush(category: type[Warning], module: str = "") -> None:
    """Ignore one kind of warning for good, unless that is so already.

    catch_warnings is not thread-safe, and test runners put the filters back, hence the look each time.

    Args:
        category: of the warning.
        module: regular expression on the module that warns; empty: any.
    """
    with _filters:
        for action, _, kind, place, _ in warnings.filters:
            if action == "ignore" and kind is category and getattr(place, "pattern", place or "") == module:
                return
        warnings.filterwarnings("ignore", category=category, module=module)
