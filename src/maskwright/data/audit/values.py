"""Explain raw label values that the task does not declare, over the whole set, and propose the map that mends them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from maskwright.core.labels import Task, looks_background
from maskwright.data.audit.measure import Measured
from maskwright.data.audit.view import View
from maskwright.data.findings import Finding, some

Proposal = dict[int, int | Literal["ignore"]]

STRAY_SHARE, STRAY_ITEMS = 0.001, 0.1
"""Undeclared values on a smaller share of pixels and of masks than these are slips, not another convention."""
SOFT_VALUES = 8
"""Distinct values from which a mask of two may be a soft one."""
SOFT_MASS = 0.6
"""Least share of the pixels of a soft mask that lie within a tenth of its range from either end."""


class Explained(NamedTuple):
    """What undeclared values probably are."""

    kind: str
    reason: str
    fix: str
    proposal: Proposal


@dataclass(frozen=True)
class Values:
    """Raw values of a set: pixels of each over all masks, and what the task declares."""

    task: Task
    declared: tuple[int, ...]
    pixels: Mapping[int, int]
    each: tuple[tuple[int, ...], ...]
    """The values of each mask that has undeclared ones."""
    masks: int
    """Masks that could be read."""
    mapping: Proposal
    """The recipe's own map, if it has one."""

    @property
    def outside(self) -> list[int]:
        """The undeclared values."""
        return sorted(set(self.pixels) - set(self.declared))

    @property
    def share(self) -> float:
        """Share of all pixels that undeclared values cover."""
        return sum(self.pixels[value] for value in self.outside) / max(sum(self.pixels.values()), 1)


def explain_values(view: View) -> Iterator[Finding]:
    """Replace the faults of single masks with undeclared values by one of the set."""
    odd = [(one, finding) for one in view.found for finding in one.findings if finding.kind == "undeclared_value"]
    if not odd:
        return
    values = _gather(view, odd)
    kind, reason, fix, proposal = _explain(values)
    outside = values.outside
    total = max(sum(values.pixels.values()), 1)
    shares = {value: values.pixels[value] / total for value in outside}
    listed = ", ".join(f"{value} ({shares[value]:.2%})" for value in outside[:8]) + (", ..." if outside[8:] else "")
    keys = tuple(one.key for one, _ in odd)
    where = odd[0][1].where if len(odd) == 1 else view.where
    counted = "" if len(odd) == 1 else f" in {len(odd)} of {values.masks} masks ({some(keys)})"
    yield Finding(
        kind,
        where,
        f"label values outside the task{counted}: {listed} of all label pixels; the task declares "
        f"{list(values.declared)}; {reason}",
        fix,
        keys,
        {
            "values": {str(value): {"pixels": values.pixels[value], "share": shares[value]} for value in outside[:256]},
            "all_values": {str(value): count for value, count in sorted(values.pixels.items())[:256]},
            "declared": list(values.declared),
            "proposed": {str(value): meaning for value, meaning in proposal.items()},
        },
    )


def _gather(view: View, odd: Sequence[tuple[Measured, Finding]]) -> Values:
    pixels: Counter[int] = Counter()
    for _, finding in odd:
        pixels.update({int(value): count for value, count in finding.facts["values"].items()})
    declared = tuple(odd[0][1].facts["declared"])
    given = getattr(view.data.train if view.training else view.data.test, "values", None)
    mapping: Proposal = dict(given) if given else {value: value for value in view.task.values}
    plain = given is not None or set(declared) <= {*view.task.values, view.task.ignore}
    if plain and view.task.kind != "multilabel":  # what legal masks hold is what it is stored as
        stored = {meaning: raw for raw, meaning in mapping.items()}
        void = stored.get("ignore", view.task.ignore)
        for one in view.labelled:
            for value, count in zip(view.task.values, one.pixels, strict=True):
                pixels[stored.get(value, value)] += count
            if void is not None:
                assert one.header is not None, one.key
                pixels[void] += one.header.height * one.header.width - one.valid - one.hidden
    pixels = +pixels
    each = tuple(tuple(sorted(int(value) for value in finding.facts["values"])) for _, finding in odd)
    return Values(view.task, declared, pixels, each, len(view.labelled) + len(odd), mapping if given else {})


