"""The verb mine: windows of unlabelled images in which a fold's models find nothing, and labelled ones they get wrong.

What a fold is trained on may only be chosen by models that never saw what the fold is scored on. So each fold has a
list of its own, made by its own models: those looked at the pool, and at the items that they were trained on. (What
other folds' models say out of fold of these items would be nearer to new images, but those were trained on what this
fold is scored on.)
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.files import write_json
from maskwright.core.grid import Shape, even, whole
from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.load import digest, recipe_hash
from maskwright.core.recipe.mining import Mining
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.audit.digests import of_file
from maskwright.data.folds.folds import train_keys
from maskwright.data.items import read_item
from maskwright.data.sources.base import Source, limit_keys
from maskwright.data.sources.mined import Hard, MinedList, Negative, Teacher, mined_keys
from maskwright.data.sources.open import open_source
from maskwright.ensembling.blend import read_decision
from maskwright.workflows.copies import Copy, find_copies, shut_folds
from maskwright.workflows.journal import Journal
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.inference.emptiness import Voice

HARD_SHARE = 0.002
"""Share of an item's pixels that must be confident false positives for it to be drawn more often."""
BOXES = 16
"""Places of an item that windows are drawn around."""
HARDEST = 4
"""One in so many items is drawn more often at most: where all are hard, none is."""


