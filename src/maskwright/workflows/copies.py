"""Images of a pool that show what a labelled item shows that is scored: which folds may not learn from them.

The rule is that of items that only train (data/folds): left out is what shows the same as an item that the fold is
scored on, or as one of the hold-out, or lies on the same ground; under `duplicates: refuse` nothing is begun, under
`ignore` nothing is sought.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from maskwright.core.errors import DataError, InputError
from maskwright.core.files import read_json, write_json
from maskwright.core.progress import Tick
from maskwright.core.recipe.load import digest
from maskwright.data.audit import digests
from maskwright.data.audit.clues import WORDS
from maskwright.data.audit.small import reduce
from maskwright.data.folds.parts import HOLDOUT, TRAIN_ONLY
from maskwright.data.ground import Near, plots
from maskwright.data.leaks import similar
from maskwright.data.pixels.header import Pixels, Valid
from maskwright.data.preprocess import preprocess_for
from maskwright.data.sources.base import Source
from maskwright.workflows.session import Session

VERSION = 1
ENOUGH = 20
"""Faults after which the rest of a pool is not read: it is another folder than was meant."""
IN_WORDS = {"equal": "pixel for pixel", "ground": "the same ground", **WORDS}


class Copy(NamedTuple):
    """An image of a pool, and a labelled item that is scored and shows the same."""

    key: str
    item: str
    how: str
    """equal, ground, or as in data/leaks/similar.py."""


class Glance(NamedTuple):
    """What is kept of an image to find others like it."""

    pixels: str
    """Digest of the decoded pixels."""
    marks: similar.Description | None
    """None: of one colour."""


def glance(image: Pixels, seen: Valid) -> Glance:
    """Reduce an image to what copies are found by.

    Args:
        image: (H, W, B).
        seen: bool (H, W).
    """
    plain = bool((image == image[:1, :1]).all())
    return Glance(digests.of_arrays(image), None if plain else similar.describe(reduce(image, None, seen)))


def find_copies(
    session: Session, source: Source, keys: tuple[str, ...], path: Path, known: Mapping[str, Glance] | None = None
) -> tuple[Copy, ...]:
    """Find the images of a pool that show what a scored item shows; what was found is kept for the next time.

    Args:
        session: whose items are inspected and split.
        source: the pool.
        keys: its images.
        path: JSON file that is written.
        known: glances at some of them, so that they are not decoded again.

    Raises:
        InputError: there are some, and folds.duplicates is refuse; or an image cannot be read.
        Interrupted: a stop was asked for.
    """
    folds = session.recipe.folds
    if folds.duplicates == "ignore":
        return ()
    scored = tuple(sorted(row.key for row in session.fold_rows() if row.fold != TRAIN_ONLY))
    buffer = folds.spatial.buffer if folds.spatial is not None else 0.0
    made_from = digest([session.files.of(source), keys, session.train_files, scored, buffer])
    found = _read(path, made_from)
    if found is None:
        pictured = _search(session, (source, keys), (session.train_source, scored), known or {})
        found = tuple(sorted({*pictured, *_on_ground(session, source, keys, scored, buffer)}))
        _write(path, made_from, found)
    if found and folds.duplicates == "refuse":
        raise InputError(
            f"{_count(found)} of the pool {_show(found)} what labelled items show that are scored: {in_words(found)}",
            where="folds.duplicates",
            fix="take them out of the pool, or choose together",
        )
    return found


def refuse_test_copies(
    session: Session,
    source: Source,
    keys: tuple[str, ...],
    place: tuple[Path, str],
    known: Mapping[str, Glance] | None = None,
) -> None:
    """Refuse images of a pool that show what a test item shows, where the recipe's rules forbid to learn from those.

    Args:
        session: its recipe says so; nothing is looked for otherwise.
        source: the pool.
        keys: its images.
        place: JSON file that is written, and what the pool is called in messages.
        known: glances at some of them.

    Raises:
        InputError: there are some, or an image cannot be read.
    """
    test, (path, where) = session.test_source, place
    if test is None or session.recipe.rules.test_labels != "forbidden":
        return
    made_from = digest([session.files.of(source), keys, session.test_files, test.keys])
    found = _read(path, made_from)
    if found is None:
        found = tuple(sorted(_search(session, (source, keys), (test, test.keys), known or {})))
        _write(path, made_from, found)
    if found:
        raise InputError(
            f"{_count(found)} {_show(found)} what test items show, which rules.test_labels forbids: {in_words(found)}",
            where=where,
            fix="take them away, or set rules.test_labels: allowed",
        )


def _read(path: Path, made_from: str) -> tuple[Copy, ...] | None:
    """Return what was found before; None: of something else, or never."""
    plain = read_json(path) if path.exists() else {}
    if (plain.get("version"), plain.get("made_from")) != (VERSION, made_from):
        return None
    return tuple(Copy(*row) for row in plain["copies"])


def _write(path: Path, made_from: str, found: tuple[Copy, ...]) -> None:
    write_json(path, {"version": VERSION, "made_from": made_from, "copies": [list(one) for one in found]})


def _search(
    session: Session,
    pool: tuple[Source, tuple[str, ...]],
    others: tuple[Source, tuple[str, ...]],
    known: Mapping[str, Glance],
) -> list[Copy]:
    """Compare the pictures of a pool with others."""
    ours = {key: known[key] for key in pool[1] if key in known}
    with session.reporter.task("look for near copies", len(pool[1]) + len(others[1]), len(ours)) as tick:
        ours |= _glances(session, pool[0], [key for key in pool[1] if key not in ours], tick)
        theirs = _glances(session, *others, tick)
    owners: dict[str, list[str]] = {}
    for item, one in theirs.items():
        owners.setdefault(one.pixels, []).append(item)
    found = [Copy(key, item, "equal") for key, one in ours.items() for item in owners.get(one.pixels, ())]
    equal = {(one.key, one.item) for one in found}
    pairs = similar.pairs(_marks(ours), _marks(theirs))
    return found + [Copy(pair.a, pair.b, pair.how) for pair in pairs if (pair.a, pair.b) not in equal]


def _glances(session: Session, source: Source, keys: Iterable[str], tick: Tick) -> dict[str, Glance]:
    found = {}
    for key, image, seen in fitting(session, source, keys):
        found[key] = glance(image, seen)
        tick.advance()
        session.stop.check("nothing is learnt from the pool yet")
    return found


def fitting(session: Session, source: Source, keys: Iterable[str]) -> Iterator[tuple[str, Pixels, Valid]]:
    """Give the images that the models can look at, and refuse at the end with every one that they cannot.

    Args:
        session: whose items are inspected.
        source: the images.
        keys: which.

    Yields:
        key, image (H, W, B), bool (H, W).

    Raises:
        DataError: images are damaged or have other bands or values; with the first ENOUGH of them.
    """
    limit, print_, faults, grey = session.recipe.data.max_pixels, session.fingerprint(), [], []
    preprocess, usual = preprocess_for(session.recipe.data, print_), {record.bands for record in print_.items}
    for key in keys:
        try:
            image, seen = source.read_image(key, limit)
            preprocess.selected(image, str(source.image_path(key)))
        except InputError as error:
            faults.append(error)
            if len(faults) == ENOUGH:
                break
            continue
        if image.shape[2] == 1 and 1 not in usual:
            grey.append(key)
        yield key, image, seen
    if faults:
        raise DataError(faults)
    if grey:
        more = f" and {len(grey) - 1} more" if grey[1:] else ""
        session.reporter.warn(
            f"images of one band, where labelled ones have {max(usual)}, are taken for grey pictures: '{grey[0]}'"
            f"{more}; masks do not belong among them"
        )


def _marks(glances: Mapping[str, Glance]) -> dict[str, similar.Description]:
    return {key: one.marks for key, one in glances.items() if one.marks is not None}


def _on_ground(
    session: Session, source: Source, keys: tuple[str, ...], scored: tuple[str, ...], buffer: float
) -> list[Copy]:
    """Name images that lie on the ground of a scored item, or nearer to it than the buffer of spatial folds."""
    pool = {key: ground for key in keys if (ground := source.ground(key)) is not None and not ground.plane}
    held = set(scored)
    items = {
        one.key: one.ground
        for one in session.fingerprint().items
        if one.key in held and one.ground is not None and not one.plane
    }
    if not pool or not items:
        return []
    laid = plots({f"pool {key}": one for key, one in pool.items()} | {f"item {key}": one for key, one in items.items()})
    near = Near(laid)
    return [
        Copy(hit.removeprefix("pool "), item, "ground")
        for item in sorted(items)
        for hit in near.within([f"item {item}"], buffer)
        if hit.startswith("pool ")
    ]


def shut_folds(session: Session, copies: Iterable[Copy]) -> dict[str, tuple[int, ...]]:
    """Return key of the pool -> folds that may not learn from it; for copies of the hold-out, all."""
    home = {row.key: row.fold for row in session.fold_rows()}
    every = range(session.recipe.folds.count)
    found: dict[str, set[int]] = {}
    for one in copies:
        fold = home[one.item]
        found.setdefault(one.key, set()).update(every if fold == HOLDOUT else {fold})
    return {key: tuple(sorted(folds)) for key, folds in sorted(found.items())}


def tell_copies(session: Session, verb: str, copies: tuple[Copy, ...]) -> None:
    """Say in one line how many images are left out of which folds, if there are some."""
    if copies:
        session.reporter.say(
            f"{verb}: {_count(copies)} of the pool {_show(copies)} what labelled items show, and are left out of the "
            f"folds that are scored on those: {in_words(copies)}"
        )


def in_words(copies: tuple[Copy, ...]) -> str:
    """Name the first few."""
    shown = ", ".join(f"'{one.key}' ~ '{one.item}' ({IN_WORDS.get(one.how, one.how)})" for one in copies[:3])
    return shown + (f" and {len(copies) - 3} more" if copies[3:] else "")


def _count(copies: tuple[Copy, ...]) -> str:
    number = len({one.key for one in copies})
    return f"{number} image{'s' if number > 1 else ''}"


def _show(copies: tuple[Copy, ...]) -> str:
    return "show" if len({one.key for one in copies}) > 1 else "shows"
