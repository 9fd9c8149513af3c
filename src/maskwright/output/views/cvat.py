"""Suspects for CVAT: labels as masks to mend, and a box around each region that is doubted (CVAT for images 1.1).

FOLDER/images/...          pictures, by key
FOLDER/annotations.xml     the labels, piece by piece, and boxes `suspect` that say what models see instead
FOLDER/labels.json         what the task's label constructor takes under Raw
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import write_json, write_text
from maskwright.core.labels import Task
from maskwright.output.report.markup import value_colours
from maskwright.output.views.item import Bring, Label, ViewItem, bring, class_mask, shown_classes

WRITTEN = ("images", "annotations.xml", "labels.json")
"""What `CvatView` makes in its folder."""
SUSPECT = "suspect"
"""Label of the boxes; underscores are put behind it where a class has that name."""
COLOUR = "#ffd400"


class CvatView:
    """Writes a view item by item; annotations are whole when it is closed.

    Args:
        folder: where; it is made.
        task: gives the classes.
        how: how pictures get there.
        title: name of the task in CVAT.
    """

    def __init__(self, folder: Path, task: Task, how: Bring, title: str) -> None:
        self.folder, self.task, self.how, self.title = folder, task, how, title
        self.classes = shown_classes(task)
        self.suspect = SUSPECT
        while self.suspect in task.classes:
            self.suspect += "_"
        self.images: list[str] = []

    def add(self, item: ViewItem) -> None:
        """Write an item's picture and keep its annotations."""
        assert item.truth is not None, item.key
        height, width = item.shape
        name = bring(item, self.folder / "images", self.how).as_posix()
        lines = [
            f'  <image id="{len(self.images)}" name={quoteattr(name)} width="{width}" height="{height}">',
            *(line for value, text in self.classes for line in self._masks(item, value, text)),
            *self._boxes(item),
            "  </image>",
        ]
        self.images.append("\n".join(lines))

    def _masks(self, item: ViewItem, value: int, text: str) -> Iterator[str]:
        assert item.truth is not None
        for top, left, piece in pieces(class_mask(item.truth, value, self.task) & item.valid.view(np.uint8)):
            height, width = piece.shape
            runs = ", ".join(map(str, run_lengths(piece)))
            yield (
                f'    <mask label={quoteattr(text)} source="manual" occluded="0" rle="{runs}" left="{left}" '
                f'top="{top}" width="{width}" height="{height}" z_order="0"></mask>'
            )

    def _boxes(self, item: ViewItem) -> Iterator[str]:
        for one in item.doubts:
            row, col, height, width = one.box
            yield (
                f'    <box label="{self.suspect}" source="auto" occluded="0" xtl="{col}" ytl="{row}" '
                f'xbr="{col + width}" ybr="{row + height}" z_order="1">'
            )
            for name, said in (("score", f"{one.score:.3f}"), ("label", one.given), ("models", one.likely)):
                yield f'      <attribute name="{name}">{escape(said)}</attribute>'
            yield "    </box>"

    def close(self) -> None:
        """Write the annotations and the labels."""
        labels = self._labels()
        meta = "".join(f"<label><name>{escape(str(each['name']))}</name></label>" for each in labels)
        body = "\n".join(self.images)
        write_text(
            self.folder / "annotations.xml",
            '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n'
            f"  <meta><task><name>{escape(self.title)}</name><labels>{meta}</labels></task></meta>\n"
            f"{body}\n</annotations>\n",
        )
        write_json(self.folder / "labels.json", labels)

    def _labels(self) -> list[dict[str, object]]:
        colours = value_colours(self.task)[-self.task.planes :]
        named = dict(zip(self.task.plane_names, colours, strict=True))
        plain: list[dict[str, object]] = [
            {"name": text, "color": named[text], "type": "mask", "attributes": []} for _, text in self.classes
        ]
        told = [
            {"name": name, "mutable": False, "input_type": "text", "default_value": "", "values": [""]}
            for name in ("score", "label", "models")
        ]
        return [*plain, {"name": self.suspect, "color": COLOUR, "type": "rectangle", "attributes": told}]


def pieces(mask: Label) -> Iterator[tuple[int, int, Label]]:
    """Yield top, left and the mask of each 8-connected piece, uint8 of 0 and 1."""
    import cv2

    count, numbers, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask), connectivity=8)
    for number in range(1, count):
        left, top, width, height, _ = (int(value) for value in boxes[number])
        yield top, left, (numbers[top : top + height, left : left + width] == number).view(np.uint8)


def run_lengths(piece: Label) -> list[int]:
    """Return pixels off, on, off, ... along the rows of a mask."""
    flat = np.r_[np.uint8(0), piece.reshape(-1)]
    edges: NDArray[np.int64] = np.r_[0, np.flatnonzero(np.diff(flat)), piece.size]
    counts: list[int] = np.diff(edges).tolist()
    return counts if counts[-1] else counts[:-1]
