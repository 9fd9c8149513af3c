"""Find everything that is wrong or odd with the sets of a recipe in one run; refuse them, or say it loudly.

Every fault, suspicion and note comes from here as a Finding: of the join, of single files, of a set as a
whole, and between the sets. `examine` never raises for faults; `check` refuses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe.blocks import Data
from maskwright.core.stop import Stop
from maskwright.data.audit.clues import clue_findings, compare_sets, describers, similar_pairs
from maskwright.data.audit.colours import explain_colours
from maskwright.data.audit.fingerprint import Fingerprint, look, sum_up
from maskwright.data.audit.images import image_findings, unlike
from maskwright.data.audit.labels import label_findings
from maskwright.data.audit.nodata import nodata_findings
from maskwright.data.audit.statistics import Statistics
from maskwright.data.audit.values import explain_values
from maskwright.data.audit.view import View
from maskwright.data.findings import Finding, faults_of, refuse
from maskwright.data.sources.base import Source
from maskwright.data.sources.mined import mined_keys
from maskwright.data.sources.open import join_source, limit_keys, limited

Joined = tuple[Source | None, Sequence[Finding]]
"""What joins, and every fault of the join."""
SEVERITIES = ("fault", "suspicion", "note")
SUMMED_UP = ("undeclared_value", "undeclared_colour")
"""Faults of single masks that are told once for the set."""


@dataclass(frozen=True)
class SetAudit:
    """All that was found of one set."""

    findings: tuple[Finding, ...]
    """Faults first, then suspicions, then notes."""
    view: View | None = None
    """None: nothing could be opened."""
    similar: tuple[tuple[str, str, str, float], ...] = ()
    """Pairs of items that show the same: one key, the other, how, 0..1."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What later stages need, with suspicions and notes in words."""
        assert self.view is not None, "a set that could not be opened has no fingerprint"
        notes = tuple(str(finding) for finding in self.findings if finding.severity != "fault")
        return replace(self.view.fingerprint, notes=notes, similar=self.similar)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for audit.json."""
        plain: dict[str, Any] = {"items": 0, "labelled": 0, "findings": [one.to_plain() for one in self.findings]}
        if self.view is not None:
            usual = self.view.fingerprint
            plain |= self.view.statistics.to_plain()
            plain["items"], plain["readable"] = len(self.view.found), len(self.view.whole)
            plain |= {"bands": usual.bands, "dtype": usual.dtype, "divide": usual.divide}
            plain |= {"mean": list(usual.mean), "std": list(usual.std)}
        plain["similar"] = [list(pair) for pair in self.similar]
        return plain


@dataclass(frozen=True)
class Audit:
    """All that was found of the sets of a recipe."""

    task: Task
    sets: Mapping[str, SetAudit]
    """train, and test if there is one."""
    shift: Mapping[str, Any] | None = field(default=None)
    """How test images differ from training images; None: there are none, or nothing to compare."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of all sets: faults first, then suspicions, then notes."""
        return _ordered(finding for one in self.sets.values() for finding in one.findings)

    @property
    def faults(self) -> tuple[Finding, ...]:
        """Those that refuse the sets."""
        return tuple(faults_of(self.findings))

    def refuse(self) -> None:
        """Raise DataError with all faults, if there are any."""
        refuse(self.findings)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for audit.json."""
        colours = [[int(shade) for shade in colour] for colour in self.task.palette]
        return {
            "version": 1,
            "task": {"kind": self.task.kind, "classes": list(self.task.classes), "colours": colours},
            "sets": {name: one.to_plain() for name, one in self.sets.items()},
            "shift": None if self.shift is None else dict(self.shift),
        }


def examine(
    task: Task,
    data: Data,
    reporter: Reporter,
    stop: Stop | None = None,
    joined: Mapping[str, Joined] | None = None,
) -> Audit:
    """Join and decode the sets of a recipe once and collect all that is wrong or odd; raises for no fault.

    Args:
        task: gives classes, values and ignore.
        data: train and test blocks, root, limit and how pixels become numbers.
        reporter: gets one progress bar for each set.
        stop: looked at after each item.
        joined: set -> what was joined already; None: they are joined here.

    Raises:
        Interrupted: a stop was asked for.
    """
    if joined is None:
        joined = join_sets(task, data)
    views: dict[str, View] = {}
    findings: dict[str, list[Finding]] = {}
    for name, (source, faults) in joined.items():
        findings[name] = [*faults, *_unlabelled(name, source)]
        if source is not None:
            views[name] = view = view_of(name, source, task, data, reporter, stop)
            findings[name] += _of_set(view)
    similar = {name: similar_pairs(view) for name, view in views.items()}
    for name, view in views.items():
        findings[name] += clue_findings(view, similar[name])
    shift = None
    if "test" in views and "train" in views:
        between, shift = compare_sets(views["train"], views["test"])
        findings["test"] += between
    sets = {name: SetAudit(_ordered(found), views.get(name), similar.get(name, ())) for name, found in findings.items()}
    return Audit(task, sets, shift)


def with_faults(found: Audit, more: Iterable[Finding]) -> Audit:
    """Return an audit with further findings of the training set, e.g. that it cannot be split as is wanted."""
    train = found.sets["train"]
    train = replace(train, findings=_ordered([*train.findings, *more]))
    return replace(found, sets={**found.sets, "train": train})


def _unlabelled(name: str, source: Source | None) -> Iterator[Finding]:
    """Name a training set that was opened and holds no labels."""
    if name == "train" and source is not None and not source.labelled:
        yield Finding("no_labels", "data.train", "the items have no labels", "name labels, or give it as data.test")


def join_sets(task: Task, data: Data) -> dict[str, Joined]:
    """Join data.train and data.test, if there is one, limited as the recipe says."""
    joined: dict[str, Joined] = {}
    for name, block in (("train", data.train), ("test", data.test)):
        if block is None:
            continue
        source, faults = join_source(block, Path(data.root), task)
        if source is not None and data.limit is not None:
            mined = mined_keys(source)
            counted = limit_keys([key for key in source.keys if key not in mined], data.limit)
            source = limited(source, (*counted, *mined))
        joined[name] = source, faults
    return joined


def view_of(name: str, source: Source, task: Task, data: Data, reporter: Reporter, stop: Stop | None = None) -> View:
    """Decode a set once and sum up what was learnt.

    Args:
        name: train or test.
        source: labelled or not.
        task: gives classes, values and ignore.
        data: bands, divide, normalize, max_pixels, limit.
        reporter: gets one progress bar.
        stop: looked at after each item.
    """
    sums = Statistics(task)
    found = look(source, task, data, reporter, stop=stop, after=sums.take, describe=describers(source, task, data))
    return View(f"data.{name}", source, task, data, tuple(found), sum_up(source, found, task, data), sums)


def check(
    source: Source,
    task: Task,
    data: Data,
    reporter: Reporter,
    stop: Stop | None = None,
    like: Fingerprint | None = None,
) -> Fingerprint:
    """Decode a whole set, and refuse it with everything that is wrong.

    Args:
        source: labelled or not.
        task: gives classes, values and ignore.
        data: bands, divide, normalize, max_pixels.
        reporter: gets one progress bar.
        stop: looked at after each item.
        like: the fingerprint of the training items, if this set is to be predicted by their models.

    Raises:
        DataError: with every fault: images and labels that cannot be read or do not fit each other,
            undeclared label values, run lengths that leave the image, bands or dtypes that differ.
        Interrupted: a stop was asked for.
    """
    view = view_of("train" if like is None else "test", source, task, data, reporter, stop)
    found = _ordered([*_of_set(view), *unlike(view, like)])
    refuse(found)
    return SetAudit(found, view).fingerprint


def _of_set(view: View) -> Iterator[Finding]:
    """Give everything that is to be said of one set: single items first."""
    for one in view.found:
        yield from (finding for finding in one.findings if finding.kind not in SUMMED_UP)
    yield from explain_values(view)
    yield from explain_colours(view)
    if view.whole:
        yield from image_findings(view)
        yield from nodata_findings(view)
        yield from label_findings(view)
    elif view.found:
        yield from image_findings(view)


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort by severity, else as found; the same words are said once."""
    distinct = {str(finding): finding for finding in findings}
    return tuple(sorted(distinct.values(), key=lambda finding: SEVERITIES.index(finding.severity)))
