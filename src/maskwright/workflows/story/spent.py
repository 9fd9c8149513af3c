"""Histories, time, memory and first weights, from the files of the members and of the run."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.core.runs import RunFolder
from maskwright.core.spent import read_lines
from maskwright.output.report import facts as told
from maskwright.output.report import insight_facts as seen


def history(run: RunFolder, member: str, fold: int) -> told.Curve:
    """Read history.csv of one fold."""
    path = run.fold(member, fold) / "history.csv"
    rows = []
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                score = float(row["score"]) if row["score"] else None
                held = float(row["valid_loss"]) if row.get("valid_loss") else None
                rows.append(
                    told.EpochRow(
                        int(row["epoch"]), int(row["step"]), float(row["loss"]), float(row["lr"]), held, score
                    )
                )
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"not a training history ({error})", where=path, fix="train the fold again") from None
    return told.Curve(member, fold, tuple(rows))


def spent(run: RunFolder, members: tuple[str, ...], folds: int) -> seen.SpentFacts:
    """Return what stages and trainings cost, as far as it was measured, and the ledger of first weights."""
    found = [_fold(run, member, fold) for member in members for fold in range(folds)]
    return seen.SpentFacts(_stages(run.timing), tuple(fold for fold in found if fold is not None), _weights(run))


def _stages(path: Path) -> tuple[seen.StageSpent, ...]:
    """Add up the stages before the report: its own time is not known while it is written."""
    total: dict[str, tuple[float, int, int]] = {}
    for line in read_lines(path):
        name = str(line.get("stage", ""))
        if name == "report":
            continue
        seconds, peak, times = total.get(name, (0.0, 0, 0))
        total[name] = seconds + float(line.get("seconds", 0)), max(peak, int(line.get("peak_mb", 0))), times + 1
    return tuple(seen.StageSpent(name, *numbers) for name, numbers in total.items())


def _fold(run: RunFolder, member: str, fold: int) -> seen.FoldSpent | None:
    """Add up the epochs of one training; epochs that a kill made it repeat count as often as they were done."""
    lines = read_lines(run.fold(member, fold) / "timing.jsonl")
    lines = [line for line in lines if "seconds" in line and "epoch" in line]
    if not lines:
        return None
    peaks = {key: [int(line[key]) for line in lines if key in line] for key in ("peak_mb", "peak_gpu_mb")}
    return seen.FoldSpent(
        member=member,
        fold=fold,
        epochs=max(int(line["epoch"]) for line in lines),
        steps=max(int(line.get("step", 0)) for line in lines),
        seconds=sum(float(line["seconds"]) for line in lines),
        peak_mb=max(peaks["peak_mb"], default=None),
        peak_gpu_mb=max(peaks["peak_gpu_mb"], default=None),
    )


def _weights(run: RunFolder) -> tuple[seen.WeightFacts, ...]:
    """Read weights.json, the ledger that training keeps; a run from before it has none."""
    path = run.weights
    if not path.exists():
        return ()
    rows: Any = read_json(path)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError("not a ledger of weights", where=path, fix="run maskwright train")

    def said(row: dict[str, Any], key: str) -> str:
        return str(row.get(key) or "not stated")

    keys = ("member", "weights", "source", "licence", "commercial")
    return tuple(seen.WeightFacts(*(said(row, key) for key in keys)) for row in rows)
