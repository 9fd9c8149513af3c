"""A view as a FiftyOneDataset: what fiftyone.Dataset.from_dir opens, without fiftyone being needed to write it.

FOLDER/data/...                         pictures, by key
FOLDER/fields/ground_truth/...          masks: class ids, 255 where the truth does not count
FOLDER/fields/prediction/...            masks of the final answers
FOLDER/metadata.json  samples.json      fields, classes, and what is known of each item

A multilabel task has a field of 0 and 1 for each class, ground_truth_<class> and prediction_<class>.
All paths inside are relative. The layout is that of fiftyone's own export (seen with 1.22.1, 2026-11-27).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import atomic_path, write_json
from maskwright.core.labels import Task
from maskwright.output.views.item import Bring, Label, ViewItem, bring, place, word

VERSION = "1.0.0"
"""Of fiftyone whose layout is written; later ones migrate it."""
IGNORED = 255
"""Where the truth does not count; classes end at 253."""
WRITTEN = ("data", "fields", "metadata.json", "samples.json")
"""What `FiftyOneView` makes in its folder."""


class FiftyOneView:
    """Writes a view item by item; it can be opened when it is closed.

    Args:
        folder: where; it is made.
        task: gives the classes.
        how: how pictures get there.
        title: name of the data set.
    """

    def __init__(self, folder: Path, task: Task, how: Bring, title: str) -> None:
        self.folder, self.task, self.how, self.title = folder, task, how, title
        self.samples: list[dict[str, Any]] = []
        taken: set[str] = set()
        ends = [f"_{word(name, taken)}" for name in task.classes] if task.kind == "multilabel" else [""]
        self.masks = {kind: [f"{kind}{end}" for end in ends] for kind in ("ground_truth", "prediction")}

    def add(self, item: ViewItem) -> None:
        """Write an item's picture and masks and keep its fields."""
        picture = Path("data") / bring(item, self.folder / "data", self.how)
        sample: dict[str, Any] = {
            "_id": {"$oid": _id(self.title, item.key, item.split)},
            "filepath": picture.as_posix(),
            "tags": [item.split],
            "_media_type": "image",
            "_rand": int(_id("rand", item.key, item.split)[:12], 16) / 16**12,
            "key": item.key,
            "split": item.split,
            "fold": item.fold,
            **item.scores,
        }
        if item.truth is not None:
            sample |= self._masks("ground_truth", item.truth, item.valid, item)
        sample |= self._masks("prediction", item.predicted, item.seen, item)
        self.samples.append(sample)

    def _masks(self, kind: str, label: Label, counted: NDArray[np.bool_], item: ViewItem) -> dict[str, Any]:
        found = {}
        planes = label if self.task.kind == "multilabel" else label[None]
        for field, plane in zip(self.masks[kind], planes, strict=True):
            path = Path("fields") / field / item.split / place(item.key, ".png")
            _write(self.folder / path, np.where(counted, plane, np.uint8(IGNORED)))
            mark = {"$oid": _id(field, item.key, item.split)}
            found[field] = {"_id": mark, "_cls": "Segmentation", "tags": [], "mask_path": path.as_posix()}
        return found

    def close(self) -> None:
        """Write samples.json, then metadata.json."""
        scores = list(dict.fromkeys(name for sample in self.samples for name in sample if name not in _FIXED))
        masks = [field for fields in self.masks.values() for field in fields]
        fields = [_field("key", "String"), _field("split", "String"), _field("fold", "Int")]
        fields += [_field(name, "Float") for name in scores if name not in masks]
        fields += [_segmentation(name) for name in masks]
        names = dict(zip(map(str, self.task.values), self.task.value_names, strict=True))
        targets = {**names, str(IGNORED): "ignored"}
        write_json(self.folder / "samples.json", {"samples": self.samples})
        write_json(
            self.folder / "metadata.json",
            {
                "name": self.title,
                "version": VERSION,
                "media_type": "image",
                "tags": [],
                "info": {"made_by": "maskwright"},
                "classes": {},
                "default_classes": [],
                "mask_targets": dict.fromkeys(masks, targets),
                "default_mask_targets": {},
                "skeletons": {},
                "sample_fields": [*_own_fields(), *fields],
                "frame_fields": [],
                "saved_views": [],
                "workspaces": [],
                "annotation_runs": {},
                "brain_methods": {},
                "evaluations": {},
                "runs": {},
            },
        )


_FIXED = ("_id", "filepath", "tags", "_media_type", "_rand", "key", "split", "fold")


def _id(*parts: str) -> str:
    """Return 24 hex digits, the same for the same item in every export."""
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=12).hexdigest()


def _field(
    name: str, kind: str, *, column: str = "", inner: str | None = None, fields: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Describe a field of a sample as fiftyone's database does."""
    embedded = kind == "EmbeddedDocument"
    return {
        "name": name,
        "ftype": f"fiftyone.core.fields.{kind}Field",
        "embedded_doc_type": inner if embedded else None,
        "subfield": None if embedded else inner,
        "fields": list(fields),
        "db_field": column or name,
        "description": None,
        "info": None,
        "read_only": False,
        "created_at": None,
    }


def _own_fields() -> list[dict[str, Any]]:
    """Describe the fields that every sample has."""
    text = "fiftyone.core.fields.StringField"
    return [
        _field("id", "ObjectId", column="_id"),
        _field("filepath", "String"),
        _field("tags", "List", inner=text),
        _field("metadata", "EmbeddedDocument", inner="fiftyone.core.metadata.ImageMetadata"),
        _field("_media_type", "String"),
        _field("_rand", "Float"),
        _field("_dataset_id", "ObjectId"),
        _field("created_at", "DateTime") | {"read_only": True},
        _field("last_modified_at", "DateTime") | {"read_only": True},
    ]


def _segmentation(name: str) -> dict[str, Any]:
    """Describe a field of masks."""
    inner = [
        _field("id", "ObjectId", column="_id"),
        _field("tags", "List", inner="fiftyone.core.fields.StringField"),
        _field("mask", "Array"),
        _field("mask_path", "String"),
    ]
    return _field(name, "EmbeddedDocument", inner="fiftyone.core.labels.Segmentation", fields=inner)


def _write(path: Path, mask: NDArray[np.uint8]) -> None:
    from PIL import Image

    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        Image.fromarray(mask).save(stream, format="PNG")
