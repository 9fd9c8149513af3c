"""What JSON label formats share: the file read and refused, faults told in few lines, class names matched."""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from maskwright.core.errors import InputError, MaskwrightError, from_os_error, near, unknown
from maskwright.core.grid import Shape
from maskwright.core.labels import IGNORE, Task, looks_background
from maskwright.data.findings import Finding
from maskwright.data.labels.shapes import FARTHEST
from maskwright.data.pixels.rasters import read_header
from maskwright.data.sources.outlines import IGNORED, UNDRAWN, Outlines

HEADER_PIXELS = 1 << 34
"""Largest image whose head is asked where a label file names no size; the audit applies data.max_pixels."""
SHOWN = 4
"""Examples given of one kind of fault."""
MOST_NAMES = 12
FAR = 1.0
"""Outlines may leave their image by this many times its size before they are refused."""
SLACK = 0.01
"""Share of an image's size, and at least 2 pixels, by which outlines leave it without a word: tools round."""


class Fault(NamedTuple):
    """One thing that a file of labels can have wrong, whichever entries have it."""

    kind: str
    heading: str
    """A plural, to stand before a list of examples."""
    fix: str


@dataclass
class Tally:
    """Counts faults by sort and keeps some examples of each, so that a thousand equal ones are one line."""

    table: Mapping[str, Fault]
    counts: Counter[str] = field(default_factory=Counter)
    files: dict[str, dict[Path, None]] = field(default_factory=dict)
    examples: dict[str, list[tuple[Path, str]]] = field(default_factory=dict)
    keys: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, sort: str, where: Path, example: str, key: str = "") -> None:
        """Note a fault.

        Args:
            sort: key of the table.
            where: file it is in.
            example: the entry and what it holds, in a few words.
            key: item concerned, if one is.
        """
        self.counts[sort] += 1
        self.files.setdefault(sort, {})[where] = None
        shown = self.examples.setdefault(sort, [])
        if len(shown) < SHOWN:
            shown.append((where, legible(example)))
        if key:
            self.keys.setdefault(sort, {})[key] = None

    def findings(self) -> list[Finding]:
        """Return one finding for each sort of fault, in the order of the table."""
        found = []
        for sort in sorted(self.counts, key=list(self.table).index):
            fault, count, shown = self.table[sort], self.counts[sort], self.examples[sort]
            files = list(self.files[sort])
            where = files[0]
            texts = [text for _, text in shown]
            if len(files) > 1:
                where = Path(os.path.commonpath([str(path.parent) for path in files]))
                texts = [f"{path.relative_to(where)} {text}" for path, text in shown]
            more = f" and {count - len(shown)} more" if count > len(shown) else ""
            what = f"{fault.heading}: {', '.join(texts)}{more}"
            found.append(
                Finding(fault.kind, str(where), what, fault.fix, tuple(self.keys.get(sort, ())), {"count": count})
            )
        return found


def read_json(path: Path, once: Sequence[str] = ()) -> Any:
    """Read a JSON file that somebody gave us.

    Args:
        path: the file.
        once: keys that no object of it may hold twice; JSON readers keep the last and say nothing.

    Raises:
        InputError: absent, empty, cut off, no JSON, or nested too deeply, with the line; or a key twice.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise from_os_error(error, path) from error
    if not raw.strip():
        raise InputError("is empty", where=path, fix="copy it again", kind="bad_label_file")
    doubtful = [name for name in once if raw.count(f'"{name}"'.encode()) > 1]
    try:
        return json.loads(raw, object_pairs_hook=partial(_object, path, doubtful) if doubtful else None)
    except InputError:
        raise
    except json.JSONDecodeError as error:
        cut = error.pos >= len(error.doc.rstrip())
        what = "ends too early, as if it was cut off" if cut else f"no valid JSON ({error.msg}, column {error.colno})"
        fix = "copy it again" if cut else "mend the line"
        raise InputError(what, where=f"{path}:{error.lineno}", fix=fix, kind="bad_label_file") from None
    except RecursionError:
        fix = "give the labels in the format's own layout"
        raise InputError("is nested too deeply to be labels", where=path, fix=fix, kind="bad_label_file") from None
    except ValueError as error:
        raise InputError(
            f"no valid JSON ({error})", where=path, fix="save it as UTF-8 JSON", kind="bad_label_file"
        ) from None


def _object(path: Path, once: Sequence[str], pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its pairs, refusing keys that are there twice."""
    names = [name for name, _ in pairs]
    for name in once:
        if names.count(name) > 1:
            what, fix = f"holds '{name}' {names.count(name)} times in one object", "put them together in one list"
            raise InputError(what, where=path, fix=fix, kind="bad_label_file")
    return dict(pairs)


