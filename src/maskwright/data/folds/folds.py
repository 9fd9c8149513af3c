"""Split items into folds of any kind, so that what is alike never straddles two of them.

scikit-learn's StratifiedGroupKFold was tried beside this (docs/log.md 2026-11-21): it sets no hold-out
aside, its folds differ three to four times more in mean foreground, and its choice may change by release.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import write_text
from maskwright.core.labels import Task
from maskwright.core.recipe.folds import Folds, Spatial
from maskwright.data.audit.fingerprint import Fingerprint, ItemRecord
from maskwright.data.folds.deal import Parts, deal_by_classes, deal_by_share, lot
from maskwright.data.folds.given import given_faults, given_rows
from maskwright.data.folds.ground import near_ground, on_one_ground, placed_groups
from maskwright.data.folds.groups import Alike, alike, beside, in_words, merge, named_groups, parted
from maskwright.data.folds.parts import HOLDOUT, TRAIN_ONLY, FoldRow
from maskwright.data.sources.base import Source
from maskwright.data.sources.mined import mined_keys

__all__ = [
    "HOLDOUT", "TRAIN_ONLY", "FoldRow", "assign", "given_faults", "proving_rows", "read_folds", "train_keys",
    "write_folds",
]  # fmt: skip

COLUMNS = ("key", "group", "fold")
LENIENT = "set folds.duplicates: drop (they are left out of training) or ignore"
PIECES = 5
"""Parts of one validation set that a decision is proven on in turn."""


def assign(
    fingerprint: Fingerprint,
    folds: Folds,
    task: Task | None = None,
    source: Source | None = None,
    root: Path = Path(),
) -> tuple[FoldRow, ...]:
    """Deal every item to a fold, to the hold-out, or to training alone.

    Images that show the same thing share a group unless `folds.duplicates` says otherwise. All kinds but
    plain and given also get like shares of items with little and much foreground.

    Args:
        fingerprint: gives keys, class pixels and pairs that show the same.
        folds: all that is to be known of the split.
        task: for `by: auto`; None: not multilabel.
        source: gives columns, fields, and which items are not to be scored.
        root: data.root, which folds.file is below.

    Returns:
        one row for each item, in the order of keys; the same for the same arguments on any machine.

    Raises:
        InputError: fewer items or groups than folds, an item without a group, a pair that may not part.
    """
    keys = [record.key for record in fingerprint.items]
    mined = frozenset() if source is None else mined_keys(source) & set(keys)  # they are of no group, and only train
    held_by_place = folds.spatial if folds.spatial is not None or folds.kind != "spatial" else Spatial()
    if held_by_place is not None and folds.kind != "given":
        named = placed_groups(fingerprint, held_by_place, folds.count, source)
    else:
        named = named_groups([key for key in keys if key not in mined], folds.group, source)
        named |= {key: key for key in mined}
    pairs = alike(fingerprint)
    if folds.kind == "given":
        labelled = {key: name for key, name in named.items() if key not in mined}
        rows = (*given_rows(labelled, folds, root, source), *(FoldRow(key, key, TRAIN_ONLY) for key in mined))
        rows = tuple(sorted(rows, key=lambda row: row.key))
    else:
        scored = {key: name for key, name in named.items() if source is None or source.scored(key)}
        groups = merge(scored, pairs if folds.duplicates == "together" else ())
        parts = _parts(folds)
        _refuse_too_few(groups, len(set(scored.values())), parts, folds)
        home = _deal(groups, parts, fingerprint, folds, task)
        place = {key: FoldRow(key, name, home[name]) for name, members in groups.items() for key in members}
        joined = {named[key]: row.group for key, row in place.items()}
        rows = tuple(place.get(key, FoldRow(key, joined.get(named[key], named[key]), TRAIN_ONLY)) for key in keys)
    _refuse_parted(rows, (*pairs, *on_one_ground(fingerprint)), folds)
    idle = [fold for fold in range(folds.count) if not train_keys(rows, fold, fingerprint, folds)]
    if idle:
        raise InputError(
            f"fold {idle[0]} has nothing to train on: all other items show what it is scored on, or are held out",
            where="folds",
            fix="choose folds.duplicates: together, or make the fold smaller",
        )
    return rows


def _parts(folds: Folds) -> Parts:
    """Return which parts there are and what share each should get."""
    kept = 1 - folds.holdout
    last = {HOLDOUT: folds.holdout} if folds.holdout else {}
    if folds.kind == "all":
        return {TRAIN_ONLY: kept, **last}
    if folds.kind == "holdout":
        return {0: folds.share, TRAIN_ONLY: kept - folds.share, **last}
    return {**dict.fromkeys(range(folds.count), kept / folds.count), **last}


def _refuse_too_few(groups: Mapping[str, Sequence[str]], before: int, parts: Parts, folds: Folds) -> None:
    if len(groups) >= len(parts):
        return
    items = sum(len(keys) for keys in groups.values())
    asked = f"{folds.count} folds" if folds.count > 1 else f"folds.kind: {folds.kind}"
    asked += " and a hold-out" if folds.holdout else ""
    if before >= len(parts):
        largest = max(len(keys) for keys in groups.values())
        raise InputError(
            f"images that show the same thing leave {len(groups)} groups of items for {asked}; "
            f"the largest holds {largest} of {items} items",
            where="folds.count",
            fix="lower folds.count, or set folds.duplicates: drop",
        )
    what, fix = "items", "add items, or lower folds.count"
    if before != items:
        what, fix = "groups of items", "lower folds.count, or make smaller groups"
    if folds.count == 1:
        fix = "add items"
    raise InputError(f"{len(groups)} {what} for {asked}", where="folds.count", fix=fix)


def _deal(
    groups: Mapping[str, Sequence[str]], parts: Parts, fingerprint: Fingerprint, folds: Folds, task: Task | None
) -> dict[str, int]:
    records = {record.key: record for record in fingerprint.items}
    mine = [records[key] for keys in groups.values() for key in keys]
    multilabel = task is not None and task.kind == "multilabel"
    by = ("classes" if multilabel else "rarest") if folds.by == "auto" else folds.by
    if by == "classes" and folds.kind != "plain":
        present = {record.key: [kind for kind, count in enumerate(record.pixels) if count] for record in mine}
        return deal_by_classes(groups, present, parts, folds.seed)
    share = dict.fromkeys((record.key for record in mine), 0.0)
    if folds.kind != "plain" and by == "rarest":
        rarest = _rarest(fingerprint)
        share = {record.key: record.pixels[rarest] / max(record.valid, 1) if rarest >= 0 else 0.0 for record in mine}
    elif folds.kind != "plain":
        share = {record.key: _coverage(record, multilabel) for record in mine}
    return deal_by_share(groups, share, parts, folds.seed)


def _rarest(fingerprint: Fingerprint) -> int:
    """Return the class (or plane) with the fewest pixels among those that occur; -1 if unlabelled."""
    pixels = fingerprint.class_pixels
    present = [kind for kind, count in enumerate(pixels) if count]
    return min(present, key=lambda kind: pixels[kind], default=-1)


def _coverage(record: ItemRecord, multilabel: bool) -> float:
    """Return the share of pixels that are not of the first class; of planes, that of the largest."""
    some = max(record.pixels, default=0) if multilabel else sum(record.pixels[1:])
    return some / max(record.valid, 1)


def _refuse_parted(rows: Sequence[FoldRow], pairs: Sequence[Alike], folds: Folds) -> None:
    """Refuse pairs that show the same thing on both sides of a split, where the recipe does not allow it."""
    if folds.duplicates in ("drop", "ignore") or (folds.duplicates == "together" and folds.kind != "given"):
        return
    home = {row.key: row.fold for row in rows if row.fold != TRAIN_ONLY or folds.duplicates == "refuse"}
    apart = parted(pairs, home)
    if not apart:
        return
    raise InputError(
        f"{len(apart)} {'pairs' if apart[1:] else 'pair'} of images that show the same split apart: {in_words(apart)}",
        where=str(folds.file) if folds.kind == "given" else "folds.duplicates",
        fix=f"put each pair into one fold, or {LENIENT}" if folds.kind == "given" else "group them, or choose together",
    )


def train_keys(rows: Sequence[FoldRow], fold: int, fingerprint: Fingerprint, folds: Folds) -> tuple[str, ...]:
    """Return what a fold's models are trained on.

    Left out is what shows the same as an item that the fold is scored on, or as one of the hold-out, or lies on
    the same ground, and what is of its group: items that only train, and under `duplicates: drop` any item.

    Args:
        rows: by assign.
        fold: 0 .. count - 1.
        fingerprint: gives the pairs.
        folds: kind and duplicates.
    """
    held = {row.key for row in rows if row.fold in (fold, HOLDOUT)}
    groups = {row.group for row in rows if row.key in held}
    leaks = held
    if folds.duplicates != "ignore":
        buffer = folds.spatial.buffer if folds.spatial is not None else 0.0
        leaks = held | beside(held, alike(fingerprint)) | near_ground(held, fingerprint, buffer)
    return tuple(row.key for row in rows if row.key not in leaks and row.group not in groups)


def proving_rows(rows: Sequence[FoldRow], folds: Folds) -> tuple[FoldRow, ...]:
    """Return rows in which a single validation set is cut into parts by group, that a decision can be proven on.

    One model answered all of them and saw none, so what is chosen on some parts is honest on the others.
    With several folds the rows come back as they are.
    """
    if folds.count > 1:
        return tuple(rows)
    groups = sorted({row.group for row in rows if row.fold == 0}, key=lambda name: lot(folds.seed, name))
    piece = {name: place % PIECES for place, name in enumerate(groups)}
    return tuple(row._replace(fold=piece[row.group]) if row.fold == 0 else row for row in rows)


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
