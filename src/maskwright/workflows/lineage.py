"""Who taught whom, proven from records on disk: no model learnt, through any teacher, what its fold is scored on.

By induction over rounds: the first teachers of fold k were trained without it (the digest of their training items
stands in their weights); label files of fold k name the digests of those weights; students of fold k were trained on
just these files (the digest of the lessons stands in their weights) and on the same training items.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import digest
from maskwright.core.runs import RunFolder
from maskwright.data.audit.digests import of_file
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.folds.folds import TRAIN_ONLY, FoldRow, read_folds, train_keys
from maskwright.workflows.inputs import trained
from maskwright.workflows.lessons import AGAIN, Lessons, labels_of, lessons_of, read_rows, table_of
from maskwright.workflows.session import Session

UNRECORDED = "was trained by a version that did not write down on which items"
TRAIN_AGAIN = "choose another --out, where it is trained anew"


def prove(run: RunFolder, recipe: Recipe) -> int:
    """Check the records of a student run and of all runs before it.

    Args:
        run: of students; a run without lessons is a first teacher.
        recipe: gives members and folds; the same members in all rounds.

    Returns:
        number of label files that were looked at.

    Raises:
        InputError: a label file, a teacher or a model that is not what the records say, or that saw what it is
            scored on.
    """
    rows, print_ = read_folds(run.folds), Fingerprint.from_plain(read_json(run.fingerprint))
    scored = {record.digest for record in print_.items if _is_scored(rows, record.key)}
    seen, at = 0, run
    while True:
        if read_folds(at.folds) != rows:
            raise InputError("items are in other folds than in the round after it", where=at.folds, fix=AGAIN)
        lessons = lessons_of(at)
        for fold in range(recipe.folds.count):
            items = digest(train_keys(rows, fold, print_, recipe.folds))
            _check_models(at, recipe, fold, items, lessons)
            if lessons is not None:
                seen += _check_labels(at, recipe, fold, lessons, scored)
        if lessons is None:
            return seen
        at = RunFolder(at.root / lessons.teacher)


def refuse_unrecorded(session: Session) -> None:
    """Refuse, before anything is trained, finished teachers whose weights do not say which items they were trained on.

    Args:
        session: of the first teachers, whose items are split; folds that are to be trained (again) will say it.

    Raises:
        InputError: naming the file.
    """
    from maskwright.models.tensors import read_facts

    for name in session.recipe.members:
        for fold in range(session.recipe.folds.count):
            for path in _weights(session.run, session.recipe, name, fold) if trained(session, name, fold) else ():
                if "items" not in read_facts(path):
                    raise InputError(UNRECORDED, where=path, fix=TRAIN_AGAIN)


def _is_scored(rows: tuple[FoldRow, ...], key: str) -> bool:
    return any(row.key == key and row.fold != TRAIN_ONLY for row in rows)


def _weights(run: RunFolder, recipe: Recipe, name: str, fold: int) -> Iterator[Path]:
    from maskwright.training.keep import weight_files

    yield from weight_files(run.fold(name, fold), recipe.members[name].predict.weights)


def _check_models(run: RunFolder, recipe: Recipe, fold: int, items: str, lessons: Lessons | None) -> None:
    """Refuse models of a fold that were trained on other items, or by other lessons, than those of the fold."""
    from maskwright.models.tensors import read_facts

    wanted: dict[str, Any] = {"fold": fold, "items": items}
    if lessons is not None:
        wanted["lessons"] = lessons.digest
    for name in recipe.members:
        for path in _weights(run, recipe, name, fold):
            facts = read_facts(path)
            for what, value in wanted.items():
                if what == "items" and what not in facts:
                    raise InputError(UNRECORDED, where=path, fix=TRAIN_AGAIN)
                if facts.get(what) != value:
                    raise InputError(
                        f"its training says {what} {facts.get(what)}, the records of fold {fold} {value}",
                        where=path,
                        fix=AGAIN,
                    )


def _check_labels(run: RunFolder, recipe: Recipe, fold: int, lessons: Lessons, scored: set[str]) -> int:
    """Refuse label files of a fold that others than its teachers made, or that were changed since."""
    store, rows = labels_of(run, fold), read_rows(table_of(run, fold))
    if digest([list(row) for row in rows]) != lessons.folds[fold].labels:
        raise InputError("is not the table that lessons.json was written for", where=table_of(run, fold), fix=AGAIN)
    teacher = RunFolder(run.root / lessons.teacher)
    weights = {name: [of_file(path) for path in _weights(teacher, recipe, name, fold)] for name in recipe.members}
    for row in rows:
        path, facts = store.path(row.key), store.facts(row.key)
        fault = ""
        if of_file(path) != row.label:
            fault = "was changed since it was written"
        elif (facts["fold"], facts["round"]) != (fold, lessons.round):
            made = f"teachers of fold {facts['fold']} in round {facts['round']}"
            fault = f"was made by {made}, and fold {fold} of round {lessons.round} learns from it"
        elif any(told["weights"] != weights.get(name) for name, told in facts["members"].items()):
            fault = "was made by other weights than those of the teachers of this fold"
        elif facts["image"] in scored:
            fault = "labels an image that is scored"
        elif row.taken and fold in lessons.shut.get(row.key, ()):
            fault = f"labels an image that shows what fold {fold} is scored on, and is learnt from"
        if fault:
            raise InputError(fault, where=path, fix=AGAIN)
    return len(rows)
