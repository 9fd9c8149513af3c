"""Scores of mask files against truth files, joined by name; nothing is aligned by position."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from maskwright.core.errors import DataError, InputError
from maskwright.core.files import write_text
from maskwright.core.labels import Task, TaskKind, apply_value_map
from maskwright.data.ground import pixel_areas
from maskwright.data.pixels.rasters import is_tiff, read_mask
from maskwright.data.pixels.scenes import open_scene
from maskwright.scoring.boundary import count_boundary
from maskwright.scoring.counts import FIELDS, Counts, count
from maskwright.scoring.dialects import dialects_of, translate
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import METRICS, Empty, f_name, pixel_accuracy, score

MASK_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 2_000_000_000
PerItems = Literal["pooled", "image", "area"]


@dataclass(frozen=True)
class ScoreOptions:
    """How scores are taken.

    Args:
        per: pooled: the pixels of all items together; image: the score of each item, and the mean of these; area: that
            mean weighed by the items' valid ground, or by their valid pixels where not all have coordinates.
        empty: what a class scores that neither truth nor prediction holds (per image: in that image).
        beta: of an F score to give besides the others: how many times recall weighs as much as precision.
        dialects: names from scoring/dialects.py, or of a tool, for all of its own.
        boundary: count again in bands inside the outlines, for Boundary IoU.
        csv: file to write the score of each item to.
    """

    per: PerItems = "pooled"
    empty: Empty = "skip"
    beta: float | None = None
    dialects: tuple[str, ...] = ()
    boundary: bool = False
    csv: Path | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """All names of scores."""
        return tuple(dict.fromkeys((*METRICS, *([f_name(self.beta)] if self.beta else []))))


@dataclass(frozen=True)
class _Counted:
    """Counts of all items, in the order of their names."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    """Of the classes counted."""
    each: tuple[Counts, ...]
    edges: tuple[Counts, ...]
    """The same in bands along outlines; none if not asked for."""
    areas: tuple[float, ...] = ()
    """What each item weighs, where that is asked for."""
    unit: str = ""


def score_paths(
    predicted: Path,
    truth: Path,
    kind: TaskKind,
    classes: int,
    ignore: int | None = None,
    wanted: ScoreOptions = ScoreOptions(),
) -> dict[str, Any]:
    """Score predicted masks against true ones.

    Args:
        predicted: a mask file or a folder of masks; multilabel: a folder with `<item>/<class>` masks.
        truth: the same for the truth; every truth needs a prediction and the other way round.
        kind: binary (0/1 or 0/255), multiclass (class ids) or multilabel (0/1 or 0/255 a class).
        classes: binary: 1 or 2; else the number of classes.
        ignore: raw truth value that never counts.
        wanted: how scores are taken.

    Returns:
        Plain data: task, items, per, empty, pixels, pixel_accuracy, mean and per-class scores with counts of pixels and
        images, dialects: name -> score or None, and boundary_iou: mean and classes, if asked for.

    Raises:
        DataError: names the masks without partner; InputError: sizes or values that do not fit.
    """
    names = tuple(dict.fromkeys(name for given in wanted.dialects for name in dialects_of(given)))
    if wanted.beta is not None and not 0 < wanted.beta < 1e6:
        raise InputError(f"{wanted.beta:g} is no beta", where="--beta", fix="give a number above 0, e.g. 2")
    pairs = _join(predicted, truth)
    count_all = _count_multilabel if kind == "multilabel" else _count_labels
    counted = count_all(pairs, kind, classes, ignore, boundary=wanted.boundary)
    if not sum(counted.each, Counts.zero(len(counted.names))).pixels.any():
        raise InputError("no pixel counts: all are ignored", where=truth, fix="check --ignore")
    if wanted.per == "area":
        unit, areas = _areas(pairs, counted, kind)
        counted = replace(counted, areas=areas, unit=unit)
    scores = {name: translate(counted.each, name, kind) for name in names}
    told = {"task": kind, **_told(counted, wanted), "dialects": {name: _plain(value) for name, value in scores.items()}}
    if wanted.boundary:
        found = _table(replace(counted, each=counted.edges), wanted, ("iou",))
        classes_told = {name: row["iou"] for name, row in found["classes"].items()}
        told["boundary_iou"] = {"mean": found["mean"]["iou"], "classes": classes_told}
    if wanted.csv is not None:
        write_text(wanted.csv, _rows(counted, wanted))
    return told


def _told(counted: _Counted, wanted: ScoreOptions) -> dict[str, Any]:
    """Put the scores of all items together, with how often each class occurs."""
    total = sum(counted.each, Counts.zero(len(counted.names)))
    told: dict[str, Any] = {
        "items": len(counted.each),
        "per": wanted.per,
        "empty": wanted.empty,
        "pixels": int(total.pixels.max(initial=0)),
        "pixel_accuracy": _plain(pixel_accuracy(total)),
        **({"area": sum(counted.areas), "unit": counted.unit} if counted.areas else {}),
        **_table(counted, wanted, wanted.metrics),
    }
    numbers = total.to_plain()
    truths = np.array([counts.truth > 0 for counts in counted.each]).sum(0)
    answers = np.array([counts.predicted > 0 for counts in counted.each]).sum(0)
    for index, row in enumerate(told["classes"].values()):
        row |= {field: values[index] for field, values in numbers.items()}
        row |= {"pixels": int(total.truth[index]), "images": int(truths[index]), "images_said": int(answers[index])}
    return told


def _table(counted: _Counted, wanted: ScoreOptions, metrics: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return mean: metric -> score, and classes: name -> metric -> score."""
    stacked = np.stack([counts.stacked for counts in counted.each])
    mean: dict[str, Any] = {}
    classes: dict[str, dict[str, Any]] = {name: {} for name in counted.names}
    assert len(classes) == counted.each[0].classes, counted.names
    weights = np.array(counted.areas or 1.0).reshape(-1, 1, 1)
    for metric in metrics:
        measure = Measure(metric, "pooled" if wanted.per == "pooled" else "image", wanted.empty)
        sums = (measure.lift(stacked) * weights).sum(0) if counted.areas else measure.lift(stacked).sum(0)
        mean[metric] = _plain(measure.score(sums))
        for row, value in zip(classes.values(), measure.classes(sums), strict=True):
            row[metric] = _plain(value)
    return {"mean": mean, "classes": classes}


