"""The decision, and the only two functions that apply it: members to one probability, probability to label.

Weights are whole shares over their sum A. Stored probabilities are multiples of 1/65535, so a blend is
a multiple of 1/(65535 A) and comparing it with a threshold is exact: what is answered here is what the
histograms counted, pixel for pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from maskwright.core.errors import InputError
from maskwright.core.files import read_json, write_json
from maskwright.core.labels import Task, TaskKind
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.crf import Crf
from maskwright.ensembling.choose import (
    FACTOR_ONE,
    FACTORS,
    STEPS,
    UNIT,
    exclusive,
    likeliest,
    reached,
    temperature_of,
    warm,
)
from maskwright.ensembling.clean import Cleaning, clean
from maskwright.ensembling.crf import Look, smoothed
from maskwright.ensembling.evidence import Evidence
from maskwright.ensembling.thresholds import Edges, Rule, edge_value
from maskwright.inference.store import Quantised
from maskwright.scoring.measures import Measure, Per
from maskwright.scoring.scores import Empty

Floats = NDArray[np.float32]
AT_ONCE = 1 << 16
"""Numbers that are blended together: they stay in the second cache."""
MOST_SHARES = 100
"""Largest sum of shares: up to here float32 still tells neighbouring blends apart."""


class Decision(Block):
    """How probabilities become one answer, and why so."""

    metric: str
    """Name of the score that was made as large as possible."""
    per: Per = "pooled"
    """Whether pixels were pooled, or scores of images averaged."""
    empty: Empty = "skip"
    """What a class was worth that neither truth nor answer holds."""
    scored: tuple[int, ...] = ()
    """Planes that counted in the mean; none: all."""
    rule: Rule
    shares: dict[str, int]
    """Member -> whole share, 0 or more, in the order of members."""
    edges: Edges
    """One threshold for each plane, see thresholds.py; empty for argmax."""
    kept_weights: bool
    """False: the members have equal shares."""
    kept_thresholds: bool
    """False: every plane has the recipe's fixed threshold."""
    fixed_edge: int = Field(default=128, ge=1, le=255)
    """The recipe's fixed threshold."""
    temperature_steps: dict[str, int] = Field(default_factory=dict)
    """Member -> step of its temperature, 2^(step / 4); members that are not named stay as they are."""
    factors: tuple[int, ...] = ()
    """What each class's blended probability is multiplied with before the likeliest is taken, over 64; empty: alike."""
    priority: tuple[int, ...] = ()
    """Multilabel: planes that exclude each other, the strongest first. Multiclass: classes that win a tie."""
    crf: Crf | None = None
    """How the answer is smoothed before it is cleaned; None: not."""
    cleaning: Cleaning = Cleaning()
    """What is taken away from the answer, and filled in it."""
    recipe: str = ""
    """Hash of the recipe."""
    evidence: Evidence

    @model_validator(mode="after")
    def _whole(self) -> Decision:
        total = sum(self.shares.values())
        if min(self.shares.values(), default=-1) < 0 or not 0 < total <= MOST_SHARES:
            raise ValueError(f"shares must be 0 or more and add up to 1..{MOST_SHARES}, got {self.shares}")
        if (self.rule == "argmax") != (not self.edges) or any(not 1 <= edge <= 255 for edge in self.edges):
            raise ValueError(f"edges {list(self.edges)} do not fit the rule {self.rule}")
        if any(name not in self.shares or step not in STEPS for name, step in self.temperature_steps.items()):
            raise ValueError(f"temperature steps {self.temperature_steps} are not of these members or out of range")
        if any(factor not in FACTORS for factor in self.factors) or (self.factors and self.rule != "argmax"):
            raise ValueError(f"factors {list(self.factors)} are none of {FACTORS}, or the rule is not argmax")
        return self

    @property
    def measure(self) -> Measure:
        """The score that was made as large as possible."""
        return Measure(self.metric, self.per, self.empty, self.scored)

    @property
    def total(self) -> int:
        """Sum of all shares."""
        return sum(self.shares.values())

    @property
    def weights(self) -> dict[str, float]:
        """Member -> weight; they add up to 1."""
        return {name: share / self.total for name, share in self.shares.items()}

    @property
    def needed(self) -> tuple[str, ...]:
        """Members with a share: the others need not be predicted."""
        return tuple(name for name, share in self.shares.items() if share)

    @property
    def thresholds(self) -> tuple[float, ...]:
        """One for each plane; a pixel is of the class where p >= threshold. Empty for argmax."""
        return tuple(edge_value(edge) for edge in self.edges)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data, with weights and thresholds written out beside shares and edges, and so on."""
        plain = self.model_dump(mode="json")
        evidence = plain.pop("evidence")
        return {
            **plain,
            "weights": self.weights,
            "thresholds": list(self.thresholds),
            "temperatures": {name: temperature_of(step) for name, step in self.temperature_steps.items()},
            "class_weights": [factor / FACTOR_ONE for factor in self.factors],
            "evidence": evidence,
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Decision:
        """Return what to_plain was made from."""
        return cls.model_validate({key: plain[key] for key in plain if key not in _WRITTEN_OUT})


_WRITTEN_OUT = ("weights", "thresholds", "temperatures", "class_weights")


def write_decision(path: Path, decision: Decision) -> None:
    """Write decision.json."""
    write_json(path, decision.to_plain())


def read_decision(path: Path) -> Decision:
    """Read decision.json.

    Raises:
        InputError: absent or damaged.
    """
    try:
        return Decision.from_plain(read_json(path))
    except (ValidationError, TypeError) as error:
        raise InputError("not a decision of this version", where=path, fix="run maskwright decide") from error


def blend(probabilities: Mapping[str, Floats | Quantised], decision: Decision) -> Floats:
    """Return the weighted mean of the members, float32 (K, H, W).

    Args:
        probabilities: member -> (K, H, W), float32 as read from a store or uint8 or uint16 as stored, which is faster;
            members without a share may be missing.
        decision: gives the shares.

    Raises:
        InputError: a member with a share is missing.
    """
    warmed: dict[str, NDArray[np.uint16]] = {}
    for name in decision.needed:
        if name not in probabilities:
            raise InputError(f"no probabilities of member '{name}'", fix="run maskwright predict")
        if decision.temperature_steps.get(name):
            kind: TaskKind = "multiclass" if decision.rule == "argmax" else "multilabel"
            units = _units(probabilities[name]).astype(np.uint16)
            warmed[name] = warm(units, decision.temperature_steps[name], kind)
    result: Floats = np.empty(probabilities[decision.needed[0]].shape, np.float32)
    flat = {name: warmed.get(name, probabilities[name]).reshape(-1) for name in decision.needed}
    for start in range(0, result.size, AT_ONCE):  # fresh pages for the whole would cost more than the arithmetic
        total = np.zeros(min(AT_ONCE, result.size - start), np.int32)
        for name, values in flat.items():
            part = values[start : start + AT_ONCE]
            total += _units(part) * np.int32(decision.shares[name])
        np.divide(
            total,
            np.float64(UNIT * decision.total),
            out=result.reshape(-1)[start : start + AT_ONCE],
            casting="same_kind",
        )
    return result


def _units(values: Floats | Quantised) -> NDArray[np.int32]:
    """Return probabilities as whole multiples of 1/65535."""
    units: NDArray[np.int32]
    if values.dtype.kind == "f":
        units = np.rint(values * np.float32(UNIT)).astype(np.int32)
        return units
    units = values.astype(np.int32)
    units *= np.int32(UNIT // (255 if values.dtype.itemsize == 1 else UNIT))
    return units


def answer(probability: Floats, decision: Decision, task: Task, look: Look | None = None) -> NDArray[np.uint8]:
    """Return the label that the decision gives to blended probabilities.

    Args:
        probability: float32 (K, H, W) from `blend`.
        decision: gives the rule and the thresholds.
        task: gives the label's shape.
        look: gives the colours, for a random field that wants them.

    Returns:
        uint8 (H, W), or (K, H, W) of 0/1 for multilabel.
    """
    if decision.rule == "argmax" and not decision.factors and not decision.priority:
        label: NDArray[np.uint8] = probability.argmax(0).astype(np.uint8)
        return clean(smoothed(label, decision.crf, task, look), decision.cleaning, task, probability)
    if decision.rule == "argmax":
        units = np.rint(probability.astype(np.float64) * (UNIT * decision.total)).astype(np.int64)
        label, products = likeliest(units, decision.factors, decision.priority)
        return clean(smoothed(label, decision.crf, task, look), decision.cleaning, task, products)
    planes = exclusive(reached(probability, decision.total, decision.edges), decision.priority)
    label = planes if task.kind == "multilabel" else planes.reshape(planes.shape[1:])
    return clean(smoothed(label, decision.crf, task, look), decision.cleaning, task, probability)
