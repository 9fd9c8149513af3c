"""PNG files of twins."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def save_png(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a grey (H, W) or RGB (H, W, 3) image; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG", compress_level=1)