def _explain(values: Values) -> Explained:
    """Try one explanation after the other, the most telling first."""
    for attempt in (_instances, _soft, _foreground, _two_ways, _shifted_ignore, _from_one, _one_more, _stray, _spread):
        explained = attempt(values)
        if explained is not None:
            return explained
    proposal: Proposal = {value: value if value in values.task.values else "ignore" for value in sorted(values.pixels)}
    if values.mapping:
        proposal = {**values.mapping, **dict.fromkeys(values.outside, "ignore")}
    elif values.task.kind != "multiclass":
        proposal = {value: min(value, 1) if value >= 0 else "ignore" for value in sorted(values.pixels)}
    return Explained(
        "undeclared_value",
        "what they mean cannot be told",
        f"declare their classes, set task.ignore, or set values: {as_yaml(proposal)}",
        proposal,
    )


def _instances(values: Values) -> Explained | None:
    """A number for each object: 0, 1, 2, ... up to another end in each mask."""
    ends = [each[-1] for each in values.each if each[-1] - each[0] + 1 == len(each) and each[0] in (0, 1)]
    most = len(values.task.values)
    if len(ends) < 0.8 * len(values.each) or max(ends, default=0) <= most + 3 or max(ends) == 255:
        return None
    if len(values.each) > 1 and len(set(ends)) < 2:
        return None
    return Explained(
        "instance_map",
        f"they count objects, up to {max(ends)} in one mask",
        "read them as objects: encoding: instances"
        if values.task.kind == "binary"
        else "use kind: binary with encoding: instances, or masks of class ids",
        {},
    )


def _soft(values: Values) -> Explained | None:
    """Two values and all shades between: smoothed, resized with interpolation, or once a JPEG."""
    top = max(values.pixels)
    if len(values.pixels) < max(SOFT_VALUES, 2 * len(values.declared) + 4) or values.task.kind == "multiclass":
        return None
    ends = sum(count for value, count in values.pixels.items() if value <= top / 10 or value >= top * 0.9)
    if ends < SOFT_MASS * sum(values.pixels.values()):
        return None
    return Explained(
        "soft_mask",
        f"{len(values.pixels)} shades between 0 and {top}: the masks were smoothed, resized with interpolation "
        "or once saved as JPEG",
        f"cut them at {(top + 1) // 2} and save 0 and 1 as PNG",
        {},
    )


def _foreground(values: Values) -> Explained | None:
    """Binary masks of 0 and one other value, e.g. 255."""
    others = [value for value in values.pixels if value not in (0, values.task.ignore)]
    if values.task.kind == "multiclass" or len(others) != 1 or others[0] < 0:
        return None
    proposal: Proposal = {0: 0, others[0]: 1}
    return Explained(
        "foreground_value", f"foreground is stored as {others[0]}", f"set values: {as_yaml(proposal)}", proposal
    )


def _two_ways(values: Values) -> Explained | None:
    """Foreground as 1 in some masks and as one other value, e.g. 255, in the rest; two classes as 0 and that value."""
    outside, classes = values.outside, len(values.task.classes)
    if len(outside) != 1 or outside[0] < 0 or values.mapping or any(1 in each for each in values.each):
        return None
    odd = outside[0]
    often = len(values.each) >= max(2, STRAY_ITEMS * values.masks) and any(0 in each for each in values.each)
    if values.task.kind == "binary" and values.pixels.get(1) and often:
        proposal: Proposal = {0: 0, 1: 1, odd: 1}
        reason = f"foreground is stored as {odd} in some masks and as 1 in others"
        return Explained("foreground_value", reason, f"set values: {as_yaml(proposal)}", proposal)
    if values.task.kind == "multiclass" and classes == 2 and not values.pixels.get(1) and odd != values.task.ignore:
        proposal = {0: 0, odd: 1}
        reason = f"the second class seems to be stored as {odd}"
        return Explained("foreground_value", reason, f"set values: {as_yaml(proposal)}", proposal)
    return None


