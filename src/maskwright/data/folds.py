"""Split items into folds, plain, stratified or grouped, so that what is alike never straddles two of them.

scikit-learn's StratifiedGroupKFold was tried beside this (docs/log.md 2026-11-21): it sets no hold-out
aside, its folds differ three to four times more in mean foreground, and its choice may change by release.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import write_text
from maskwright.core.recipe.blocks import Folds
from maskwright.data.fingerprint import Fingerprint, ItemRecord

HOLDOUT = -1
"""Fold of items that are kept out of all folds."""
MOST_STRATA = 8
COLUMNS = ("key", "group", "fold")


class FoldRow(NamedTuple):
    """Where one item went."""

    key: str
    group: str
    """Items of one group are in one fold; the item's own key if it is alone."""
    fold: int
    """0 .. count - 1, or HOLDOUT."""


def assign(fingerprint: Fingerprint, folds: Folds) -> tuple[FoldRow, ...]:
    """Deal every item to a fold or to the hold-out.

    Equal images share a group whatever the kind. Stratified and grouped folds also get like shares of
    items with little and much foreground (of the rarest class, where there are several).

    Args:
        fingerprint: gives keys, class pixels and duplicates.
        folds: kind, count, seed, group, holdout.

    Returns:
        one row for each item, in the order of keys; the same for the same arguments on any machine.

    Raises:
        InputError: fewer items or groups than folds, or a key that `folds.group` does not match.
    """
    groups = _groups(fingerprint, folds)
    parts = folds.count + (folds.holdout > 0)
    if len(groups) < parts:
        what = "items" if len(groups) == len(fingerprint.items) else "groups of items"
        extra = " and a hold-out" if folds.holdout else ""
        raise InputError(
            f"{len(groups)} {what} for {folds.count} folds{extra}",
            where="folds.count",
            fix="add items, or lower folds.count" if what == "items" else "lower folds.count, or make smaller groups",
        )
    rarest = -1 if folds.kind == "plain" else _rarest(fingerprint)
    share = {record.key: _share(record, rarest) for record in fingerprint.items}
    home = _deal(groups, share, folds)
    group_of = {key: name for name, keys in groups.items() for key in keys}
    return tuple(FoldRow(record.key, group_of[record.key], home[group_of[record.key]]) for record in fingerprint.items)


def _groups(fingerprint: Fingerprint, folds: Folds) -> dict[str, list[str]]:
    """Return the keys of each group: by the expression, and equal images together."""
    keys = [record.key for record in fingerprint.items]
    first = dict(zip(keys, keys if folds.group is None else _matched(keys, folds.group), strict=True))
    parent = {name: name for name in first.values()}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for twins in fingerprint.duplicates:
        names = sorted({root(first[key]) for key in twins})
        for name in names[1:]:
            parent[name] = names[0]
    groups: dict[str, list[str]] = defaultdict(list)
    for key in keys:
        groups[root(first[key])].append(key)
    return dict(groups)


def _matched(keys: Sequence[str], expression: str) -> list[str]:
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise InputError(
            f"'{expression}' is no regular expression ({error})", where="folds.group", fix="mend it"
        ) from None
    if pattern.groups < 1:
        raise InputError(
            f"'{expression}' has no parenthesis", where="folds.group", fix="put the group's part in parentheses"
        )
    names = []
    for key in keys:
        match = pattern.search(key)
        if match is None or match.group(1) is None:
            raise InputError(
                f"'{expression}' does not match key '{key}'", where="folds.group", fix="mend the expression"
            )
        names.append(match.group(1))
    return names


