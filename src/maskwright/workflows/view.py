"""The verb export-view: a run as a data set that FiftyOne, CVAT and other tools open."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, get_args

import numpy as np

from maskwright.core.errors import InputError, from_os_error, unknown
from maskwright.core.files import write_json
from maskwright.core.labels import Task
from maskwright.core.recipe.load import recipe_hash
from maskwright.core.version import __version__
from maskwright.data.folds.folds import TRAIN_ONLY
from maskwright.data.items import read_item
from maskwright.data.labels.shapes import write_counts
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.ensembling.items import ItemRow, read_items
from maskwright.output.views import coco, fiftyone
from maskwright.output.views.item import Bring, ViewItem, word
from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import per_class, score
from maskwright.workflows.deliver import Target, answer_of, need_decision
from maskwright.workflows.session import Session

MARK = "maskwright_view.json"
"""Lies in every view, so that a folder with anything else in it is never written to."""


class View(Protocol):
    """What writes a view."""

    def add(self, item: ViewItem) -> None:
        """Write one item."""

    def close(self) -> None:
        """Write what holds for all of them."""


def export_view(session: Session, to: str, folder: Path | None, images: str) -> Path:
    """Write what a run knows of its items as a data set for another tool.

    Args:
        session: an opened recipe whose decision is made.
        to: coco or fiftyone.
        folder: where; None: view-<to> in the run folder.
        images: copy or link.

    Returns:
        the folder.

    Raises:
        InputError: an unknown word, no decision yet, or a folder with something else in it.
    """
    if to not in VIEWS:
        raise unknown("view", to, VIEWS, "--to")
    if images not in get_args(Bring):
        raise unknown("way", images, get_args(Bring), "--images")
    how: Bring = "copy" if images == "copy" else "link"
    need_decision(session)
    folder = folder or session.run.root / f"view-{to}"
    with session.working():
        decision = read_decision(session.run.decision)
        wanted = list(_targets(session))
        if not wanted:
            raise InputError("no item was held out, and there is no test set", where=session.run.root, fix="give one")
        begin(folder, {"format": to, "recipe": recipe_hash(session.recipe), "maskwright": __version__}, VIEWS)
        view = _open(to, folder, session.recipe.task, how, session.recipe.name)
        scores = {(row.split, row.key): row for row in read_items(session.run.items, session.recipe.task)}
        with session.reporter.task(f"export view {to}", len(wanted)) as tick:
            for target, fold in wanted:
                view.add(view_item(session, decision, target, fold, scores.get((target.split, target.key))))
                session.stop.check("the view is not whole and is begun anew")
                tick.advance()
        view.close()
    return folder


def _open(to: str, folder: Path, task: Task, how: Bring, title: str) -> View:
    if to == "coco":
        return coco.CocoView(folder, task, how, write_counts, title)
    return fiftyone.FiftyOneView(folder, task, how, title)


def begin(folder: Path, facts: Mapping[str, str], views: Mapping[str, Sequence[str]]) -> None:
    """Empty a view that was there, and mark the folder as one; refuse a folder with anything else in it.

    Args:
        folder: of the view.
        facts: what it is made from.
        views: name -> what a view of that kind writes.
    """
    try:
        if refuse_other(folder):
            for names in views.values():
                for path in (folder / name for name in names):
                    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    except OSError as error:
        raise from_os_error(error, folder) from error
    write_json(folder / MARK, dict(facts))


def refuse_other(folder: Path, option: str = "--out") -> bool:
    """Refuse a folder that holds anything but a view; return whether it holds one.

    Args:
        folder: of the view to be.
        option: that named it, for the message.

    Raises:
        InputError: something else is there.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / MARK).is_file():
        raise InputError("is not empty and holds no view", where=folder, fix=f"choose another {option}")
    return True


def _targets(session: Session) -> Iterator[tuple[Target, int | None]]:
    """Yield each item that has an answer of a model that did not see it, with its fold."""
    for row in session.fold_rows():
        if row.fold != TRAIN_ONLY:
            yield (Target(row.key, "oof"), row.fold) if row.fold >= 0 else (Target(row.key, "holdout"), None)
    for key in () if session.test_source is None else session.test_source.keys:
        yield Target(key, "test"), None


def view_item(
    session: Session, decision: Decision, target: Target, fold: int | None, row: ItemRow | None = None
) -> ViewItem:
    """Return all that a view shows of an item.

    Args:
        session: an opened recipe.
        decision: how the members' probabilities become an answer.
        target: which item.
        fold: that held it out.
        row: its counts; None: it is shown without scores.
    """
    source = session.test_source if target.split == "test" else session.train_source
    assert source is not None, target
    task, bands = session.recipe.task, session.recipe.data.bands
    item = read_item(source, target.key, task, session.recipe.data.max_pixels)
    predicted, probability = answer_of(session, decision, target)
    return ViewItem(
        key=target.key if target.split != "test" else f"test/{target.key}",
        path=source.image_path(target.key),
        image=item.image if bands is None else item.image[..., [band - 1 for band in bands]],
        seen=item.seen,
        truth=item.label,
        valid=item.valid,
        predicted=predicted,
        probability=probability,
        split=target.split,
        fold=fold,
        scores={} if row is None else _scores(row, task),
    )


def _scores(row: ItemRow, task: Task) -> dict[str, float]:
    """Return IoU and Dice of one item, and IoU of each of its classes; what it does not have is left out."""
    counts = Counts(*map(np.array, (row.tp, row.fp, row.fn, (0,) * len(row.tp))))
    found = {"iou": score(counts, "iou"), "dice": score(counts, "dice")}
    taken: set[str] = set()
    if task.planes > 1:
        values = per_class(counts, "iou")
        found |= {f"iou_{word(name, taken)}": float(v) for name, v in zip(task.plane_names, values, strict=True)}
    return {name: round(value, 4) for name, value in found.items() if not np.isnan(value)}


VIEWS = {"coco": coco.WRITTEN, "fiftyone": fiftyone.WRITTEN}
"""View -> what it writes into its folder, beside the mark."""
