"""What tests of the command line share: small drawn items, and the list of what lies in a folder."""

from pathlib import Path

import numpy as np


def tree(folder: Path) -> list[str]:
    """All files below a folder, for 'nothing was written'."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def draw(rng: np.random.Generator, size: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """One image uint8 (H, W, 3) with a bright block and its mask uint8 (H, W) in 0/255."""
    image = rng.integers(0, 90, (size, size, 3), dtype=np.uint8)
    mask = np.zeros((size, size), np.uint8)
    row, col = rng.integers(2, size // 2, 2)
    mask[row : row + size // 3, col : col + size // 3] = 255
    image[mask > 0] += 120
    return image, mask
