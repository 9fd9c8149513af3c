"""One item as a viewer gets it, the names it goes by, and its picture."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import from_os_error
from maskwright.core.files import atomic_path, stored_name
from maskwright.core.labels import Task, looks_background
from maskwright.output.report.pictures import thumbnail

Label = NDArray[np.uint8]
Bring = Literal["copy", "link"]
"""copy: the view can be moved alone; link: relative symbolic links to the images where they are."""
SHOWN = {b"\x89PNG": (".png",), b"\xff\xd8\xff": (".jpg", ".jpeg")}
"""First bytes of files that every viewer opens -> their endings."""


@dataclass(frozen=True)
class Doubted:
    """Pixels of an item whose label models that never saw it doubt."""

    given: str
    """What the label says."""
    likely: str
    """What the models say."""
    score: float
    """0..1."""
    area: int
    """In pixels."""
    box: tuple[int, int, int, int]
    """Row, column, height, width."""
    counts: str
    """COCO's compressed run lengths of a mask as large as the item."""

    def category(self, names: Sequence[str]) -> int:
        """Return the place of the class that is in question among the names of those that are something."""
        for text in (self.likely, self.given):
            if text in names:
                return names.index(text)
        return next(place for place, name in enumerate(names) if self.likely == f"no {name}")


@dataclass(frozen=True)
class ViewItem:
    """What is known of one item."""

    key: str
    path: Path
    """Its image file."""
    image: NDArray[np.generic]
    """(H, W, B) as read, bands chosen."""
    seen: NDArray[np.bool_]
    """(H, W); where the image has something to show."""
    truth: Label | None
    """uint8 (H, W), or (K, H, W) for multilabel."""
    valid: NDArray[np.bool_]
    """(H, W); where truth counts."""
    predicted: Label
    """As truth: the final answer."""
    probability: NDArray[np.float32]
    """(K, H, W) in [0, 1]."""
    split: str
    """oof: by the fold that did not see it; holdout, test: by all folds."""
    fold: int | None
    scores: Mapping[str, float]
    """Name -> score of this item alone."""
    doubts: tuple[Doubted, ...] = ()
    """Of its label, for a view of suspects."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.valid.shape[0], self.valid.shape[1]


def shown_classes(task: Task) -> tuple[tuple[int, str], ...]:
    """Return (plane or value, name) of each class that is something: all but a background."""
    if task.kind == "binary":
        return ((1, task.plane_names[0]),)
    first = int(task.kind == "multiclass" and looks_background(task.classes[0]))
    return tuple((value, task.classes[value]) for value in range(first, len(task.classes)))


def class_mask(label: Label, value: int, task: Task) -> Label:
    """Return where a label says a class, uint8 (H, W) of 0 and 1."""
    mask: Label = label[value] if task.kind == "multilabel" else (label == value).view(np.uint8)
    return mask


def place(key: str, ending: str) -> Path:
    """Return an item's file below a folder: each `/` of the key is a folder, other unusual characters are %XX."""
    return Path(f"{stored_name(key)}{ending}")


def word(name: str, taken: set[str]) -> str:
    """Return a class name as a field's name: letters, digits and _, and none twice; `taken` gets it."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII)
    found = next(text for text in _numbered(plain) if text not in taken)
    taken.add(found)
    return found


def _numbered(text: str) -> Iterator[str]:
    yield text
    number = 2
    while True:
        yield f"{text}_{number}"
        number += 1


def bring(item: ViewItem, folder: Path, how: Bring) -> Path:
    """Put an item's picture below a folder and return its place there.

    A PNG or JPEG of 8 bits in grey or colour is taken as it is; anything else (TIFF, 16 bits, many bands)
    is drawn as PNG from its first three bands, stretched as in the report.

    Raises:
        StorageError: disk full or no permission.
    """
    ending = _ending(item)
    target = folder / place(item.key, ending or ".png")
    if ending is None:
        _draw(item, target)
    elif how == "copy":
        with atomic_path(target) as temporary:
            shutil.copyfile(item.path, temporary)
    else:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            target.symlink_to(os.path.relpath(item.path.resolve(), target.parent.resolve()))
        except OSError as error:
            raise from_os_error(error, target) from error
    return target.relative_to(folder)


def _ending(item: ViewItem) -> str | None:
    """Return the ending of an image that viewers open as it is, or None."""
    if item.image.dtype != np.uint8 or item.image.shape[2] not in (1, 3):
        return None
    try:
        with item.path.open("rb") as stream:
            head = stream.read(4)
    except OSError as error:
        raise from_os_error(error, item.path) from error
    endings = next((endings for start, endings in SHOWN.items() if head.startswith(start)), ())
    mine = item.path.suffix.lower()
    return (mine if mine in endings else endings[0]) if endings else None


def _draw(item: ViewItem, target: Path) -> None:
    from PIL import Image

    with atomic_path(target) as temporary, temporary.open("wb") as stream:
        Image.fromarray(thumbnail(item.image, item.seen)).save(stream, format="PNG")
