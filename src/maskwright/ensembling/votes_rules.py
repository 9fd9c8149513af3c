"""What a vote is, in words and as a program of exact whole numbers: groups of members, weights, thresholds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from maskwright.core.errors import InputError, near
from maskwright.core.recipe.votes import Group, Rule

LARGEST = 1 << 61
"""Largest sum of whole weights: twice that still fits 64 bits."""


class VotePlan(Group):
    """A vote on files, as `maskwright vote plan.yaml` reads it."""

    version: Literal[1] = 1
    """Of the plan's format."""
    format: str
    """Name of the files' format, see votes_table.py."""
    output: str
    """File to write, beside the plan."""
    sample: str | None = None
    """Sample submission: its ids are those that must be there, and its order is kept; None: the first member's."""
    empty: str | None = None
    """Text for a mask without pixels, read beside nothing and -1, and written; None: the format's."""
    size: tuple[int, int] | None = None
    """Height and width of every mask; runs past its end are refused. None: not known."""


@dataclass(frozen=True)
class Step:
    """One vote of a program."""

    name: str
    inputs: tuple[int, ...]
    """Files count from 0, steps behind them."""
    weights: tuple[int, ...]
    need: int
    """For a vote: the sum of weights that is enough."""
    rule: Rule = "vote"
    best: Mapping[str, int] | None = None
    """For best: class -> place in `inputs`."""


@dataclass(frozen=True)
class Program:
    """Files and the votes on them, each step behind those that it asks."""

    files: tuple[Path, ...]
    steps: tuple[Step, ...]


def log_weights(scores: Mapping[str, float]) -> dict[str, Fraction]:
    """Return weights from scores: u = ln(s - min s + 1) + 1, the rule of SEEDS 000.7; a vote divides by their sum.

    Args:
        scores: member -> score, as percent or as a share: the unit matters.
    """
    lowest = min(scores.values())
    return {name: Fraction(math.log(score - lowest + 1) + 1) for name, score in scores.items()}


