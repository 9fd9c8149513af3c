"""Pictures and blocks that the tests of this room make their sets from."""

from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.recipe.blocks import Data
from maskwright.core.recipe.sources import FolderSource

BINARY = Task(kind="binary", classes=("roof",))
SCENES = Task(kind="multiclass", classes=("background", "road", "car"), ignore=255)
PLANES = Task(kind="multilabel", classes=("lung", "heart"))


def picture(seed: int, height: int = 12, width: int = 16, bands: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(1, 255, (height, width, bands)).astype(np.uint8)


def save(path: Path, array: np.ndarray, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array).save(path, **options)
    return path


def data_block(root: Path, source: object = None, **more: object) -> Data:
    return Data(root=str(root), train=source or FolderSource(images="images", masks="masks"), **more)
