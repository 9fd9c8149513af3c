"""What belongs together: groups by key, table, JSON or folder, and images that show the same thing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

from maskwright.core.errors import InputError, near
from maskwright.core.recipe.folds import GroupBy
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.sources.base import Source

SHOWN = 4
"""Pairs named in one message."""
MOST_CLIQUE = 64
"""Equal images up to which all pairs are listed; of more, each is paired with the first."""


class Alike(NamedTuple):
    """Two items that show the same thing."""

    a: str
    b: str
    how: str
    """equal, or as in similar.py."""


def alike(fingerprint: Fingerprint) -> tuple[Alike, ...]:
    """Return all pairs of items that show the same thing, equal ones first."""
    found: list[Alike] = []
    for keys in fingerprint.duplicates:
        whole = len(keys) <= MOST_CLIQUE
        found += [
            Alike(a, b, "equal") for a, b in (combinations(keys, 2) if whole else ((keys[0], k) for k in keys[1:]))
        ]
    return (*found, *(Alike(a, b, how) for a, b, how, _ in fingerprint.similar))


def named_groups(keys: Sequence[str], group: str | GroupBy | None, source: Source | None) -> dict[str, str]:
    """Return key -> name of the group the recipe puts it into; without one each item is its own.

    Args:
        keys: of all items.
        group: folds.group.
        source: gives columns and fields.

    Raises:
        InputError: an item has no group.
    """
    by = GroupBy(key=group) if isinstance(group, str) else group
    where = "folds.group" if isinstance(group, str) else "folds.group.key"
    if by is None:
        return {key: key for key in keys}
    if by.key is not None:
        return dict(zip(keys, _matched(keys, by.key, where), strict=True))
    if by.folder is not None:
        return {key: _folder(key, by.folder) for key in keys}
    name = by.column if by.column is not None else by.field
    assert name is not None, by
    return {key: _attribute(source, key, name, "column" if by.column is not None else "field") for key in keys}


def _matched(keys: Sequence[str], expression: str, where: str) -> list[str]:
    names = []
    for key in keys:
        match = re.search(expression, key)
        if match is None or match.group(1) is None:
            raise InputError(f"'{expression}' does not match key '{key}'", where=where, fix="mend the expression")
        names.append(match.group(1))
    return names


def _folder(key: str, number: int) -> str:
    folders = key.split("/")[:-1]
    if not -len(folders) <= number < len(folders):
        raise InputError(
            f"key '{key}' lies in {len(folders)} folders, so none has number {number}",
            where="folds.group.folder",
            fix="count from 0, the outermost, or from -1, the innermost",
        )
    place = number % len(folders)
    return "/".join(folders[: place + 1])


def _attribute(source: Source | None, key: str, name: str, kind: str) -> str:
    known = {} if source is None else source.attributes(key)
    if not known.get(name):
        has = f"; it has: {', '.join(sorted(known))}" if known else f"; the source gives no {kind}s"
        what = f"item '{key}' has no {kind} '{name}'{near(name, known)}"
        empty = name in known
        raise InputError(
            f"the {kind} '{name}' of item '{key}' is empty" if empty else what + has,
            where=f"folds.group.{kind}",
            fix="fill it" if empty else f"name a {kind} that every item has",
        )
    return known[name]


def merge(named: Mapping[str, str], pairs: Iterable[Alike]) -> dict[str, list[str]]:
    """Return name -> keys, groups that a pair joins made one, under the name that comes first.

    Args:
        named: key -> name of its group.
        pairs: of those keys; others are passed over.
    """
    parent = {name: name for name in named.values()}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for pair in pairs:
        if pair.a in named and pair.b in named:
            first, second = sorted((root(named[pair.a]), root(named[pair.b])))
            parent[second] = first
    groups: dict[str, list[str]] = defaultdict(list)
    for key, name in named.items():
        groups[root(name)].append(key)
    return dict(groups)


def parted(pairs: Iterable[Alike], home: Mapping[str, object]) -> list[Alike]:
    """Return the pairs whose items have different homes; items without one do not count."""
    return [pair for pair in pairs if pair.a in home and pair.b in home and home[pair.a] != home[pair.b]]


def in_words(pairs: Sequence[Alike]) -> str:
    """Name pairs, the first few of them."""
    shown = ", ".join(f"'{pair.a}' ~ '{pair.b}' ({pair.how})" for pair in pairs[:SHOWN])
    return shown + (f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else "")


def beside(keys: Collection[str], pairs: Iterable[Alike]) -> set[str]:
    """Return the items that a pair joins to one of `keys`."""
    found = set()
    for pair in pairs:
        if pair.a in keys:
            found.add(pair.b)
        if pair.b in keys:
            found.add(pair.a)
    return found
