"""What one fold's training is made from, gathered from the recipe, the fingerprint and the folds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.core.files import read_json
from maskwright.core.recipe.load import digest, recipe_hash
from maskwright.core.runs import RunFolder
from maskwright.core.version import __version__
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.folds import folds
from maskwright.workflows import reading
from maskwright.workflows.avoiding import spots_of
from maskwright.workflows.inputs import best_by
from maskwright.workflows.lessons import beside_of, lessons_of
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.training.job import FoldJob
    from maskwright.training.losses.options import Frequency


def fold_job(session: Session, name: str, fold: int) -> FoldJob:
    """Return what a member's fold is trained from; a first stage must be trained."""
    from maskwright.data.dataset import preprocess_for
    from maskwright.data.sampling import sample_seed
    from maskwright.training.job import FoldJob
    from maskwright.training.keep import DONE, LAST

    rows, print_ = session.fold_rows(), session.fingerprint()
    preprocess = preprocess_for(session.recipe.data, print_)
    member = session.recipe.members[name]
    open_to = folds.train_keys(rows, fold, print_, session.recipe.folds)
    keys = reading.drawn_keys(session, open_to, fold)
    lessons = lessons_of(session.run)
    first = None if member.model.other is None else session.run.fold(member.model.other, fold)
    if lessons is not None and lessons.settings.start == "teacher":
        first = RunFolder(session.run.root / lessons.teacher).fold(name, fold)
    return FoldJob(
        member=member,
        task=session.recipe.task,
        source=session.train_source,
        train_keys=keys,
        valid_keys=tuple(row.key for row in rows if row.fold == fold),
        preprocess=preprocess,
        max_pixels=session.recipe.data.max_pixels,
        seed=sample_seed(session.recipe.seed, int(digest(name), 16) % 2**31, fold),
        metric=best_by(session, name),
        frequency=_frequency(session, print_, keys),
        weights=reading.weights_of(session, keys, fold),
        spots=spots_of(session, keys, fold),
        pixels=reading.pixels_of(print_, keys),
        cache=reading.cache_of(session, print_, preprocess, member.train, len(keys)),
        recipe_dir=session.recipe_dir,
        tracking=session.tracking,
        witness=None if session.witness is None else partial(session.witness, name, fold),
        first=None if first is None else first / LAST,
        first_job=None if first is None else read_json(first / DONE)["job"],
        beside=beside_of(session.run, fold, member, session.recipe.task, Path(session.recipe.data.root)),
        facts={
            "first_weights": next(entry.to_plain() for entry in session.ledger if entry.member == name),
            "member": name,
            "fold": fold,
            "recipe": recipe_hash(session.recipe),
            "items": digest(open_to),
            **({} if lessons is None else {"lessons": lessons.digest}),
            "maskwright": __version__,
        },
    )


def _frequency(session: Session, print_: Fingerprint, keys: Sequence[str]) -> Frequency:
    """Count how often classes occur in what a fold is trained on."""
    from maskwright.training.losses.options import Frequency

    chosen = set(keys)
    records = [record for record in print_.items if record.key in chosen]
    columns = list(zip(*(record.pixels for record in records), strict=True))
    if session.recipe.task.kind == "binary":
        columns = columns[1:]
    return Frequency(
        pixels=tuple(sum(column) for column in columns),
        images=tuple(sum(count > 0 for count in column) for column in columns),
        total=sum(record.valid for record in records),
    )