@dataclass
class Mine:
    """One mining while it goes on.

    Args:
        session: an opened recipe whose members are trained and whose decision is made.
        folder: of the pool.
    """

    session: Session
    folder: Path

    def __post_init__(self) -> None:
        task = self.session.recipe.task
        if task.kind == "multiclass" and not looks_background(task.classes[0]):
            raise InputError(
                f"the first class is '{task.classes[0]}', so no pixel is nothing",
                where="task.classes",
                fix="mining is for tasks with a background",
            )
        if not self.folder.is_dir():
            raise InputError("no such folder", where=f"--pool {self.folder}", fix="give a folder of images")

    @cached_property
    def settings(self) -> Mining:
        """What is looked for."""
        return self.session.recipe.mine or Mining()

    @property
    def size(self) -> Shape | None:
        """Height and width of windows; None: whole images."""
        side = self.settings.window
        return None if side is None else (side, side)

    @cached_property
    def source(self) -> Source:
        """The pool, joined."""
        return open_source(FolderSource(images="."), self.folder, self.session.recipe.task)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Images that are looked at."""
        limit = self.session.recipe.data.limit
        return self.source.keys if limit is None else limit_keys(self.source.keys, limit)

    @cached_property
    def files(self) -> str:
        """Digest of the pool."""
        return self.session.files.of(self.source)

    @cached_property
    def members(self) -> tuple[str, ...]:
        """Members that have a share in the decision."""
        return read_decision(self.session.run.decision).needed

    @property
    def root(self) -> Path:
        """Where lists are kept."""
        return self.session.run.root / "mined"

    @property
    def table(self) -> Path:
        """The list itself."""
        return self.root / "mined.json"

    @cached_property
    def folds(self) -> range:
        """All folds."""
        return range(self.session.recipe.folds.count)

    @cached_property
    def tests(self) -> tuple[str, ...]:
        """Images of the pool that are items of data.test, byte for byte."""
        test = self.session.test_source
        if test is None:
            return ()
        there = {of_file(path) for path in {test.image_path(key) for key in test.keys}}
        return tuple(key for key in self.keys if of_file(self.source.image_path(key)) in there)

    @cached_property
    def copies(self) -> tuple[Copy, ...]:
        """Images of the pool that show what a labelled item shows that is scored; items must be split."""
        return find_copies(self.session, self.source, self.keys, self.root / "copies.json")

    @cached_property
    def shut(self) -> dict[str, tuple[int, ...]]:
        """Such an image -> folds that may not learn from it."""
        return shut_folds(self.session, self.copies)

    def weights(self, fold: int) -> dict[str, str]:
        """Return file in the run folder -> digest, of the models of a fold."""
        from maskwright.training.keep import weight_files

        recipe, run = self.session.recipe, self.session.run
        paths = [
            path
            for name in self.members
            for path in weight_files(run.fold(name, fold), recipe.members[name].predict.weights)
        ]
        return {path.relative_to(run.root).as_posix(): of_file(path) for path in paths}

    def inputs(self) -> dict[str, Any]:
        """Return what the list depends on."""
        settings = self.settings
        return {
            "pool": self.files,
            "keys": digest(list(self.keys)),
            "models": digest([self._asked(fold) for fold in self.folds]),
            "thresholds": [settings.presence, settings.pixel, settings.sure],
            "window": settings.window,
            "folder": os.path.relpath(self.folder, self.session.recipe.data.root),
            **({"copies": digest(self.shut)} if self.shut else {}),
        }

    def _asked(self, fold: int) -> list[Any]:
        """Return how the models of a fold answer."""
        decision, plain = read_decision(self.session.run.decision), self.session.plain["members"]
        shares = {name: decision.shares[name] for name in self.members}
        return [self.weights(fold), shares, {name: plain[name]["predict"] for name in self.members}]

    def voices(self, fold: int) -> list[Voice]:
        """Load the models of a fold."""
        from maskwright.data.dataset import Preprocess
        from maskwright.inference.emptiness import Voice
        from maskwright.inference.forward import Forward, Machine
        from maskwright.inference.views import Views
        from maskwright.models.weights import load_model
        from maskwright.training.keep import weight_files

        recipe, decision, found = self.session.recipe, read_decision(self.session.run.decision), []
        for name in self.members:
            member = recipe.members[name]
            files = weight_files(self.session.run.fold(name, fold), member.predict.weights)
            loaded = [load_model(path) for path in files]
            models = [model for model, _ in loaded]
            machine = Machine(channels_last=member.train.channels_last)
            views = Views.of(member.predict)
            forward = Forward(models, recipe.task, member.predict.tta, machine, views)
            preprocess = Preprocess.from_plain(loaded[0][1]["preprocess"])
            found.append(Voice(models, forward, member.predict, preprocess, decision.shares[name]))
        return found

    def look(self, fold: int) -> Journal:
        """Let the models of a fold look at the pool; what they said before is not asked again."""
        from maskwright.inference.emptiness import tell

        session, size = self.session, self.size
        journal = Journal(
            self.root / f"pool-fold{fold}.jsonl", digest([self.files, list(size or ()), self._asked(fold)])
        )
        left = [key for key in self.keys if key not in journal.found]
        if not left:
            return journal
        voices, done = self.voices(fold), len(self.keys) - len(left)
        with session.reporter.task(f"mine fold {fold}", len(self.keys), done) as tick:
            for key in left:
                image, seen = self.source.read_image(key, session.recipe.data.max_pixels)
                path, shape = self.source.image_path(key), (image.shape[0], image.shape[1])
                windows = [whole(shape)] if size is None else even(shape, size)
                told = tell(_at(voices, path), image, seen, windows, session.recipe.task, str(path))
                journal.add(key, [[*one.window, round(one.highest, 4), _rounded(one.presence)] for one in told])
                session.stop.check("images that were looked at are kept")
                tick.advance()
        return journal

    def doubt(self, fold: int) -> Journal:
        """Measure on each item that a fold trains on what its models call something with confidence and is not."""
        from maskwright.inference.emptiness import blended

        session, recipe = self.session, self.session.recipe
        keys = self.trained(fold)
        inputs = digest([session.train_files, list(keys), self.settings.sure, self._asked(fold), "boxes"])
        journal = Journal(self.root / f"hard-fold{fold}.jsonl", inputs)
        left = [key for key in keys if key not in journal.found]
        if not left:
            return journal
        voices = self.voices(fold)
        with session.reporter.task(f"hard negatives fold {fold}", len(keys), len(keys) - len(left)) as tick:
            for key in left:
                item = read_item(session.train_source, key, recipe.task, recipe.data.max_pixels)
                assert item.label is not None, key
                path = session.train_source.image_path(key)
                probability = blended(_at(voices, path), item.image, item.seen, str(path))
                wrong = false_positives(probability, item.label, self.settings.sure, recipe.task) & item.valid
                journal.add(key, [int(wrong.sum()), int(item.valid.sum()), largest(wrong)])
                session.stop.check("items that were looked at are kept")
                tick.advance()
        return journal

    def trained(self, fold: int) -> tuple[str, ...]:
        """Return the labelled items that a fold trains on."""
        session = self.session
        rows, print_ = session.fold_rows(), session.fingerprint()
        mined = mined_keys(session.train_source)
        return tuple(key for key in train_keys(rows, fold, print_, session.recipe.folds) if key not in mined)

    def write(self) -> MinedList:
        """Look, and write the list."""
        looked = {fold: self.look(fold) for fold in self.folds}
        doubted = {fold: self.doubt(fold) for fold in self.folds}
        labelled = [row.key for row in self.session.fold_rows()]
        hard = [one for fold, journal in doubted.items() for one in hardest(fold, journal.found)]
        found = MinedList(
            recipe=recipe_hash(self.session.recipe),
            pool=self.files,
            looked=len(self.keys),
            test_items=self.tests,
            shut=self.shut,
            presence=self.settings.presence,
            pixel=self.settings.pixel,
            window=self.size,
            sure=self.settings.sure,
            teachers=tuple(
                Teacher(
                    fold=fold,
                    weights=self.weights(fold),
                    unseen=tuple(sorted(set(labelled) - set(self.trained(fold)))),
                )
                for fold in self.folds
            ),
            negatives=tuple(one for key in self.keys for one in self._negatives(key, looked)),
            hard=tuple(hard),
        )
        write_json(self.table, found.to_plain())
        return found

    def _negatives(self, key: str, looked: dict[int, Journal]) -> list[Negative]:
        """Return the windows of an image that some folds' models find empty; one for all, if they agree on all."""
        image = self.source.image_path(key).relative_to(self.folder).as_posix()
        columns = list(zip(*(looked[fold].found[key] for fold in self.folds), strict=True))
        found = []
        for column in columns:
            folds = tuple(
                fold
                for fold, told in zip(self.folds, column, strict=True)
                if self._empty(told) and fold not in self.shut.get(key, ())
            )
            if folds:
                row, col, height, width = column[0][:4]
                found.append(
                    Negative(
                        key=f"{key}@{row}_{col}",
                        image=image,
                        window=(row, col, height, width),
                        folds=folds,
                        highest=tuple(column[fold][4] for fold in folds),
                        presence=tuple(column[fold][5] for fold in folds),
                    )
                )
        if len(found) == len(columns) and len({one.folds for one in found}) == 1:
            return [_together(key, found)]
        return found

    def _empty(self, told: Sequence[Any]) -> bool:
        highest, presence = told[4], told[5]
        return highest < self.settings.pixel and (presence is None or presence < self.settings.presence)


