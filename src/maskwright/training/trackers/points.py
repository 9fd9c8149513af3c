"""From the lines of log.jsonl and history.csv to points of curves."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path

from maskwright.training.records import HISTORY, LOG

Numbers = dict[int, dict[str, float]]
"""Optimiser steps done -> curve -> value."""


class Reader:
    """Reads what was added to a fold's two files since the last time.

    Args:
        folder: the fold's folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, int] = {}
        self._columns: list[str] = []

    def upto(self, sizes: Mapping[str, int]) -> Numbers:
        """Return the numbers of whole lines between what was read before and `sizes` bytes of each file."""
        found: Numbers = {}
        for line in self._lines(LOG, sizes):
            plain = json.loads(line)
            _add(found, plain.pop("step"), {_LOG.get(name, f"train/{name}"): plain[name] for name in plain})
        rows = list(csv.reader(self._lines(HISTORY, sizes)))
        if rows and not self._columns:
            self._columns = rows.pop(0)
        for row in rows:
            told = dict(zip(self._columns, row, strict=False))
            _add(found, int(told.pop("step")), {_held(name): _number(told[name]) for name in told})
        return found

    def _lines(self, name: str, sizes: Mapping[str, int]) -> list[str]:
        start, end = self._read.get(name, 0), sizes.get(name, 0)
        if end <= start:
            return []
        with (self.folder / name).open("rb") as stream:
            stream.seek(start)
            data = stream.read(end - start)
        self._read[name] = end
        return data.decode().splitlines()


def _add(found: Numbers, step: int, values: Mapping[str, object]) -> None:
    numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    found.setdefault(step, {}).update(numbers)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _held(column: str) -> str:
    """Return the curve of a column of history.csv; `score:roof` becomes held_out/score/roof."""
    kind, colon, name = column.partition(":")
    return f"held_out/{kind}/{name}" if colon else _HISTORY.get(column, f"epoch/{column}")


_LOG = {"norm": "train/gradient_norm", "epoch": "epoch"}
_HISTORY = {
    "epoch": "epoch",
    "loss": "epoch/loss",
    "lr": "epoch/lr",
    "valid_loss": "held_out/loss",
    "score": "held_out/score",
}