def files_below(folder: Path, suffixes: Sequence[str]) -> tuple[dict[str, str], list[tuple[str, str]]]:
    """List the visible files below a folder with one of some suffixes.

    Links to folders are not followed.

    Returns:
        NFC name -> name on the disk, both with slashes; and pairs of names on the disk that are one text.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, fix="check data.root and the folder's name", kind="no_folder")
    found: dict[str, str] = {}
    twins: list[tuple[str, str]] = []
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in names:
            if not name.startswith(".") and Path(name).suffix.lower() in suffixes:
                relative = (Path(top) / name).relative_to(folder).as_posix()
                first = found.setdefault(unicodedata.normalize("NFC", relative), relative)
                if first != relative:
                    twins.append((first, relative))
    return found, twins


def leads_inside(path: Path, *folders: Path) -> bool:
    """Say whether a file is no link, or one to a file below one of some folders."""
    if not path.is_symlink():
        return True
    return path.exists() and any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)


def legible(text: str) -> str:
    """Return a text from a file so that it can be printed: control characters and half characters are spelt out."""
    return text if text.isprintable() else text.encode("unicode_escape").decode("ascii")


def plain_fields(entry: Mapping[str, Any], without: Sequence[str]) -> dict[str, str]:
    """Return the plain values of a JSON object as text; nested ones, nulls and those in `without` are left out."""
    found = {}
    for name, value in entry.items():
        if name not in without and isinstance(value, str | int | float):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            found[legible(name)] = legible(text)
    return found


def shape_of(height: Any, width: Any) -> Shape | None:
    """Return (height, width) if both are whole numbers of pixels, else None."""
    sizes = [int(size) for size in (height, width) if _whole(size)]
    return (sizes[0], sizes[1]) if len(sizes) == 2 and min(sizes) > 0 else None


def size_on_disk(path: Path) -> Shape | None:
    """Return (height, width) of an image by its head, where a label file does not say it; None if it has none."""
    try:
        return read_header(path, HEADER_PIXELS).shape
    except MaskwrightError:
        return None  # the audit names it


def _whole(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < FARTHEST and value % 1 == 0


def class_code(names: Sequence[str], categories: Mapping[str, str] | None, task: Task) -> int | None:
    """Return the class id that a category means, IGNORED, UNDRAWN, or None if nothing says what it means.

    Args:
        names: what the category may be called in the recipe's map, first things first: its id, its name.
        categories: the recipe's map; categories that are not in it go by the name they share with a class.
        task: names the classes.
    """
    target = next((categories[name] for name in names if name in categories), None) if categories else None
    if target is None:
        name = names[-1]
        return _plane(name, task) if name in task.classes else None
    if target == "ignore":
        return IGNORED
    if target in task.classes:
        return _plane(target, task)
    if target != "background":
        raise unknown("class", target, [*task.classes, "ignore", "background"], "categories")
    rest = rest_of(None, task)
    return rest if task.kind == "multiclass" and rest != IGNORE else UNDRAWN


def _plane(name: str, task: Task) -> int:
    place = task.classes.index(name)
    if task.kind == "binary":
        return 0 if name == task.classes[-1] else UNDRAWN
    return place


def rest_of(unlabelled: str | None, task: Task) -> int:
    """Return the class id of pixels that no annotation covers, or IGNORE.

    Args:
        unlabelled: from the recipe: a class, ignore, or None for the class that is called background.
        task: names the classes; binary and multilabel tasks have 0 there whatever is asked.
    """
    if task.kind != "multiclass":
        return 0
    if unlabelled is not None:
        return IGNORE if unlabelled == "ignore" else task.classes.index(unlabelled)
    return next((place for place, name in enumerate(task.classes) if looks_background(name)), IGNORE)


def note_rest(unlabelled: str | None, task: Task, where: Path) -> list[str]:
    """Say what becomes of pixels that no annotation covers, where the recipe does not."""
    if task.kind != "multiclass" or unlabelled is not None:
        return []
    rest = rest_of(None, task)
    if rest != IGNORE:
        return []
    return [f"{where}: pixels that no annotation covers do not count; set unlabelled: CLASS if they are of a class"]


def unknown_classes(
    unmapped: Mapping[str, int], known: Sequence[str], task: Task, where: Path, categories: Mapping[str, str] | None
) -> list[Finding]:
    """Name the categories that are used but are no class, with a map to copy.

    Args:
        unmapped: name -> annotations.
        known: categories that do have a class.
        task: names the classes.
        where: the file or folder.
        categories: the recipe's map so far.
    """
    if not unmapped:
        return []
    proposal = {**(categories or {}), **_propose(list(unmapped), known, task)}
    listed = [f"'{name:.60}' ({count} annotations)" for name, count in unmapped.items()]
    more = f" and {len(listed) - MOST_NAMES} more" if len(listed) > MOST_NAMES else ""
    pairs = [f"{_yaml(name)}: {_yaml(target)}" for name, target in proposal.items()]
    shown = ", ".join(pairs[:MOST_NAMES]) + (", ..." if len(pairs) > MOST_NAMES else "")
    return [
        Finding(
            "unknown_class",
            str(where),
            f"categories that are no class of the task: {', '.join(listed[:MOST_NAMES])}{more}",
            f"add them to task.classes, or set categories: {{{shown}}}",
            facts={"annotations": dict(unmapped), "categories": proposal},
        )
    ]


def _propose(names: Sequence[str], known: Sequence[str], task: Task) -> dict[str, str]:
    """Propose a class for each name: the one that is nearly spelt so, the only one left, or none."""
    folded = {_folded(name): name for name in task.plane_names}
    free = [name for name in task.plane_names if name not in known]
    proposal = {}
    for name in names:
        close = difflib.get_close_matches(_folded(name), folded, n=1, cutoff=0.8)
        if close:
            proposal[name] = folded[close[0]]
        elif len(names) == 1 and len(free) == 1 and not known:
            proposal[name] = free[0]
        else:
            proposal[name] = "ignore" if task.kind == "multiclass" and rest_of(None, task) == IGNORE else "background"
    return proposal


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _yaml(text: str) -> str:
    """Write a text so that YAML reads it back as text."""
    plain = re.fullmatch(r"[A-Za-z][\w /.()+-]*", text) and text.lower() not in (
        "yes",
        "no",
        "on",
        "off",
        "true",
        "false",
    )
    return text if plain and text.lower() != "null" and text == text.strip() else json.dumps(text, ensure_ascii=False)


def unused_names(categories: Mapping[str, str] | None, names: Sequence[str], where: Path) -> list[Finding]:
    """Name the entries of the recipe's map that no category has."""
    found = []
    for name in categories or {}:
        if name not in names:
            listed = ", ".join(f"'{each}'" for each in list(dict.fromkeys(names))[:MOST_NAMES])
            what = f"categories names '{name}'{near(name, names)}, which no label here is called"
            found.append(Finding("unknown_class", str(where), what, f"there are: {listed or 'none'}"))
    return found


