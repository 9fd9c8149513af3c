"""THE table of twins: miniature data sets in the exact layout of a competition, under the name of its recipe."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from maskwright.core.errors import InputError, from_os_error, unknown
from maskwright.core.files import TEMPORARY
from maskwright.data.synthetic.twins import dacon_buildings, hand_bone, open_cities, trash, wildfire

LEAST = 4
"""Fewest items: two folds of two."""


class Write(Protocol):
    """What writes a twin."""

    def __call__(self, folder: Path, items: int, seed: int) -> None:
        """Write all files of the set below a folder.

        Args:
            folder: exists and is empty; it is what data.root will name.
            items: labelled ones; what is to be predicted comes besides, see `test_items`.
            seed: other seeds give other pictures; the same seed the same files.
        """


@dataclass(frozen=True)
class Twin:
    """One competition in small."""

    write: Write
    about: str
    """What it is, in one line."""


def write_twin(name: str, folder: Path, items: int, seed: int = 0) -> Twin:
    """Write the twin of a competition's files; the folder is whole or absent.

    Args:
        name: a name from TWINS.
        folder: must be absent or empty.
        items: labelled items, 4 or more.
        seed: of the pictures.

    Raises:
        InputError: an unknown name, too few items, or a folder that holds something.
        StorageError: disk full or no permission.
    """
    if name not in TWINS:
        raise unknown("twin", name, TWINS, "command line")
    if items < LEAST:
        raise InputError(f"{items} items are too few", where="--items", fix=f"give {LEAST} or more")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError("holds something already", where=folder, fix="choose another --output, or empty it")
    begun = folder.with_name(f".{folder.name}{TEMPORARY}")
    try:
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        TWINS[name].write(begun, items, seed)
        if folder.exists():
            folder.rmdir()
        begun.rename(folder)
    except OSError as error:
        raise from_os_error(error, folder) from error
    finally:
        shutil.rmtree(begun, ignore_errors=True)
    return TWINS[name]


TWINS: Mapping[str, Twin] = {
    "dacon_buildings": Twin(dacon_buildings.write, "buildings in aerial PNG with run lengths in CSV (SEEDS 000)"),
    "hand_bone": Twin(hand_bone.write, "X-rays of hands, polygons of 29 overlapping bones in JSON (SEEDS 003)"),
    "open_cities": Twin(
        open_cities.write, "buildings in drone imagery, two tiers of scenes and test chips (SEEDS 004)"
    ),
    "trash": Twin(trash.write, "things on a heap in COCO JSON, eleven classes (SEEDS 001)"),
    "wildfire": Twin(wildfire.write, "active fire in ten-band uint16 GeoTIFFs of 256 x 256 pixels (SEEDS 002)"),
}
"""Name of the packaged recipe that reads it -> what writes it."""