def largest(mask: NDArray[np.bool_]) -> list[list[int]]:
    """Return row, column, height and width of the largest connected regions of a mask, at most BOXES."""
    import cv2

    if not mask.any():
        return []
    _, _, found, _ = cv2.connectedComponentsWithStats(np.ascontiguousarray(mask).view(np.uint8), connectivity=8)
    ranked = sorted(found[1:].tolist(), key=lambda one: (-one[cv2.CC_STAT_AREA], one))[:BOXES]
    return [[top, left, height, width] for left, top, width, height, _ in ranked]


def hardest(fold: int, measured: Mapping[str, Sequence[Any]]) -> list[Hard]:
    """Return the items with the largest share of confident false positives, a quarter of all at most.

    Args:
        fold: that trains on them.
        measured: key -> pixels of confident false positives, all that count, and boxes of the largest regions.
    """
    shares = {key: area / max(valid, 1) for key, (area, valid, _) in measured.items()}
    ranked = sorted(shares, key=lambda key: (-shares[key], key))[: -(-len(shares) // HARDEST)]
    return [
        Hard(key=key, fold=fold, area=measured[key][0], boxes=measured[key][2])
        for key in sorted(ranked)
        if shares[key] > HARD_SHARE
    ]


def _together(key: str, found: Sequence[Negative]) -> Negative:
    """Return a whole image as one negative."""
    highest = tuple(max(values) for values in zip(*(one.highest for one in found), strict=True))
    columns = list(zip(*(one.presence for one in found), strict=True))
    presence = tuple(max((value for value in values if value is not None), default=None) for values in columns)
    return found[0].model_copy(update={"key": key, "window": None, "highest": highest, "presence": presence})


def false_positives(
    probability: NDArray[np.float32], label: NDArray[np.uint8], sure: float, task: Task
) -> NDArray[np.bool_]:
    """Return where models are sure of something that a label does not say, bool (H, W).

    Args:
        probability: (K, H, W).
        label: (H, W), multilabel (K, H, W).
        sure: least probability.
        task: what is predicted.
    """
    if task.kind == "multiclass":
        return np.asarray(((1 - probability[0]) >= sure) & (label == 0))
    return np.asarray(((probability >= sure) & (label.reshape(probability.shape) == 0)).any(0))


def _at(voices: Sequence[Voice], path: Path) -> list[Voice]:
    """Return voices that prepare images as those of one file are."""
    return [replace(voice, preprocess=voice.preprocess.of_scene(path)) for voice in voices]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