class Reach(NamedTuple):
    """How far outlines leave their images."""

    not_finite: list[int]
    """Annotations with a coordinate that is no finite number."""
    far: list[int]
    """Annotations that lie outside of their image, or reach out of it by more than its size."""
    over: dict[int, float]
    """Annotations that leave it a little -> by how many pixels."""


def reach(outlines: Outlines, shape_of_annotation: Callable[[int], Shape | None]) -> Reach:
    """Check the coordinates of all outlines at once.

    Args:
        outlines: of the set.
        shape_of_annotation: (H, W) of the image of an annotation; None: not known.
    """
    bounds, owners = outlines.bounds(), outlines.owners()
    shapes = [shape_of_annotation(int(owner)) for owner in owners]
    sizes = np.array([(shape[1], shape[0]) if shape else (np.inf, np.inf) for shape in shapes]).reshape(-1, 2)
    with np.errstate(invalid="ignore"):
        finite = np.isfinite(bounds).all(axis=1)
        low, high = bounds[:, :2], bounds[:, 2:] - sizes
        out = np.maximum(np.maximum(-low, high).max(axis=1, initial=0), 0)
        allowed = np.maximum(SLACK * sizes, 2).min(axis=1, initial=np.inf)
        far = (np.maximum(-low, high) > FAR * sizes).any(axis=1) | (np.abs(bounds) > FARTHEST).any(axis=1)
        far |= (low > sizes).any(axis=1) | (bounds[:, 2:] < 0).any(axis=1)
    over: dict[int, float] = {}
    for ring in np.flatnonzero(finite & ~far & (out > allowed)):
        over[int(owners[ring])] = max(over.get(int(owners[ring]), 0.0), float(out[ring]))
    return Reach(not_finite=_each(owners[~finite]), far=_each(owners[finite & far]), over=dict(sorted(over.items())))


def _each(owners: Any) -> list[int]:
    return [int(owner) for owner in np.unique(owners)]


def some(names: Sequence[str]) -> str:
    """Name the first of a list, and how many more there are."""
    listed = ", ".join(f"'{name}'" for name in names[:SHOWN])
    return f"{listed} and {len(names) - SHOWN} more" if len(names) > SHOWN else listed
