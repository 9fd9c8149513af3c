"""Find the images below a folder and give each its key."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from maskwright.core.errors import InputError, from_os_error
from maskwright.data.findings import Finding
from maskwright.data.pixels.rasters import SUFFIXES


@dataclass(frozen=True)
class Naming:
    """Which files of a folder are meant, and what of their path is the key."""

    suffix: str = ""
    """End of the stem that is no part of the key; files without it are left aside."""
    prefix: str = ""
    """Start of the file name that is no part of the key; files without it are left aside."""
    folder: str = ""
    """Folder in the path that is no part of the key; files that are not below one are left aside."""
    name_only: bool = False
    """The key is the file's name alone, without the folders."""

    @property
    def strength(self) -> int:
        """How much a name must hold to be meant; where two namings fit, the stronger one does."""
        return len(self.suffix) + len(self.prefix) + len(self.folder)

    def key(self, relative: str) -> str | None:
        """Return the key of a file by its path below the listed folder, or None if it is not meant."""
        stem = relative[: -len(PurePosixPath(relative).suffix)]
        above, _, name = stem.rpartition("/")
        if self.folder:
            before, found, after = f"/{above}/".rpartition(f"/{self.folder}/")
            if not found:
                return None
            above = f"{before}/{after}".strip("/")
        core = name.removeprefix(self.prefix)
        if not name.startswith(self.prefix) or not core.endswith(self.suffix) or core == self.suffix != "" or not core:
            return None
        core = core.removesuffix(self.suffix)
        return unicodedata.normalize("NFC", core if self.name_only or not above else f"{above}/{core}")

    def __str__(self) -> str:
        """Say in words what files left aside lack."""
        said = [f"are not below a folder '{self.folder}'"] if self.folder else []
        said += [f"do not begin with '{self.prefix}'"] if self.prefix else []
        said += [f"do not end in '{self.suffix}'"] if self.suffix else []
        names = "whose names " if self.prefix or self.suffix else "that "
        return names + " or ".join(said)


PLAIN = Naming()
"""Every image, its path the key."""


@dataclass
class Listing:
    """Images by key, and what was wrong or left aside on the way."""

    paths: dict[str, Path] = field(default_factory=dict)
    faults: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_images(
    folder: Path, root: Path, naming: Naming = PLAIN, other: Naming | None = None, skip: Path | None = None
) -> Listing:
    """List the images below a folder by key.

    Args:
        folder: where to look, sub-folders included.
        root: links may lead to files below `root` or `folder`, and nowhere else.
        naming: which images are meant, and what of their path is the key.
        other: naming of files in the same folder that are something else, e.g. masks.
        skip: a folder below `folder` that holds something else.

    Returns:
        the listing; two images with one key, keys that differ only in case, odd names and links that
        lead out are faults.

    Raises:
        InputError: there is no such folder.
    """
    found, listing = defaultdict(list), Listing()
    aside = unlike = 0
    for relative, path in _files(folder, root, skip, listing):
        if PurePosixPath(relative).suffix.lower() not in SUFFIXES:
            unlike += 1
            continue
        if other is not None and other.strength > naming.strength and other.key(relative) is not None:
            continue
        key = naming.key(relative)
        if key is None:
            aside += other is None or other.key(relative) is None
        elif _plain(key, path, listing):
            found[key].append(path)
    for key, paths in sorted(found.items()):
        if len(paths) > 1:
            listing.faults.append(_twice(key, sorted(paths), folder, naming))
        listing.paths[key] = paths[0]
    listing.faults += case_twins(listing.paths, folder)
    if aside:
        listing.notes.append(f"{folder}: {aside} images {naming} are left aside")
    if unlike:
        listing.notes.append(f"{folder}: {unlike} files that are no images ({', '.join(SUFFIXES)}) are left aside")
    return listing


def _twice(key: str, paths: Sequence[Path], folder: Path, naming: Naming) -> Finding:
    together = len({path.parent for path in paths}) == 1
    names = " and ".join(path.name if together else path.relative_to(folder).as_posix() for path in paths)
    fix = "keep one of them" + (", or set key: path" if naming.name_only and not together else "")
    where = paths[0].parent if together else folder
    return Finding("key_twice", str(where), f"{names} have one key '{key}'", fix, (key,))


def _files(folder: Path, root: Path, skip: Path | None, listing: Listing) -> Iterator[tuple[str, Path]]:
    """Walk a folder in order; give each visible file its path below it, with slashes."""
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, fix="check data.root and the folder's name", kind="no_folder")
    inside = (folder.resolve(), root.resolve())
    left_out = skip.resolve() if skip is not None else None
    waiting = [folder]
    while waiting:
        current = waiting.pop()
        try:
            entries = sorted(os.scandir(current), key=lambda entry: entry.name)
        except OSError as error:
            raise from_os_error(error, current) from error
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_symlink() and (fault := _bad_link(path, inside)):
                listing.faults.append(fault)
            elif entry.is_dir():
                if left_out is None or path.resolve() != left_out:
                    waiting.append(path)
            elif entry.is_file():
                yield path.relative_to(folder).as_posix(), path


def _bad_link(path: Path, inside: tuple[Path, ...]) -> Finding | None:
    what = fix = ""
    if path.is_dir():
        what, fix = "a link to a folder is not followed", "put the folder itself there"
    elif not path.exists():
        what, fix = "a link that leads nowhere", "mend or delete it"
    elif not any(path.resolve().is_relative_to(folder) for folder in inside):
        what, fix = "a link that leads out of the data folder", "copy the file, or set data.root above both"
    return Finding("bad_link", str(path), what, fix) if what else None


def _plain(key: str, path: Path, listing: Listing) -> bool:
    """Say whether a key can be written into our files; note the fault if not."""
    what = ""
    try:
        key.encode()
    except UnicodeEncodeError:
        what = "the file name is not UTF-8"
    if not what and not key.isprintable():
        what = "the file name holds control characters"
    if what:
        listing.faults.append(Finding("odd_name", ascii(str(path))[1:-1], what, "rename the file"))
    return not what


def likes(keys: Iterable[str], others: Iterable[str]) -> dict[str, str]:
    """Give ` (there is 'X')` for each key that differs from one of others in case, spaces or a second suffix alone.

    Args:
        keys: of files whose partners were not found.
        others: keys without a partner on the other side.
    """
    known = {_core(other): other for other in others}
    return {key: f" (there is '{known[_core(key)]}')" for key in keys if _core(key) in known}


def _core(key: str) -> str:
    text = "".join(key.casefold().split())
    return text[: -len(PurePosixPath(text).suffix)] if PurePosixPath(text).suffix in SUFFIXES else text


def case_twins(keys: Mapping[str, Path], where: Path) -> list[Finding]:
    """Name keys that differ only in case, which is one file on some disks."""
    twins = defaultdict(list)
    for key in keys:
        twins[key.casefold()].append(key)
    return [
        Finding(
            "key_case",
            str(where),
            f"keys {_quoted(alike)} differ only in case",
            "rename one, some disks see one file",
            tuple(alike),
        )
        for alike in twins.values()
        if len(alike) > 1
    ]


def _quoted(keys: Sequence[str]) -> str:
    return " and ".join(f"'{key}'" for key in keys)
