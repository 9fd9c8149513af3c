"""What every tracker is: something that takes points of a training's curves, and may fail at any moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True)
class Place:
    """Which training is told of, and where its run lies."""

    root: Path
    """The run folder."""
    run: str
    """Name of the recipe."""
    member: str
    fold: int
    config: Mapping[str, Any]
    """The resolved recipe as plain data."""

    @property
    def name(self) -> str:
        """`member/fold0`, the name of the tracker's run."""
        return f"{self.member}/fold{self.fold}"


@dataclass(frozen=True)
class Point:
    """Numbers that belong to one step."""

    step: int
    """Optimiser steps done."""
    time: float
    """Seconds since 1970: not when the step was taken but about when, spread evenly between two tellings."""
    values: Mapping[str, float]
    """Such as train/loss and held_out/score."""


class Tracker(Protocol):
    """One tracker's run of one fold. Every call may raise anything: whoever calls catches it."""

    def open(self, kept: Mapping[str, Any]) -> None:
        """Begin the run, or go on with the one that `kept` tells of; empty: there is none."""

    def write(self, points: Sequence[Point], *, again: bool) -> None:
        """Take points in order of their steps.

        Args:
            points: none of them was taken before, except perhaps where `again`.
            again: an earlier process was killed while it gave exactly these; what is there must not be doubled.
        """

    @property
    def kept(self) -> Mapping[str, Any]:
        """What a later process needs to go on with this run: plain data without paths."""

    def close(self, *, finished: bool) -> None:
        """Let go of the run; `finished`: the training reached its end."""
