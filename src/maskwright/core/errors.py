"""What can go wrong, the exit code of each kind, and how it is said.

    MaskwrightError                 1    a bug, or nothing more precise
     +- InputError (ValueError)     2    a file, an option or data the user can mend
     |   +- RecipeError             2    the recipe: unknown key, wrong value, contradiction
     |   +- DataError               2    labelled data: carries every fault found, not the first
     +- LockedError                 3    another process works in this run folder
     +- StorageError (OSError)      4    disk full, permission, read-only
     +- MemoryLimitError            5    not enough host or device memory
     +- Interrupted                 130/143  SIGINT/SIGTERM; the run is saved and can go on

A message is one line, `<file>[:<line or key>]: <what is wrong>; <what to do>`; the CLI puts
`error: ` before it and prints no traceback unless `--debug` is given.
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

EXIT_OK = 0
EXIT_BUG = 1
EXIT_INPUT = 2
EXIT_LOCKED = 3
EXIT_STORAGE = 4
EXIT_MEMORY = 5


def one_line(text: str) -> str:
    """Fold white space so that a message stays on one line of stderr."""
    return " ".join(str(text).split())


class MaskwrightError(Exception):
    """Base of every error maskwright raises on purpose.

    Args:
        what: what is wrong and what we got.
        where: file, optionally with `:line` or `:key`.
        fix: what the user can do, in the imperative.
    """

    exit_code = EXIT_BUG

    def __init__(self, what: str, *, where: str | Path = "", fix: str = "") -> None:
        self.what, self.where, self.fix = one_line(what), one_line(str(where)), one_line(fix)
        super().__init__(self.what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text}; {self.fix}" if self.fix else text

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the trip from a worker process: exceptions pickle by their arguments alone."""
        return (_rebuild, (type(self), dict(self.__dict__)))


def _rebuild(kind: type[MaskwrightError], state: dict[str, object]) -> MaskwrightError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    error.args = (state["what"],)
    return error


class InputError(MaskwrightError, ValueError):
    """Something the user gave is wrong and can be mended.

    Args:
        what: as above.
        where: as above.
        fix: as above.
        kind: what an audit files it under, a key of data.findings.KINDS; empty: nothing more precise.
        facts: numbers that an audit adds up over a set, e.g. pixels of each undeclared value.
    """

    exit_code = EXIT_INPUT

    def __init__(
        self,
        what: str,
        *,
        where: str | Path = "",
        fix: str = "",
        kind: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self.kind, self.facts = kind, dict(facts or {})
        super().__init__(what, where=where, fix=fix)

    def lines(self) -> list[tuple[str, str, str]]:
        """Return where, what and fix of each fault that it carries."""
        return [(self.where, self.what, self.fix)]


class RecipeError(InputError):
    """The recipe has an unknown key, a wrong value, or contradicts itself."""


class DataError(InputError):
    """Labelled data has faults; `faults` holds every one of them, one line each.

    Args:
        faults: lines, or errors of which each is one line.
    """

    def __init__(self, faults: Sequence[str | InputError]) -> None:
        assert faults, "a DataError without faults"
        self.faults = tuple(one_line(str(fault)) for fault in faults)
        self._lines = [fault.lines()[0] if isinstance(fault, InputError) else ("", fault, "") for fault in faults]
        super().__init__(self.faults[0])

    def lines(self) -> list[tuple[str, str, str]]:
        """Return where, what and fix of each fault that it carries."""
        return self._lines


class LockedError(MaskwrightError):
    """Another live process owns the run folder."""

    exit_code = EXIT_LOCKED


class StorageError(MaskwrightError, OSError):
    """The disk is full, read-only, or not ours to write."""

    exit_code = EXIT_STORAGE


class MemoryLimitError(MaskwrightError):
    """The work does not fit into host or device memory."""

    exit_code = EXIT_MEMORY


class Interrupted(MaskwrightError):
    """A signal asked us to stop; everything finished so far is on disk.

    Args:
        signal_number: 2 (SIGINT) or 15 (SIGTERM); the exit code is 128 + that.
        what: what was saved, for the user's eyes.
    """

    def __init__(self, signal_number: int, what: str) -> None:
        super().__init__(what, fix="run the same command again to go on")
        self.exit_code = 128 + signal_number


def near(name: str, options: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the closest option, or nothing."""
    choices = sorted(options)
    folded = {choice.lower(): choice for choice in choices}
    close = [choice for choice in folded if len(name) > 2 and choice.startswith(name.lower())][:1]
    close = close or difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f" (did you mean '{folded[close[0]]}'?)" if close else ""


def unknown(kind: str, name: str, options: Iterable[str], where: str | Path = "") -> InputError:
    """Build the error for a name that is not in a table, with the nearest names.

    Args:
        kind: what the name should have been, e.g. `loss`.
        name: what we got.
        options: the names there are.
        where: file or recipe key.
    """
    choices = sorted(options)
    listed = ", ".join(choices) if len(choices) <= 24 else f"{', '.join(choices[:24])}, ..."
    hint = near(name, choices)
    return InputError(f"unknown {kind} '{name}'{hint}", where=where, fix=f"use one of: {listed}")


def from_os_error(error: OSError, path: str | Path) -> MaskwrightError:
    """Turn an operating-system error into the promised kind.

    Raises nothing; returns StorageError for disk and permission trouble, InputError for a path
    that is absent, so that `raise from_os_error(e, path) from e` reads well at the call.
    """
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return InputError("no such file or folder", where=path, fix="check the path")
    if error.errno in (errno.EISDIR, errno.EEXIST):
        return InputError(f"{error.strerror}: in the way of what is to be read or written", where=path, fix="move it")
    fixes = {
        errno.ENOSPC: "free some space and run again",
        errno.EDQUOT: "free some space and run again",
        errno.EACCES: "check the permissions",
        errno.EPERM: "check the permissions",
        errno.EROFS: "choose a folder that can be written",
    }
    reason = error.strerror or str(error)
    return StorageError(reason, where=path, fix=fixes.get(error.errno or 0, "check the disk"))
