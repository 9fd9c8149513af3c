"""A view in COCO's layout: images, the truth, and the answers with scores, as two files of annotations.

FOLDER/images/...                               pictures, by key
FOLDER/annotations/instances_truth.json         labelled items; what CVAT imports as COCO 1.0
FOLDER/annotations/instances_prediction.json    all items; each annotation has a score
FOLDER/annotations/instances_suspects.json      in a view of suspects: regions whose label is doubted, with what it
                                                says (`given`) and what models say (`likely`)

COCO knows objects and no semantic masks, so each 8-connected piece of a class is one annotation, as run
lengths, to the pixel. What is ignored in the truth is in no annotation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import write_json
from maskwright.core.labels import Task
from maskwright.output.views.item import Bring, Label, ViewItem, bring, class_mask, shown_classes

Text = Callable[[NDArray[np.int64]], str]
"""From run lengths down the columns to COCO's compressed text (data/labels/shapes.py has it)."""
WRITTEN = ("images", "annotations")
"""What `CocoView` makes in its folder."""


class CocoView:
    """Writes a view item by item; the annotations are whole when it is closed.

    Args:
        folder: where; it is made.
        task: gives the classes.
        how: how pictures get there.
        text: see Text.
        title: what the view is of.
        suspects: whether doubts of labels are written too.
    """

    def __init__(self, folder: Path, task: Task, how: Bring, text: Text, title: str, *, suspects: bool = False) -> None:
        self.folder, self.task, self.how, self.text, self.title = folder, task, how, text, title
        self.classes = shown_classes(task)
        self.sets: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
            "truth": ([], []),
            "prediction": ([], []),
            **({"suspects": ([], [])} if suspects else {}),
        }
        self.count = 0

    def add(self, item: ViewItem) -> None:
        """Write an item's picture and keep its annotations."""
        self.count += 1
        height, width = item.shape
        image: dict[str, Any] = {
            "id": self.count,
            "file_name": bring(item, self.folder / "images", self.how).as_posix(),
            "width": width,
            "height": height,
            "key": item.key,
            "split": item.split,
            **({} if item.fold is None else {"fold": item.fold}),
            **item.scores,
        }
        if item.truth is not None:
            self._annotate("truth", image, item.truth, item.valid, None)
        self._annotate("prediction", image, item.predicted, item.seen, item.probability)
        if "suspects" in self.sets:
            self._doubt(image, item)

    def _doubt(self, image: dict[str, Any], item: ViewItem) -> None:
        images, found = self.sets["suspects"]
        images.append(image)
        names = [name for _, name in self.classes]
        for one in item.doubts:
            row, col, height, width = one.box
            found.append(
                {
                    "id": len(found) + 1,
                    "image_id": image["id"],
                    "category_id": 1 + one.category(names),
                    "segmentation": {"size": list(item.shape), "counts": one.counts},
                    "area": one.area,
                    "bbox": [col, row, width, height],
                    "iscrowd": 0,
                    "score": one.score,
                    "given": one.given,
                    "likely": one.likely,
                }
            )

    def _annotate(
        self,
        name: str,
        image: dict[str, Any],
        label: Label,
        counted: NDArray[np.bool_],
        probability: NDArray[np.float32] | None,
    ) -> None:
        images, found = self.sets[name]
        images.append(image)
        for category, (value, _) in enumerate(self.classes, 1):
            mask = class_mask(label, value, self.task) & counted.view(np.uint8)
            plane = 0 if self.task.kind == "binary" else value
            for piece in pieces(mask, None if probability is None else probability[plane], self.text):
                found.append({"id": len(found) + 1, "image_id": image["id"], "category_id": category, **piece})

    def close(self) -> None:
        """Write the files of annotations."""
        for name, (images, found) in self.sets.items():
            write_json(
                self.folder / "annotations" / f"instances_{name}.json",
                {
                    "info": {"description": f"{self.title}: {name}"},
                    "licenses": [],
                    "categories": [
                        {"id": category, "name": text, "supercategory": ""}
                        for category, (_, text) in enumerate(self.classes, 1)
                    ],
                    "images": images,
                    "annotations": found,
                },
            )


def pieces(mask: Label, probability: NDArray[np.float32] | None, text: Text) -> Iterator[dict[str, Any]]:
    """Yield an annotation for each 8-connected piece of a mask, without ids.

    Args:
        mask: uint8 (H, W) of 0 and 1.
        probability: float32 (H, W); a piece's score is its mean over the piece. None: no scores.
        text: see Text.
    """
    import cv2

    count, numbered, boxes, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask), connectivity=8)
    flat = numbered.T.reshape(-1)  # down the columns, as COCO counts
    order = np.flatnonzero(flat)
    order = order[np.argsort(flat[order], kind="stable")]
    parts = np.split(order, np.cumsum(boxes[1:, cv2.CC_STAT_AREA])[:-1]) if count > 1 else []
    chances = None if probability is None else probability.T.reshape(-1)
    for part, box in zip(parts, boxes[1:], strict=True):
        left, top, width, height, area = (int(number) for number in box)
        piece: dict[str, Any] = {
            "segmentation": {"size": list(mask.shape), "counts": text(run_lengths(part, mask.size))},
            "area": area,
            "bbox": [left, top, width, height],
            "iscrowd": 0,
        }
        if chances is not None:
            piece["score"] = round(float(chances[part].mean()), 4)
        yield piece


def run_lengths(places: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Return pixels off, on, off, ... of a mask that is on at some places.

    Args:
        places: sorted, distinct, at least one.
        total: pixels of the mask.
    """
    breaks = np.flatnonzero(np.diff(places) != 1)
    starts, ends = places[np.r_[0, breaks + 1]], places[np.r_[breaks, len(places) - 1]] + 1
    edges = np.r_[0, np.stack([starts, ends], 1).reshape(-1), total]
    counts: NDArray[np.int64] = np.diff(edges)
    return counts if counts[-1] else counts[:-1]
