"""Find the images below a folder and give each its key."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from maskwright.core.errors import InputError, from_os_error
from maskwright.data.rasters import SUFFIXES


@dataclass
class Listing:
    """Images by key, and what was wrong or left aside on the way."""

    paths: dict[str, Path] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def list_images(folder: Path, root: Path, suffix: str = "", other: str = "", skip: Path | None = None) -> Listing:
    """List the images below a folder by key: the path below it, without `suffix` and extension.

    Args:
        folder: where to look, sub-folders included.
        root: links may lead to files below `root` or `folder`, and nowhere else.
        suffix: end of an image's stem that is not part of the key; images without it are left aside.
        other: end of the stem of files in the same folder that are something else, e.g. masks.
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
        stem = relative[: -len(PurePosixPath(relative).suffix)]
        taken = bool(other) and len(other) > len(suffix) and stem.endswith(other)
        if taken or not stem.endswith(suffix) or stem.rpartition("/")[2] == suffix != "":
            aside += not taken
            continue
        key = unicodedata.normalize("NFC", stem.removesuffix(suffix))
        if _plain(key, path, listing):
            found[key].append(path)
    for key, paths in sorted(found.items()):
        if len(paths) > 1:
            names = " and ".join(path.name for path in sorted(paths))
            listing.faults.append(f"{paths[0].parent}: {names} have one key '{key}'; keep one of them")
        listing.paths[key] = paths[0]
    _refuse_case_twins(listing, folder)
    if aside:
        listing.notes.append(f"{folder}: {aside} images whose names do not end in '{suffix}' are left aside")
    if unlike:
        listing.notes.append(f"{folder}: {unlike} files that are no images ({', '.join(SUFFIXES)}) are left aside")
    return listing


def _files(folder: Path, root: Path, skip: Path | None, listing: Listing) -> Iterator[tuple[str, Path]]:
    """Walk a folder in order; give each visible file its path below it, with slashes."""
    if not folder.is_dir():
        raise InputError("no such folder", where=folder, fix="check data.root and the folder's name")
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


def _bad_link(path: Path, inside: tuple[Path, ...]) -> str:
    if path.is_dir():
        return f"{path}: a link to a folder is not followed; put the folder itself there"
    if not path.exists():
        return f"{path}: a link that leads nowhere; mend or delete it"
    if not any(path.resolve().is_relative_to(folder) for folder in inside):
        return f"{path}: a link that leads out of the data folder; copy the file, or set data.root above both"
    return ""


def _plain(key: str, path: Path, listing: Listing) -> bool:
    """Say whether a key can be written into our files; note the fault if not."""
    try:
        key.encode()
    except UnicodeEncodeError:
        listing.faults.append(f"{ascii(str(path))[1:-1]}: the file name is not UTF-8; rename the file")
        return False
    if not key.isprintable():
        listing.faults.append(f"{ascii(str(path))[1:-1]}: the file name holds control characters; rename the file")
        return False
    return True


def _refuse_case_twins(listing: Listing, folder: Path) -> None:
    twins = defaultdict(list)
    for key in listing.paths:
        twins[key.casefold()].append(key)
    for keys in twins.values():
        if len(keys) > 1:
            names = " and ".join(f"'{key}'" for key in keys)
            listing.faults.append(f"{folder}: keys {names} differ only in case; rename one, some disks see one file")