def _shifted_ignore(values: Values) -> Explained | None:
    """One value that lies where ignore usually does: 255, 254, 65535, -1, or beside the one declared."""
    task, outside = values.task, values.outside
    if len(outside) != 1:
        return None
    odd = outside[0]
    unused = task.ignore is not None and not values.pixels.get(task.ignore)
    usual = odd in (254, 255, 65535) or odd < 0
    if not usual and not (unused and task.ignore is not None and abs(odd - task.ignore) <= 1):
        return None
    proposal: Proposal = {}
    proposal.update({value: value for value in task.values})
    proposal[odd] = "ignore"
    fix = f"set task.ignore: {odd}" if odd >= 0 else f"set values: {as_yaml(proposal)}"
    if unused:
        reason = f"the task ignores {task.ignore}, which never occurs, and {odd} does"
        return Explained("ignore_elsewhere", reason, fix, proposal)
    return Explained("ignore_undeclared", f"{odd} usually marks pixels that do not count", fix, proposal)


def _from_one(values: Values) -> Explained | None:
    """Classes counted from 1: values 1..C where 0..C-1 are declared."""
    task = values.task
    count = len(task.classes)
    held = set(values.pixels) - {task.ignore}
    if task.kind != "multiclass" or values.outside != [count] or 0 in held:
        return None
    proposal: Proposal = {value: value - 1 for value in range(1, count + 1)}
    return Explained(
        "labels_off_by_one",
        f"values run from 1 to {count} and 0 never occurs: classes seem to be counted from 1",
        f"set values: {as_yaml(proposal)}",
        proposal,
    )


def _one_more(values: Values) -> Explained | None:
    """0..C where C classes are declared: a class was forgotten, or 0 means unlabelled."""
    task = values.task
    count = len(task.classes)
    if task.kind != "multiclass" or values.outside != [count]:
        return None
    proposal: Proposal = {0: "ignore", **{value: value - 1 for value in range(1, count + 1)}}
    if looks_background(task.classes[0]):
        proposal = {**{value: value for value in range(count)}, count: "ignore"}
        reason, fix = "one class more than the task names", f"name it in task.classes, or set task.ignore: {count}"
    else:
        reason = "one value more than classes: 0 may mean unlabelled, or the last may be void"
        fix = f"set values: {as_yaml(proposal)} or task.ignore: {count}, or name the class"
    return Explained("extra_class", reason, fix, proposal)


def _stray(values: Values) -> Explained | None:
    """Slips of the pen: few pixels of few masks."""
    if values.share >= STRAY_SHARE or len(values.each) > max(1, STRAY_ITEMS * values.masks):
        return None
    proposal: Proposal = {}
    proposal.update({value: value for value in values.declared if value != values.task.ignore})
    for value in values.outside:
        proposal[value] = "ignore"
    return Explained(
        "stray_value",
        "so few that they look like slips",
        f"mend the masks, or set values: {as_yaml(proposal)}",
        proposal,
    )


def _spread(values: Values) -> Explained | None:
    """As many values as classes, in other numbers: 0, 127, 255."""
    task = values.task
    held = sorted(set(values.pixels) - {task.ignore})
    if task.kind != "multiclass" or len(held) > len(task.classes) or min(held) < 0:
        return None
    proposal: Proposal = {value: place for place, value in enumerate(held)}
    few = "" if len(held) == len(task.classes) else f" (of which {len(held)} occur)"
    return Explained(
        "spread_values",
        f"they may be the {len(task.classes)} classes{few} in other numbers",
        f"check the order and set values: {as_yaml(proposal)}",
        proposal,
    )


def as_yaml(proposal: Proposal) -> str:
    """Return a map as YAML text on one line."""
    pairs = [f"{value}: {meaning}" for value, meaning in proposal.items()]
    return "{" + ", ".join(pairs[:24]) + (", ..." if len(pairs) > 24 else "") + "}"
