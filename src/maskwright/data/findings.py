"""What an audit can find: every kind of fault, suspicion and note in one table, and one finding of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from maskwright.core.errors import DataError, InputError, one_line

Severity = Literal["fault", "suspicion", "note"]


class Kind(NamedTuple):
    """One thing that can be wrong with a set."""

    severity: Severity
    """fault: the set is refused; suspicion: said loudly before training; note: worth knowing."""
    says: str
    """What it is, in a few words, for headings and docs."""


@dataclass(frozen=True)
class Finding:
    """One thing found in a set.

    Args:
        kind: a key of KINDS.
        where: file or recipe key, optionally with `:line`.
        what: what is wrong and what we got.
        fix: what the user can do, in the imperative.
        keys: items concerned, if any.
        facts: numbers and proposals for audit.json, as JSON can hold them.
    """

    kind: str
    where: str
    what: str
    fix: str = ""
    keys: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.kind in KINDS, self.kind

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return KINDS[self.kind].severity

    def __str__(self) -> str:
        """Return the line a user reads."""
        text = f"{self.where}: {self.what}" if self.where else self.what
        return one_line(f"{text}; {self.fix}" if self.fix else text)

    def to_plain(self) -> dict[str, Any]:
        """Return plain data for audit.json."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "where": self.where,
            "what": self.what,
            "fix": self.fix,
            "keys": list(self.keys),
            "facts": dict(self.facts),
        }

    @classmethod
    def of(cls, error: InputError, kind: str, keys: tuple[str, ...] = ()) -> Finding:
        """Make a finding of a caught error."""
        return cls(kind, str(Path(error.where)) if error.where else "", error.what, error.fix, keys)


def faults_of(findings: Sequence[Finding]) -> list[Finding]:
    """Return those that refuse a set."""
    return [finding for finding in findings if finding.severity == "fault"]


def refuse(findings: Sequence[Finding]) -> None:
    """Raise DataError with all faults, if there are any."""
    faults = faults_of(findings)
    if faults:
        raise DataError(list(dict.fromkeys(str(fault) for fault in faults)))


KINDS: dict[str, Kind] = {
    "no_folder": Kind("fault", "a folder or file that the recipe names is absent"),
    "no_images": Kind("fault", "no images"),
    "missing_label": Kind("fault", "an image without a label"),
    "orphan_label": Kind("fault", "a label without an image"),
    "key_twice": Kind("fault", "two files have one key"),
    "key_case": Kind("fault", "keys that differ in case alone"),
    "odd_name": Kind("fault", "a name that leaves the folder, is no text or cannot be a key"),
    "nothing_joins": Kind("fault", "no label has the key of an image"),
    "unreadable_image": Kind("fault", "an image cannot be read"),
    "unreadable_label": Kind("fault", "a label cannot be read"),
    "size_mismatch": Kind("fault", "image and label differ in size"),
    "undeclared_value": Kind("fault", "label values outside the task"),
    "bands_differ": Kind("fault", "images differ in bands"),
    "dtype_differs": Kind("fault", "images differ in dtype"),
    "exact_duplicate": Kind("note", "images whose pixels are equal"),
}
"""Kind -> severity and words. In the order in which they are told."""
