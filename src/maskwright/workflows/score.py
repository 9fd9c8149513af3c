"""Scores of mask files against truth files, joined by name; nothing is aligned by position."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from maskwright.core.errors import DataError, InputError, unknown
from maskwright.core.labels import Task, TaskKind, apply_value_map
from maskwright.data.pixels.rasters import read_mask
from maskwright.scoring.boundary import count_boundary
from maskwright.scoring.counts import FIELDS, Counts, count
from maskwright.scoring.dialects import DIALECTS, translate
from maskwright.scoring.scores import summary

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 2_000_000_000


def score_paths(
    predicted: Path,
    truth: Path,
    kind: TaskKind,
    classes: int,
    ignore: int | None = None,
    dialects: Sequence[str] = (),
    *,
    boundary: bool = False,
) -> dict[str, Any]:
    """Score predicted masks against true ones.

    Args:
        predicted: a mask file or a folder of masks; multilabel: a folder with `<item>/<class>` masks.
        truth: the same for the truth; every truth needs a prediction and the other way round.
        kind: binary (0/1 or 0/255), multiclass (class ids) or multilabel (0/1 or 0/255 a class).
        classes: binary: 1 or 2; else the number of classes.
        ignore: raw truth value that never counts.
        dialects: names from scoring/dialects.py.
        boundary: count again in bands inside the outlines, for Boundary IoU.

    Returns:
        Plain data: items, pixels, mean and per-class scores, counts, dialects: name -> score or None, and
        boundary_iou: mean and classes, if asked for.

    Raises:
        DataError: names the masks without partner; InputError: sizes or values that do not fit.
    """
    for name in dialects:
        if name not in DIALECTS:
            raise unknown("dialect", name, DIALECTS, "--dialect")
    pairs = _join(predicted, truth)
    if kind == "multilabel":
        return _score_multilabel(pairs, classes, ignore, truth, dialects, boundary=boundary)
    if kind == "binary" and classes > 2:
        raise InputError(f"a binary task has 1 or 2 classes, got {classes}", where="--classes", fix="use multiclass")
    names = ("foreground",) if kind == "binary" else tuple(f"class {index}" for index in range(classes))
    task = _task(kind, names, ignore)
    each, edges = [], []
    for _, prediction_path, truth_path in pairs:
        label, valid = _read(truth_path, task)
        answer = _read_answer(prediction_path, task)
        _same_shape(answer, label, prediction_path, truth_path)
        each.append(count(label, answer, valid, task))
        if boundary:
            edges.append(count_boundary(label, answer, valid, task))
    _refuse_nothing(sum(each, Counts.zero(task.planes)), truth)
    return {"task": kind, **_told(each, edges, task.plane_names, dialects)}


def _told(
    each: Sequence[Counts], edges: Sequence[Counts], names: tuple[str, ...], dialects: Sequence[str]
) -> dict[str, Any]:
    """Put the scores of all items together."""
    nothing = Counts.zero(len(names))
    scores = {name: translate(each, name) for name in dialects}
    told = {
        "items": len(each),
        **summary(sum(each, nothing), names),
        "dialects": {name: None if np.isnan(value) else value for name, value in scores.items()},
    }
    if edges:
        found = summary(sum(edges, nothing), names)
        classes = {name: row["iou"] for name, row in found["classes"].items()}
        told["boundary_iou"] = {"mean": found["mean"]["iou"], "classes": classes}
    return told


def _score_multilabel(
    pairs: list[tuple[str, Path, Path]],
    classes: int,
    ignore: int | None,
    folder: Path,
    dialects: Sequence[str],
    *,
    boundary: bool,
) -> dict[str, Any]:
    names = sorted({Path(name).name for name, _, _ in pairs})
    if len(names) != classes:
        raise InputError(
            f"found masks of {len(names)} classes ({', '.join(names[:6])}), expected {classes}",
            where="--classes",
            fix="lay masks out as <item>/<class>.png",
        )
    plane = _task("binary", ("present",), ignore)
    each: dict[str, dict[str, Counts]] = {}
    edges: dict[str, dict[str, Counts]] = {}
    for name, prediction_path, truth_path in pairs:
        item, kind = str(Path(name).parent), Path(name).name
        label, valid = _read(truth_path, plane)
        answer = _read_answer(prediction_path, plane)
        _same_shape(answer, label, prediction_path, truth_path)
        each.setdefault(item, {})[kind] = count(label, answer, valid, plane)
        if boundary:
            edges.setdefault(item, {})[kind] = count_boundary(label, answer, valid, plane)
    items, outlines = (
        [_side_by_side([found.get(name, Counts.zero(1)) for name in names]) for found in table.values()]
        for table in (each, edges)
    )
    _refuse_nothing(sum(items, Counts.zero(classes)), folder)
    return {"task": "multilabel", **_told(items, outlines, tuple(names), dialects)}


def _side_by_side(planes: Sequence[Counts]) -> Counts:
    return Counts(*(np.concatenate([getattr(plane, field) for plane in planes]) for field in FIELDS))


def _task(kind: TaskKind, names: tuple[str, ...], ignore: int | None) -> Task:
    try:
        return Task(kind=kind, classes=names, ignore=ignore)
    except ValidationError as error:
        reason = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise InputError(reason, where="--classes, --ignore", fix="give what the masks hold") from None


def _refuse_nothing(total: Counts, truth: Path) -> None:
    if not total.pixels.any():
        raise InputError("no pixel counts: all are ignored", where=truth, fix="check --ignore")


def _read_answer(path: Path, task: Task) -> NDArray[np.uint8]:
    """Read a prediction: it must hold classes only, for an ignored value is no answer."""
    return _read(path, task.model_copy(update={"ignore": None}))[0]


def _read(path: Path, task: Task) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    raw = read_mask(path, MAX_PIXELS)
    if task.kind == "binary" and raw.size and int(raw.max()) == 255 and task.ignore != 255:
        return apply_value_map(raw, task, {0: 0, 255: 1}, str(path))
    return apply_value_map(raw, task, None, str(path))


def _same_shape(answer: NDArray[np.uint8], label: NDArray[np.uint8], predicted: Path, truth: Path) -> None:
    if answer.shape != label.shape:
        raise InputError(
            f"{answer.shape[0]}x{answer.shape[1]} pixels, but {truth} has {label.shape[0]}x{label.shape[1]}",
            where=predicted,
            fix="predict at native size",
        )


def _join(predicted: Path, truth: Path) -> list[tuple[str, Path, Path]]:
    if predicted.is_file() and truth.is_file():
        return [(truth.stem, predicted, truth)]
    left, right = _masks(predicted), _masks(truth)
    lone_truths, lone_answers = sorted(right.keys() - left.keys()), sorted(left.keys() - right.keys())
    faults = [f"{truth / name}: no prediction of that name; predict it, or take the truth away" for name in lone_truths]
    faults += [f"{predicted / name}: no truth of that name; take it away" for name in lone_answers]
    if faults:
        raise DataError(faults)
    return [(name, left[name], right[name]) for name in sorted(left)]


def _masks(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, fix="give two folders of masks, or two files")
    found: dict[str, Path] = {}
    for path in _files(folder):
        name = str(path.relative_to(folder).with_suffix(""))
        if name in found:
            raise InputError(f"{found[name].name} and {path.name} share the key '{name}'", where=folder, fix="keep one")
        found[name] = path
    if not found:
        raise InputError("no masks", where=folder, fix=f"expected files with {', '.join(MASK_SUFFIXES)}")
    return found


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in MASK_SUFFIXES and path.is_file())