def _strata(share: Mapping[str, float], parts: int) -> dict[str, int]:
    """Number keys by their share of foreground: 0 for none, then bins that hold as many keys each."""
    some = np.sort([value for value in share.values() if value > 0])
    count = int(np.clip(len(some) // (2 * parts), 1, MOST_STRATA))
    edges = [some[len(some) * number // count] for number in range(1, count)]
    return {key: int(value > 0) + int(np.searchsorted(edges, value, side="right")) for key, value in share.items()}


def _rarest(fingerprint: Fingerprint) -> int:
    """Return the class (or plane) with the fewest pixels among those that occur; -1 if unlabelled."""
    pixels = fingerprint.class_pixels
    present = [kind for kind, count in enumerate(pixels) if count]
    return min(present, key=lambda kind: pixels[kind], default=-1)


def _share(record: ItemRecord, kind: int) -> float:
    return record.pixels[kind] / max(record.valid, 1) if kind >= 0 else 0.0


def _deal(groups: Mapping[str, Sequence[str]], share: Mapping[str, float], folds: Folds) -> dict[str, int]:
    """Give each group, large ones first, to the part where it lessens the imbalance most; foreground decides ties.

    The imbalance is the sum of squared lacks of each stratum, and of items as a whole, relative to
    what each part should have.

    Args:
        groups: name -> keys.
        share: key -> share of foreground, 0..1.
        folds: count, seed, holdout.

    Returns:
        name -> fold, or HOLDOUT.
    """
    parts = [*range(folds.count), HOLDOUT] if folds.holdout else list(range(folds.count))
    wanted = np.array([folds.holdout if part == HOLDOUT else (1 - folds.holdout) / folds.count for part in parts])
    stratum = _strata(share, len(parts))
    sizes = np.bincount(list(stratum.values())).astype(float)
    lack = wanted[:, None] * sizes[None, :]
    foreground = wanted * sum(share.values())
    top = {name: max(stratum[key] for key in keys) for name, keys in groups.items()}
    much = {name: sum(share[key] for key in keys) * _lot(folds.seed, name) for name, keys in groups.items()}
    names = sorted(groups, key=lambda name: (-len(groups[name]), -top[name], -much[name], _lot(folds.seed, name)))
    home: dict[str, int] = {}
    filled = [False] * len(parts)
    for place, name in enumerate(names):
        mine = np.bincount([stratum[key] for key in groups[name]], minlength=len(sizes)).astype(float)
        many = mine.sum()
        gain = ((2 * lack * mine - mine**2) / np.maximum(sizes, 1)).sum(axis=1)
        gain = (gain + (2 * lack.sum(axis=1) * many - many**2) / len(share)) / wanted
        empty = [part for part in range(len(parts)) if not filled[part]]
        open_to = empty if len(empty) >= len(names) - place else range(len(parts))  # no part stays empty
        best = max(open_to, key=lambda part: (round(gain[part], 9), foreground[part] / wanted[part]))
        lack[best] -= mine
        filled[best] = True
        foreground[best] -= sum(share[key] for key in groups[name])
        home[name] = parts[best]
    return home


def _lot(seed: int, name: str) -> float:
    """Draw a number of 1..2 for a name by hash: the same on any machine and with any release of numpy.

    It shuffles the order of dealing, and still lets large shares of foreground come before small ones.
    """
    return 1 + int.from_bytes(blake2b(f"{seed},{name}".encode(), digest_size=6).digest(), "little") / 2**48


def write_folds(path: Path, rows: Sequence[FoldRow]) -> None:
    """Write folds.csv atomically: key, group, fold, in the order of keys."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows)
    write_text(path, stream.getvalue())


def read_folds(path: Path) -> tuple[FoldRow, ...]:
    """Read what write_folds wrote.

    Raises:
        InputError: absent, of another form, or a key twice.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            cells = list(csv.reader(handle))
        header = cells[0] if cells else []
        rows = [FoldRow(key, group, int(fold)) for key, group, fold in cells[1:]]
    except OSError as error:
        raise from_os_error(error, path) from error
    except (ValueError, csv.Error) as error:
        raise InputError(f"not readable ({error})", where=path, fix="run split again") from None
    if tuple(header) != COLUMNS:
        raise InputError(f"the header is not {','.join(COLUMNS)}", where=path, fix="run split again")
    twice = [key for key, times in Counter(row.key for row in rows).items() if times > 1]
    if twice:
        raise InputError(f"key '{twice[0]}' occurs twice", where=path, fix="run split again")
    return tuple(rows)