def _areas(pairs: list[tuple[str, Path, Path]], counted: _Counted, kind: TaskKind) -> tuple[str, tuple[float, ...]]:
    """Return the unit, and the ground of each item's valid pixels: m2, or pixels where not all have coordinates."""
    files: dict[str, tuple[Path, Path]] = {}
    for name, *both in pairs:
        files.setdefault(str(Path(name).parent) if kind == "multilabel" else name, (both[0], both[1]))
    pixels = [float(counts.pixels.max(initial=0)) for counts in counted.each]
    sizes = [next((size for path in files[key] if (size := _pixel(path)) is not None), None) for key in counted.keys]
    known = [size for size in sizes if size is not None]
    if len(known) < len(sizes):
        return "pixels", tuple(pixels)
    return "m2", tuple(count * size for count, size in zip(pixels, known, strict=True))


def _pixel(path: Path) -> float | None:
    """Return the ground of a pixel in square metres, the mean over a file; None: the file has no coordinates."""
    if not is_tiff(path):
        return None
    areas = pixel_areas(open_scene(path).grid)
    return None if areas is None else float(areas.mean())


def _rows(counted: _Counted, wanted: ScoreOptions) -> str:
    """Return the CSV of single items: scores are means over the classes of the item."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    edged = ["boundary_iou"] if counted.edges else []
    fields = [f"{field}:{name}" for name in counted.names for field in FIELDS]
    writer.writerow(["item", *wanted.metrics, *edged, *fields])
    for place, (key, counts) in enumerate(zip(counted.keys, counted.each, strict=True)):
        scores = [score(counts, metric, wanted.empty) for metric in wanted.metrics]
        scores += [score(counted.edges[place], "iou", wanted.empty)] if edged else []
        said = ["" if np.isnan(value) else f"{value:.6f}" for value in scores]
        writer.writerow([key, *said, *counts.stacked.T.ravel().tolist()])
    return stream.getvalue()


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _count_labels(
    pairs: list[tuple[str, Path, Path]], kind: TaskKind, classes: int, ignore: int | None, *, boundary: bool
) -> _Counted:
    """Count binary and multiclass masks."""
    if kind == "binary" and classes > 2:
        raise InputError(f"a binary task has 1 or 2 classes, got {classes}", where="--classes", fix="use multiclass")
    names = ("foreground",) if kind == "binary" else tuple(f"class {index}" for index in range(classes))
    task = _task(kind, names, ignore)
    found = [_count_pair(prediction, truth, task, boundary=boundary) for _, prediction, truth in pairs]
    each, edges = zip(*found, strict=True)
    return _Counted(tuple(name for name, _, _ in pairs), task.plane_names, each, edges if boundary else ())


def _count_multilabel(
    pairs: list[tuple[str, Path, Path]], kind: TaskKind, classes: int, ignore: int | None, *, boundary: bool
) -> _Counted:
    """Count `<item>/<class>` masks: each class as a binary task, then side by side."""
    assert kind == "multilabel", kind
    names = sorted({Path(name).name for name, _, _ in pairs})
    if len(names) != classes:
        raise InputError(
            f"found masks of {len(names)} classes ({', '.join(names[:6])}), expected {classes}",
            where="--classes",
            fix="lay masks out as <item>/<class>.png",
        )
    plane = _task("binary", ("present",), ignore)
    found: dict[str, dict[str, tuple[Counts, Counts]]] = {}
    for name, prediction, truth in pairs:
        item, label = str(Path(name).parent), Path(name).name
        found.setdefault(item, {})[label] = _count_pair(prediction, truth, plane, boundary=boundary)
    nothing = (Counts.zero(1), Counts.zero(1))
    each, edges = (
        tuple(_side_by_side([planes.get(name, nothing)[part] for name in names]) for planes in found.values())
        for part in (0, 1)
    )
    return _Counted(tuple(found), tuple(names), each, edges if boundary else ())


def _count_pair(prediction: Path, truth: Path, task: Task, *, boundary: bool) -> tuple[Counts, Counts]:
    label, valid = _read(truth, task)
    answer = _read_answer(prediction, task)
    _same_shape(answer, label, prediction, truth)
    edge = count_boundary(label, answer, valid, task) if boundary else Counts.zero(task.planes)
    return count(label, answer, valid, task), edge


def _side_by_side(planes: Sequence[Counts]) -> Counts:
    return Counts(*(np.concatenate([getattr(plane, field) for plane in planes]) for field in FIELDS))


def _task(kind: TaskKind, names: tuple[str, ...], ignore: int | None) -> Task:
    try:
        return Task(kind=kind, classes=names, ignore=ignore)
    except ValidationError as error:
        reason = str(error.errors(include_url=False)[0]["msg"]).removeprefix("Value error, ")
        raise InputError(reason, where="--classes, --ignore", fix="give what the masks hold") from None


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
