"""Images that nobody labelled, looked at once: do they fit, and are labelled or test images among them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import read_json, write_json
from maskwright.core.recipe.sources import FolderSource, MergeSource, SceneSource
from maskwright.core.recipe.sources import Source as SourceUnion
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.folds.folds import TRAIN_ONLY
from maskwright.data.sources.base import Source, limit_keys
from maskwright.data.sources.open import open_source
from maskwright.workflows.copies import (
    Copy,
    Glance,
    find_copies,
    fitting,
    glance,
    refuse_test_copies,
    shut_folds,
    tell_copies,
)
from maskwright.workflows.session import Session

VERSION = 1


@dataclass(frozen=True)
class Pool:
    """Images to label."""

    source: Source
    block: SourceUnion
    root: str
    """Folder that the block's names are below, relative to data.root."""
    keys: tuple[str, ...]
    """Those that are used."""
    images: Mapping[str, str]
    """Key -> digest of the decoded pixels, of all."""
    files: str
    """Digest of all image files."""
    known: tuple[str, ...]
    """Left out, since they show just what a labelled image shows that is scored."""
    tests: tuple[str, ...]
    """Used, and among the test items."""
    copies: tuple[Copy, ...] = ()
    """Images that show, not pixel for pixel, what a labelled item shows that is scored."""
    shut: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Key of such an image -> folds that may not learn from it."""

    def told(self) -> dict[str, Any]:
        """Return what selftrain.json says of it."""
        return {
            "root": self.root,
            "source": self.block.model_dump(mode="json"),
            "images": len(self.keys),
            "files": self.files,
            "left_out_as_labelled": list(self.known),
            "near_copies": [{"image": one.key, "of": one.item, "how": one.how} for one in self.copies],
            "left_out_of_folds": {key: list(folds) for key, folds in self.shut.items()},
            "test_items_used": bool(self.tests),
            "test_items": list(self.tests),
        }


def open_pool(session: Session, folder: Path | None) -> tuple[Source, SourceUnion, str]:
    """Find the images: of a folder, or as the recipe's selftrain.unlabelled says.

    Args:
        session: an opened recipe.
        folder: `--unlabelled`; None: the recipe says it.

    Returns:
        source, its block, and the folder that its names are below, relative to data.root.

    Raises:
        InputError: nobody says where, or nothing is there.
    """
    recipe = session.recipe
    block = None if recipe.selftrain is None else recipe.selftrain.unlabelled
    root = Path(recipe.data.root)
    if folder is not None:
        if not folder.is_dir():
            raise InputError("no such folder", where=f"--unlabelled {folder}", fix="give a folder of images")
        block, root = _block_like(recipe.data.train), folder
    if block is None:
        raise InputError(
            "no images without labels are named",
            where="selftrain.unlabelled",
            fix="name them there, or give --unlabelled DIR",
        )
    source = open_source(block, root, recipe.task)
    return source, block, Path(os.path.relpath(root, recipe.data.root)).as_posix()


def _block_like(train: SourceUnion) -> SourceUnion:
    """Return a block of all images of a folder; scenes are cut as those of the training are."""
    parts = list(train.parts.values()) if isinstance(train, MergeSource) else [train]
    for part in parts:
        if isinstance(part, SceneSource):
            return SceneSource(images=".", chip=part.chip, gsd=part.gsd, crs=part.crs)
    return FolderSource(images=".")


def look(session: Session, folder: Path | None) -> Pool:
    """Open the pool and look at each image once; what was seen is kept in selftrain/pool.json.

    Args:
        session: whose items are inspected and split.
        folder: see open_pool.

    Raises:
        InputError: an image does not fit the training's, all are labelled already, or some are test items and the
            recipe's rules forbid them.
        Interrupted: a stop was asked for.
    """
    source, block, root = open_pool(session, folder)
    keys = source.keys if session.recipe.data.limit is None else limit_keys(source.keys, session.recipe.data.limit)
    files = session.files.of(source)
    glances: dict[str, Glance] = {}
    images = _digests(session, source, keys, files, glances)
    held = _scored_images(session)
    known = tuple(key for key in keys if images[key] in held)
    used = tuple(key for key in keys if images[key] not in held)
    copies = find_copies(session, source, used, session.run.root / "selftrain" / "copies.json", glances)
    shut = shut_folds(session, copies)
    used = tuple(key for key in used if len(shut.get(key, ())) < session.recipe.folds.count)
    if not used:
        raise InputError(
            f"all {len(keys)} images {'are' if not copies else 'are, or show what is shown by,'} labelled items of "
            "this recipe",
            where="--unlabelled" if folder is not None else "selftrain.unlabelled",
            fix="give images that have no labels yet",
        )
    tests = _test_items(session, source, used, images)
    if tests and session.recipe.rules.test_labels == "forbidden":
        raise InputError(
            f"{len(tests)} of {len(used)} images are test items, such as '{tests[0]}', which rules.test_labels forbids",
            where=str(folder) if folder is not None else "selftrain.unlabelled",
            fix="take them away, or set rules.test_labels: allowed",
        )
    where = str(folder) if folder is not None else "selftrain.unlabelled"
    refuse_test_copies(session, source, used, (session.run.root / "selftrain" / "test_copies.json", where), glances)
    return Pool(source, block, root, used, images, files, known, tests, copies, shut)


def _digests(
    session: Session, source: Source, keys: tuple[str, ...], files: str, glances: dict[str, Glance]
) -> dict[str, str]:
    """Decode each image, refuse what does not fit, and return the digest of its pixels; add to `glances`."""
    path = session.run.root / "selftrain" / "pool.json"
    if path.exists():
        plain = read_json(path)
        if plain.get("version") == VERSION and plain.get("files") == files and set(keys) <= set(plain["images"]):
            return {key: str(plain["images"][key]) for key in keys}
    found = {}
    with session.reporter.task("look at unlabelled images", len(keys)) as tick:
        for key, image, seen in fitting(session, source, keys):
            glances[key] = glance(image, seen)
            found[key] = glances[key].pixels
            tick.advance()
            session.stop.check("nothing is labelled yet")
    write_json(path, {"version": VERSION, "files": files, "images": found})
    return found


def _scored_images(session: Session) -> frozenset[str]:
    """Return digests of the images that a fold or the hold-out is scored on."""
    scored = {row.key for row in session.fold_rows() if row.fold != TRAIN_ONLY}
    return frozenset(record.digest for record in session.fingerprint().items if record.key in scored)


def _test_items(session: Session, source: Source, keys: tuple[str, ...], images: Mapping[str, str]) -> tuple[str, ...]:
    """Return the keys of images that are among the test items, by file or by pixels."""
    test = session.test_source
    if test is None:
        return ()
    print_ = Fingerprint.from_plain(read_json(session.run.fingerprint_test))
    pixels = {record.digest for record in print_.items}
    paths = {test.image_path(key).resolve() for key in test.keys}
    return tuple(key for key in keys if images[key] in pixels or source.image_path(key).resolve() in paths)


def tell(session: Session, pool: Pool) -> None:
    """Say what was found."""
    say = session.reporter.say
    say(f"selftrain: {len(pool.keys)} images without labels")
    if pool.known:
        names = ", ".join(pool.known[:3]) + (f" and {len(pool.known) - 3} more" if len(pool.known) > 3 else "")
        say(f"selftrain: left out, as they are labelled items: {names}")
    tell_copies(session, "selftrain", pool.copies)
    if pool.tests:
        session.reporter.warn(
            f"{len(pool.tests)} of the {len(pool.keys)} images are test items: students learn from what they are to "
            "answer (rules.test_labels: forbidden would refuse that)"
        )
    twice = sum(count - 1 for count in Counter(pool.images[key] for key in pool.keys).values())
    if twice:
        say(f"note: {twice} of them show what another one shows, pixel for pixel")