def whole(weights: Sequence[Fraction]) -> list[int]:
    """Return whole numbers in the same proportion, so that sums of them are exact.

    Where that takes numbers past LARGEST they are rounded to 1/LARGEST of the sum.
    """
    scale = math.lcm(*(weight.denominator for weight in weights))
    found = [int(weight * scale) for weight in weights]
    divisor = math.gcd(*found) or 1
    found = [weight // divisor for weight in found]
    if sum(found) > LARGEST:
        total = sum(weights)
        found = [round(weight / total * LARGEST) for weight in weights]
    return found


def enough(threshold: float, total: int) -> int:
    """Return the least whole number whose share of the total, as a float, is not below the threshold.

    So 5 of 7 are enough for 5 / 7, which as a float lies above.
    """
    below = Fraction(math.nextafter(threshold, 0.0))
    least = max(1, math.ceil((below + Fraction(threshold)) / 2 * total))
    return least if least / total >= threshold else least + 1


def compile_group(group: Group, folder: Path, classes: bool) -> Program:
    """Turn groups into files and steps.

    Args:
        group: the outermost group.
        folder: what its files' names are relative to.
        classes: whether the files hold classes.

    Raises:
        InputError: a group whose settings contradict each other, or weights for other names than its members'.
    """
    files: dict[Path, int] = {}
    pending: list[tuple[Step, list[tuple[bool, int]]]] = []

    def visit(one: Group, name: str) -> int:
        inputs: list[tuple[bool, int]] = []
        for member, what in one.members.items():
            if isinstance(what, Group):
                inputs.append((True, visit(what, f"{name}.{member}" if name else member)))
            else:
                inputs.append((False, files.setdefault(folder / what, len(files))))
        pending.append((_step(one, name or "vote", folder, classes), inputs))
        return len(pending) - 1

    visit(group, "")
    steps = [
        Step(step.name, tuple(len(files) * later + index for later, index in inputs), *_rest(step))
        for step, inputs in pending
    ]
    return Program(tuple(files), tuple(steps))


def _rest(step: Step) -> tuple[tuple[int, ...], int, Rule, Mapping[str, int] | None]:
    return step.weights, step.need, step.rule, step.best


def _step(group: Group, name: str, folder: Path, classes: bool) -> Step:
    """Make a step whose inputs are filled in later."""
    rule = group.rule or ("class" if classes else "vote")
    if (rule == "class") != classes:
        holds = "classes, which are voted on by rule: class" if classes else "masks, which have no rule: class"
        raise InputError(f"the format holds {holds}", where=name, fix="mend rule, or the format")
    if rule == "best":
        return Step(name, (), (), 1, rule, _best(group, name, folder))
    weights = whole(list(_weights(group, name, folder).values()))
    if rule == "class":
        if group.at_least is not None or group.threshold is not None:
            raise InputError("a vote on classes has no at_least and no threshold", where=name, fix="leave them out")
        return Step(name, (), tuple(weights), 0, rule)
    return Step(name, (), tuple(weights), needed(group, name, weights), rule)


def needed(group: Group, name: str, weights: Sequence[int]) -> int:
    """Return the sum of whole weights that is enough."""
    weighted = group.weights is not None or group.scores is not None
    if (group.at_least is None) == (group.threshold is None):
        said = "neither at_least nor threshold is" if group.at_least is None else "both at_least and threshold are"
        raise InputError(f"{said} given", where=name, fix="say how many members, or what share of weights, is enough")
    if group.threshold is not None:
        return enough(group.threshold, sum(weights))
    if weighted:
        raise InputError("at_least counts members, but weights are given", where=name, fix="give threshold instead")
    count = len(weights)
    least = count if group.at_least == "all" else int(group.at_least or 0)
    if least > count:
        raise InputError(
            f"at least {least} of {count} members can never agree", where=name, fix=f"write at most {count}, or all"
        )
    return least


def _weights(group: Group, name: str, folder: Path) -> dict[str, Fraction]:
    if group.weights is not None and group.scores is not None:
        raise InputError("both weights and scores are given", where=name, fix="keep one of them")
    given = group.weights if group.weights is not None else group.scores
    return exact_weights(given, group.members, name, folder, logs=group.scores is not None)


def exact_weights(
    given: Mapping[str, float] | str | None,
    members: Mapping[str, object],
    name: str,
    folder: Path,
    logs: bool = False,
) -> dict[str, Fraction]:
    """Return the weight of each member, in their order.

    Args:
        given: member -> weight, a CSV file of member,weight or member,score, or None: all alike.
        members: whose names must all be there, and no others.
        name: of the group, for messages.
        folder: what a file's name is relative to.
        logs: whether what is given are scores.

    Raises:
        InputError: other names, no numbers, or nothing but 0.
    """
    if given is None:
        return {member: Fraction(1) for member in members}
    where = name
    if isinstance(given, str):
        where = str(folder / given)
        column, given = read_pairs(folder / given)
        logs = column == "score"
    _same_names(given, members, where)
    ordered = {member: given[member] for member in members}
    for member, value in ordered.items():
        if not math.isfinite(value) or (value < 0 and not logs):
            raise InputError(f"{value:g} of '{member}' is no weight", where=where, fix="write a number from 0")
    found = log_weights(ordered) if logs else {member: Fraction(str(value)) for member, value in ordered.items()}
    if not sum(found.values()):
        raise InputError("all weights are 0", where=where, fix="give some member a weight")
    return found


def _same_names(given: Mapping[str, object], members: Mapping[str, object], where: str) -> None:
    """Refuse weights that are bound to other names than the members'."""
    absent = [member for member in members if member not in given]
    strange = [member for member in given if member not in members]
    faults = []
    if absent:
        faults.append(f"nothing is given for {_listed(absent)}")
    if strange:
        faults.append(f"{_listed(strange)}{near(strange[0], members)} {'is' if len(strange) == 1 else 'are'} no member")
    if faults:
        raise InputError(
            ", and ".join(faults),
            where=where,
            fix="name every member once: by its name in the plan, or its file's without .csv",
        )


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def read_pairs(path: Path) -> tuple[Literal["score", "weight"], dict[str, float]]:
    """Read a CSV file of member,score or member,weight; a member's name may end in .csv.

    Raises:
        InputError: other columns, a member twice, or no number.
    """
    column: Literal["score", "weight"]
    header, rows = _csv(path)
    if header == ["member", "score"]:
        column = "score"
    elif header == ["member", "weight"]:
        column = "weight"
    else:
        raise InputError(
            f"the header is {','.join(header)[:80]!r}", where=f"{path}:1", fix="write member,score or member,weight"
        )
    found: dict[str, float] = {}
    for line, (name, value) in rows:
        member = name.removesuffix(".csv")
        if member in found:
            raise InputError(f"'{member}' stands in two rows", where=f"{path}:{line}", fix="keep one")
        found[member] = _float(value, f"{path}:{line}")
    return column, found


def _best(group: Group, name: str, folder: Path) -> dict[str, int]:
    """Return class -> number of the member with the best score for it, the first of equals."""
    if not isinstance(group.scores, str) or group.weights is not None or {group.at_least, group.threshold} != {None}:
        raise InputError(
            "rule: best asks for scores, a CSV file with columns member,class,score, and nothing else",
            where=name,
            fix="give it, and leave weights, at_least and threshold out",
        )
    path, members = folder / group.scores, list(group.members)
    header, rows = _csv(path)
    if header != ["member", "class", "score"]:
        raise InputError(f"the header is {','.join(header)[:80]!r}", where=f"{path}:1", fix="write member,class,score")
    table: dict[str, dict[str, float]] = {}
    for line, (member, kind, value) in rows:
        scores = table.setdefault(kind, {})
        if member.removesuffix(".csv") in scores:
            what = f"'{member}' and class '{kind}' stand in two rows"
            raise InputError(what, where=f"{path}:{line}", fix="keep one")
        scores[member.removesuffix(".csv")] = _float(value, f"{path}:{line}")
    best: dict[str, int] = {}
    for kind, scores in table.items():
        _same_names(scores, group.members, f"{path} (class '{kind}')")
        best[kind] = max(range(len(members)), key=lambda place: (scores[members[place]], -place))
    return best


def _csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header of a small CSV file, and line and cells of each row."""
    import csv

    from maskwright.core.errors import from_os_error

    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, skipinitialspace=True)
            header = [cell.strip() for cell in next(reader, [])]
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except OSError as error:
        raise from_os_error(error, path) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise InputError(f"not readable as CSV ({error})", where=path, fix="write it as UTF-8 CSV") from None
    for line, row in rows:
        if len(row) != len(header):
            raise InputError(
                f"{len(row)} cells below a header of {len(header)}", where=f"{path}:{line}", fix="mend the row"
            )
    return header, rows


def _float(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{text[:40]!r} is no number", where=where, fix="write a number")
    return value
