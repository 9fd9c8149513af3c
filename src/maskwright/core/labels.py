"""What a label means: task kind, classes, ids, colours, ignore, value map.

One convention everywhere after reading: labels are uint8 and hold only declared values, and a
separate boolean `valid` says which pixels count. `ignore` and nodata live in `valid` alone.

| task       | label array            | planes K of logits and probabilities | activation |
|------------|------------------------|--------------------------------------|------------|
| binary     | (H, W) in {0, 1}       | 1, the foreground                    | sigmoid    |
| multiclass | (H, W) in 0..C-1       | C                                    | softmax    |
| multilabel | (C, H, W) in {0, 1}    | C                                    | sigmoid    |
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from maskwright.core.errors import InputError
from maskwright.core.recipe.base import Block

TaskKind = Literal["binary", "multiclass", "multilabel"]
Activation = Literal["sigmoid", "softmax"]
Shade = Annotated[int, Field(ge=0, le=255)]
IGNORE = 255
"""In-memory value of an ignored pixel while a value map is applied; `valid` replaces it."""
UNDECLARED = 254
"""In-memory marker of a raw value that nobody declared; class ids end at 253."""
MOST_VALUES = 1024
"""Raw values of one mask that a refusal counts."""


class Task(Block):
    """What is predicted. It drives head, activation, loss, metric, threshold and writer."""

    kind: TaskKind
    """binary: one foreground class; multiclass: one class a pixel; multilabel: planes that may overlap."""
    classes: tuple[str, ...] = Field(min_length=1, max_length=254)
    """Class names in id order. binary: the foreground alone, or background and foreground."""
    ignore: int | None = Field(default=None, ge=0, le=65535)
    """Raw label value whose pixels never count, e.g. 255; None when there is none."""
    colours: tuple[tuple[Shade, Shade, Shade], ...] | None = None
    """RGB 0..255 for each class, for palettes and pictures; chosen for you when absent."""

    @field_validator("classes")
    @classmethod
    def _distinct(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({name for name in classes if classes.count(name) > 1})
        if twice:
            raise ValueError(f"class names must be distinct, got '{twice[0]}' more than once")
        for name in classes:
            if not name.isprintable() or name != name.strip() or not name:
                what = f"class name {name!a} is empty, has spaces at an end or control characters"
                raise ValueError(f"{what}; write a plain name")
        folded = {name.casefold(): name for name in classes}
        alike = next((name for name in classes if folded[name.casefold()] != name), None)
        if alike is not None:
            raise ValueError(f"class names '{alike}' and '{folded[alike.casefold()]}' differ only in case; rename one")
        return classes

    @model_validator(mode="after")
    def _agree(self) -> Task:
        if self.kind == "binary" and len(self.classes) > 2:
            raise ValueError(
                f"a binary task has one foreground class, got {len(self.classes)} classes; "
                "use kind: multiclass or multilabel"
            )
        if self.kind == "multiclass" and len(self.classes) < 2:
            raise ValueError("a multiclass task needs two classes or more; use kind: binary")
        if self.colours is not None and len(self.colours) != len(self.classes):
            raise ValueError(f"{len(self.colours)} colours for {len(self.classes)} classes")
        declared = self.values
        if self.ignore is not None and self.ignore in declared:
            raise ValueError(
                f"ignore: {self.ignore} is also the id of class "
                f"'{self.value_names[declared.index(self.ignore)]}'; choose a value outside the classes"
            )
        return self

    @property
    def planes(self) -> int:
        """K, the number of channels of logits and probabilities."""
        return 1 if self.kind == "binary" else len(self.classes)

    @property
    def plane_names(self) -> tuple[str, ...]:
        """A name for each of the K planes."""
        return self.classes[-1:] if self.kind == "binary" else self.classes

    @property
    def values(self) -> tuple[int, ...]:
        """The label values a mask may hold (besides ignore)."""
        return tuple(range(len(self.classes))) if self.kind == "multiclass" else (0, 1)

    @property
    def value_names(self) -> tuple[str, ...]:
        """A name for each of `values`."""
        if self.kind == "multiclass":
            return self.classes
        return ("background", self.classes[-1] if self.kind == "binary" else "present")

    @property
    def activation(self) -> Activation:
        """The function from logits to probabilities."""
        return "softmax" if self.kind == "multiclass" else "sigmoid"

    @property
    def palette(self) -> NDArray[np.uint8]:
        """RGB of each of the K planes, uint8 (K, 3)."""
        if self.colours is not None:
            return np.array(self.colours[-self.planes :], dtype=np.uint8)
        return default_palette(self.planes, background=self.kind == "multiclass" and looks_background(self.classes[0]))


def looks_background(name: str) -> bool:
    """Say whether a class name stands for 'nothing here'."""
    return name.strip().lower() in {"background", "bg", "other", "none", "_background_"}


def default_palette(count: int, *, background: bool = False) -> NDArray[np.uint8]:
    """Return `count` well separated RGB colours, uint8 (count, 3); black first if `background`.

    The first twenty are chosen by hand so that neighbours differ; further ones walk around the hue circle.
    """
    wanted = count - background
    rows = [tuple(int(text[i : i + 2], 16) for i in (0, 2, 4)) for text in COLOURS.split()][:wanted]
    for index in range(len(rows), wanted):
        hue, shade = (0.08 + index * 0.61803398875) % 1.0, 0.95 - 0.25 * (index % 3)
        rows.append(tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.5 + 0.4 * (index % 2), shade)))
    return np.array([(0, 0, 0)] * background + rows, dtype=np.uint8).reshape(count, 3)


COLOURS = """f58231 3c78d8 2e9e4f d64545 8e59c2 e8c33c 35b5c4 e377c2 8c5a3c a8d08d
1f4e9c f4a7a0 7f8c1d b03a7a 9fb8e8 0f766e ffb14e 5b4b8a c0c0c0 6aa84f"""
"""Twenty colours as RRGGBB: muted enough to lie over a photograph, far enough apart to be told."""


def apply_value_map(
    raw: NDArray[np.integer], task: Task, value_map: Mapping[int, int | Literal["ignore"]] | None, where: str
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    """Turn raw mask values into class ids and validity; refuse what is not declared.

    Args:
        raw: integer or bool array of any shape.
        task: gives the declared values and `ignore`.
        value_map: raw value -> class id or "ignore"; None means raw values are class ids.
        where: file name for the message.

    Returns:
        labels uint8 (0 where not valid) and valid bool, both of raw's shape.

    Raises:
        InputError: a value is outside the task; names value, share of pixels and a proposed map. Or the
            map leads to a class that the task does not have.
    """
    for key, value in (value_map or {}).items():
        if value != "ignore" and value not in task.values:
            raise InputError(f"{key} is mapped to {value}, which is not one of {list(task.values)}", where=where)
    declared: dict[int, int] = {value: value for value in task.values}
    if value_map is not None:
        declared = {key: IGNORE if value == "ignore" else value for key, value in value_map.items()}
    if task.ignore is not None:
        declared.setdefault(task.ignore, IGNORE)
    if raw.size == 0:
        return raw.astype(np.uint8), np.zeros(raw.shape, bool)
    low, high = int(raw.min()), int(raw.max())
    if raw.dtype == np.uint8 and high < UNDECLARED and all(declared.get(each) == each for each in range(low, high + 1)):
        return raw.astype(np.uint8), np.ones(raw.shape, bool)
    labels = _look_up(raw, declared, low, high)
    if (labels == UNDECLARED).any():
        raise undeclared(raw, task, declared, where)
    valid = labels != IGNORE
    if not valid.all():
        labels[~valid] = 0
    return labels, valid


def _look_up(raw: NDArray[np.integer], declared: Mapping[int, int], low: int, high: int) -> NDArray[np.uint8]:
    """Replace each value, low to high, by what it is declared as, or by UNDECLARED."""
    if high - low > 1 << 17:
        known = sorted(key for key in declared if low <= key <= high)
        found = np.searchsorted(np.array(known, raw.dtype), raw)
        lookup = np.array([*(declared[key] for key in known), UNDECLARED], np.uint8)
        exact = np.array([*known, 0], raw.dtype)[found] == raw
        return np.where(exact, lookup[found], np.uint8(UNDECLARED))
    lookup = np.full(high - low + 1, UNDECLARED, np.uint8)
    for key, value in declared.items():
        if low <= key <= high:
            lookup[key - low] = value
    if raw.dtype == np.bool_:
        raw = raw.view(np.uint8)
    if raw.dtype == np.uint8:  # 2-3 times faster than indexing, which makes 8 bytes of each
        table = bytes(low) + lookup.tobytes() + bytes(255 - high)
        return np.frombuffer(bytearray(raw.tobytes()).translate(table), np.uint8).reshape(raw.shape)
    labels: NDArray[np.uint8] = lookup[raw.astype(np.int64) - raw.min().astype(np.int64) if low else raw]
    return labels


def undeclared(raw: NDArray[np.integer], task: Task, table: Mapping[int, int], where: str) -> InputError:
    """Build the message for label values outside the task, with a map to copy."""
    values, amounts = np.unique(raw, return_counts=True)
    found = [int(value) for value in values]
    outside = {value: int(amount) for value, amount in zip(found, amounts, strict=True) if value not in table}
    worst = max(outside, key=lambda value: outside[value])
    share = outside[worst] / raw.size
    more = f" (and {len(outside) - 1} more: {list(outside)[:6]})" if len(outside) > 1 else ""
    most = sorted(zip(found, amounts.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))[:MOST_VALUES]
    return InputError(
        f"label value {worst} covers {share:.2%} of the mask{more} but the task declares {sorted(table)}",
        where=where,
        fix=f"declare it, set task.ignore, or add values: {propose_map(found, task)}",
        kind="undeclared_value",
        facts={"values": dict(most), "distinct": len(found), "declared": sorted(table), "pixels": raw.size},
    )


def propose_map(found: list[int], task: Task) -> str:
    """Propose a value map as YAML text for the values found in a mask."""
    positive = sorted(value for value in found if value > 0)
    if task.kind != "multiclass":
        pairs = {value: (0 if value == 0 else 1) for value in sorted(found)}
    elif len(found) <= len(task.classes):
        pairs = {value: index for index, value in enumerate(sorted(found))}
    else:
        pairs = {value: value if value in task.values else -1 for value in [0, *positive]}
    shown = list(pairs.items())
    text = ", ".join(f"{key}: {'ignore' if value < 0 else value}" for key, value in shown[:12])
    return "{" + text + (", ..." if len(shown) > 12 else "") + "}"
