"""Folds from the user's own file, and every fault of it at once."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from maskwright.core.errors import DataError, InputError, from_os_error, near
from maskwright.core.files import inside
from maskwright.core.recipe.folds import Folds
from maskwright.data.folds.parts import TRAIN_ONLY, FoldRow
from maskwright.data.sources.base import Limited, Source

Told = dict[str, int]
"""Key -> fold, as the file says."""
EVERY = "give every key once; a key is the image's path below its folder without the suffix"
SHOWN = 20
"""Faulty lines that are named one by one."""


def given_rows(named: Mapping[str, str], folds: Folds, root: Path, source: Source | None) -> tuple[FoldRow, ...]:
    """Read folds.file.

    Args:
        named: key of every item -> its group.
        folds: kind: given.
        root: data.root, which the file is below.
        source: says which items are never scored.

    Raises:
        DataError: with every fault of the file: odd folds, keys twice, absent or of no item, folds without an
            item, groups that are torn apart.
    """
    told, faults = _told(folds, root)
    known = source.whole.keys if isinstance(source, Limited) else tuple(named)
    faults += _strangers(told, tuple(named), known, _path(folds, root))
    home = {key: told[key] for key in named if key in told}
    home.update((key, TRAIN_ONLY) for key in named if source is not None and not source.scored(key))
    if not faults:
        faults += _empty(home, folds, _path(folds, root)) + _torn(home, named, _path(folds, root))
    if faults:
        raise DataError(faults)
    return tuple(FoldRow(key, name, home[key]) for key, name in named.items())


def given_faults(keys: Sequence[str], folds: Folds, root: Path, excused: Collection[str]) -> list[InputError]:
    """Return what is wrong with folds.file before it is known which items are whole.

    Args:
        keys: of all items that join.
        folds: kind: given.
        root: data.root.
        excused: keys that the file may name although they are no items, since they have faults of their own.
    """
    try:
        told, faults = _told(folds, root)
    except InputError as error:
        return [error]
    return faults + _strangers(told, keys, [*keys, *excused], _path(folds, root))


def _path(folds: Folds, root: Path) -> Path:
    assert folds.file is not None, folds
    return inside(root, folds.file, "folds.file")


def _told(folds: Folds, root: Path) -> tuple[Told, list[InputError]]:
    """Read the file; rows with a fault are passed over.

    Raises:
        InputError: it is absent, no CSV, or without its two columns.
    """
    path, told, faults = _path(folds, root), Told(), list[InputError]()
    for line, key, text in _rows(path):
        fold = _number(text)
        if fold is None or not TRAIN_ONLY <= fold < folds.count:
            last = folds.count - 1
            fix = f"give 0 to {last} (folds.count is {folds.count}), -1 for hold-out or -2 for training alone"
            faults.append(InputError(f"'{text}' is no fold", where=f"{path}:{line}", fix=fix))
        elif key in told:
            faults.append(InputError(f"key '{key}' occurs twice", where=f"{path}:{line}", fix="give every key once"))
        told.setdefault(key, 0 if fold is None else fold)
    return told, _few(faults, path)


def _rows(path: Path) -> list[tuple[int, str, str]]:
    """Return line, key and fold of each row."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            reader = csv.DictReader(handle)
            rows = [(reader.line_num, row.get("key"), row.get("fold")) for row in reader]
            header = set(reader.fieldnames or ())
    except OSError as error:
        raise from_os_error(error, path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"not readable as CSV ({error})", where=path, fix="write UTF-8 with columns key,fold"
        ) from None
    whole = [(line, key, fold) for line, key, fold in rows if key is not None and fold is not None]
    if len(whole) < len(rows) or (not rows and not {"key", "fold"} <= header):
        raise InputError("has no columns key and fold", where=path, fix="begin it with the line key,fold")
    return whole


def _number(text: str) -> int | None:
    plain = text.strip()
    digits = plain.removeprefix("-")
    return int(plain) if digits.isascii() and digits.isdigit() and len(digits) < 9 else None


def _few(faults: list[InputError], path: Path) -> list[InputError]:
    """Keep the first faults, and say how many there are."""
    if len(faults) <= SHOWN:
        return faults
    rest = InputError(f"{len(faults) - SHOWN} more lines with faults", where=path, fix="mend the file")
    return [*faults[:SHOWN], rest]


def _strangers(told: Told, keys: Sequence[str], known: Collection[str], path: Path) -> list[InputError]:
    """Name items that the file says nothing of, and keys of no item."""
    faults, items = [], set(known)
    missing, foreign = [key for key in keys if key not in told], sorted(key for key in told if key not in items)
    if missing:
        more = f" (and {len(missing) - 1} more)" if missing[1:] else ""
        what = f"says nothing of item '{missing[0]}'{more}{near(missing[0], told)}"
        faults.append(InputError(what, where=path, fix=EVERY))
    if foreign:
        more = f" (and {len(foreign) - 1} more)" if foreign[1:] else ""
        faults.append(InputError(f"names '{foreign[0]}'{more}, which is no item", where=path, fix="take it out"))
    return faults


def _empty(home: Told, folds: Folds, path: Path) -> list[InputError]:
    empty = sorted(set(range(folds.count)) - set(home.values()))
    if not empty:
        return []
    what = f"no item is in fold {empty[0]} of folds 0 to {folds.count - 1}"
    return [InputError(what, where=path, fix="mend it, or folds.count")]


def _torn(home: Told, named: Mapping[str, str], path: Path) -> list[InputError]:
    """Name each group that is in several folds; items that only train may be anywhere."""
    first: dict[str, str] = {}
    torn: dict[str, InputError] = {}
    for key, name in named.items():
        other = first.setdefault(name, key) if home[key] != TRAIN_ONLY else key
        if home[other] != home[key] and name not in torn:
            what = f"group '{name}' is torn apart: '{other}' is in fold {home[other]}, '{key}' in fold {home[key]}"
            fix = "put each group into one fold, or leave folds.group out"
            torn[name] = InputError(what, where=path, fix=fix)
    return _few(list(torn.values()), path)
