"""A small truthful set on disk, made for each test."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from data_helpers import picture, save

from maskwright.core.recipe.sources import FolderSource


@pytest.fixture
def folder_set(tmp_path: Path) -> Callable[..., tuple[FolderSource, Path]]:
    """Make images/a.png .. and masks/a.png .. with values 0 and 1."""

    def make(names: str = "abcd") -> tuple[FolderSource, Path]:
        for place, name in enumerate(names):
            save(tmp_path / "images" / f"{name}.png", picture(place))
            mask = np.zeros((12, 16), np.uint8)
            mask[: place + 1] = 1
            save(tmp_path / "masks" / f"{name}.png", mask)
        return FolderSource(images="images", masks="masks"), tmp_path

    return make
