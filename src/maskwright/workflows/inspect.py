"""The verb inspect: the audit of a recipe's sets as table, audit.json and audit.html, whether they are clean or not."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskwright.core.errors import DataError, InputError
from maskwright.core.files import read_json, write_bytes, write_json
from maskwright.core.progress import Reporter, Tick
from maskwright.core.version import __version__
from maskwright.data.audit.fingerprint import Fingerprint, ItemRecord
from maskwright.data.audit.statistics import foreground
from maskwright.data.findings import KINDS
from maskwright.data.items import read_item
from maskwright.data.sources.base import Source, limit_keys
from maskwright.output.report.data_facts import Album, AuditFacts, AuditPage, Look, Twins, read_audit
from maskwright.output.report.data_page import build_audit_page
from maskwright.output.report.data_pictures import label_pictures, png_bytes, sheet
from maskwright.output.report.facts import Provenance
from maskwright.workflows.run import run_stages
from maskwright.workflows.session import Session

LOOKS = {"suspicious": 8, "fullest": 4, "emptiest": 4, "random": 6, "test": 4}
"""Items that the first look shows, by why."""
TWINS, TWIN_SIDE = 12, 256
SHOWN_AS_PAIRS = ("similar", "exact_duplicate", "near_duplicate", "same_scene")
"""Kinds of findings whose items the page shows side by side."""
PAGE, SHEET = "audit.html", "augmented.png"


@dataclass(frozen=True)
class Inspected:
    """What inspect found, and where it lies."""

    plain: Mapping[str, Any]
    """The content of audit.json."""
    facts: AuditFacts
    guessed: tuple[str, ...]
    """What the sources guessed or passed over, in words."""
    page: Path | None = None
    """audit.html; None: nothing was written."""
    sheet: Path | None = None
    """Contact sheet of what the model will see, if it was asked for."""

    @property
    def items(self) -> int:
        """Items of all sets."""
        return sum(one.items for one in self.facts.sets.values())


def inspect(session: Session, *, augment: bool = False) -> Inspected:
    """Audit the sets of a recipe, and write audit.json and audit.html into its run folder, faults or none.

    A clean set is left as the stage inspect leaves it, fingerprint included; of a set with faults the two
    audit files are all that is written, and the stage is not done.

    Args:
        session: an opened recipe; it needs no members.
        augment: draw what the members will see, too; only for a set without faults.

    Raises:
        InputError: recipe or run folder forbid it; faults of the data are returned, not raised.
    """
    faulty = _audit(session)
    if not session.main:
        return _of_plain(session, {"version": 1, "task": session.plain["task"], "sets": {}})
    with session.working():
        plain = session.portable(session.audited.to_plain()) if faulty else read_json(session.run.audit)
        if faulty:
            for name in ("train", "test"):  # what was inspected before is no longer what lies there
                session.run.forget(f"inspect/{name}")
            write_json(session.run.audit, plain)
        found = _of_plain(session, plain)
        albums = _albums(session) if augment and not faulty else ()
        page = AuditPage(
            title=session.recipe.name,
            audit=found.facts,
            looks=tuple(_looks(session, found.facts)),
            twins=tuple(_twins(session, found.facts)),
            albums=albums,
            made=Provenance(date=datetime.datetime.now(datetime.UTC).date().isoformat(), version=__version__),
        )
        out = build_audit_page(page, session.run.root / PAGE)
        drawn = _write_sheet(albums, session.run.root / SHEET) if albums else None
    return replace(found, page=out, sheet=drawn)


def examined(session: Session) -> Inspected:
    """Audit the sets of a recipe and write nothing."""
    with session.stop.listening():
        return _of_plain(session, session.audited.to_plain())


def _audit(session: Session) -> bool:
    """Do the stage inspect, and say whether there were faults; what it would say is in the table."""
    muted = _Muted(session.reporter)
    session.reporter = muted
    try:
        run_stages(session, ["inspect"])
    except DataError:
        if "audited" not in session.__dict__:
            raise
        return True
    finally:
        session.reporter = muted.inner
    return False


def _of_plain(session: Session, plain: Mapping[str, Any]) -> Inspected:
    facts = read_audit(plain, {kind: known.says for kind, known in KINDS.items()})
    return Inspected(plain, facts, tuple(note for source in _sources(session) for note in source.notes))


class _Muted:
    """A reporter that shows progress and keeps still otherwise: the table says it all."""

    def __init__(self, inner: Reporter) -> None:
        self.inner = inner

    def say(self, text: str) -> None:
        """Drop the line."""

    def warn(self, text: str) -> None:
        """Drop the line."""

    def task(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Tick]:
        """Open a piece of work."""
        return self.inner.task(name, total, done)


def _sources(session: Session) -> Iterator[Source]:
    """Give what could be opened."""
    yield from (source for source, _ in session.joined.values() if source is not None)


def _source(session: Session, name: str) -> Source | None:
    return session.joined[name][0] if name in session.joined else None


def _records(session: Session) -> tuple[ItemRecord, ...]:
    """Return what is known of the training items that could be read."""
    if "audited" in session.__dict__:
        view = session.audited.sets["train"].view
        return () if view is None else view.fingerprint.items
    return Fingerprint.from_plain(read_json(session.run.fingerprint)).items


def _looks(session: Session, facts: AuditFacts) -> Iterator[Look]:
    """Draw a spread of items: named by findings, fullest, emptiest, from anywhere, and of the test set."""
    source, test = _source(session, "train"), _source(session, "test")
    seen: set[str] = set()
    if source is not None:
        for group, key, note in _chosen(session, source, facts):
            if key in seen:
                continue
            look = _look(session, source, key, group, note)
            if look is not None:
                seen.add(key)
                yield look
    if test is not None:
        for key in limit_keys(test.keys, LOOKS["test"]):
            look = _look(session, test, key, "test", "")
            if look is not None:
                yield look


def _chosen(session: Session, source: Source, facts: AuditFacts) -> Iterator[tuple[str, str, str]]:
    """Name training items to be shown: group, key, remark."""
    known = set(source.keys)
    named: dict[str, str] = {}
    for severity in ("fault", "suspicion", "note"):
        for finding in facts.of(severity):
            if finding.kind in SHOWN_AS_PAIRS:
                continue
            for key in [key for key in finding.keys if key in known][:2]:
                named.setdefault(key, KINDS[finding.kind].says if finding.kind in KINDS else finding.what)
    for key in list(named)[: LOOKS["suspicious"]]:
        yield "suspicious", key, named[key]
    front, add = foreground(session.recipe.task), max if session.recipe.task.kind == "multilabel" else sum
    shares = {
        record.key: add([record.pixels[kind] for kind in front]) / record.valid
        for record in _records(session)
        if record.pixels and record.valid
    }
    ranked = sorted(shares, key=lambda key: (shares[key], key))
    if shares and shares[ranked[-1]] - shares[ranked[0]] > 0.01:
        for key in ranked[::-1][: LOOKS["fullest"]]:
            yield "fullest", key, f"{shares[key]:.1%} foreground"
        for key in ranked[: LOOKS["emptiest"]]:
            yield "emptiest", key, f"{shares[key]:.1%} foreground"
    for key in limit_keys(source.keys, min(LOOKS["random"], len(source.keys))) if source.keys else ():
        yield "random", key, ""


def _look(session: Session, source: Source, key: str, group: str, note: str) -> Look | None:
    """Draw one item; None if it cannot be read."""
    session.stop.check("audit.html is not written yet")
    try:
        item = read_item(source, key, session.recipe.task, session.recipe.data.max_pixels)
    except InputError:
        return None
    bands = session.recipe.data.bands
    image = item.image
    if bands is not None and max(bands) <= image.shape[2]:
        image = image[..., [band - 1 for band in bands]]
    return Look(key, group, *label_pictures(image, item.label, item.valid, session.recipe.task), note)


def _twins(session: Session, facts: AuditFacts) -> Iterator[Twins]:
    """Draw the pairs of items that show the same, the most alike first."""
    sources = {name: _source(session, name) for name in facts.sets}
    pairs = [(name, pair) for name, one in facts.sets.items() for pair in one.similar]
    for name, (first, second, how, likeness) in sorted(pairs, key=lambda row: -row[1][3])[:TWINS]:
        pictures = []
        for key in (first, second):
            there = [source for source in (sources[name], *sources.values()) if source and key in source.keys]
            look = _look(session, there[0], key, "", "") if there else None
            pictures.append(None if look is None else look.image)
        if pictures[0] is not None and pictures[1] is not None:
            yield Twins((first, second), how, likeness, (pictures[0], pictures[1]))


def _albums(session: Session) -> tuple[Album, ...]:
    from maskwright.workflows.contact import draw_albums

    return draw_albums(session)


def _write_sheet(albums: Iterable[Album], path: Path) -> Path:
    """Write the contact sheet: a row for each item, the item itself first."""
    rows = [[strip.original, *strip.versions] for album in albums for strip in album.strips]
    write_bytes(path, png_bytes(sheet(rows)))
    return path
