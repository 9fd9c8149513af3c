"""How a fold's training reads its items: how often each is drawn, what classes it has, where it is kept decoded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.recipe.load import digest
from maskwright.core.version import __version__
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.cache.cache import CacheSpec, tidy
from maskwright.data.cache.choice import Use, choose
from maskwright.data.preprocess import Preprocess
from maskwright.data.sources.merge import drawn_weight
from maskwright.workflows.avoiding import avoided, not_for, sought
from maskwright.workflows.lessons import parts_of
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.core.recipe.members import Train


def weights_of(session: Session, keys: Sequence[str], fold: int) -> tuple[float, ...] | None:
    """Return how often each item is drawn relative to others; None where all are alike."""
    less, more, parts = avoided(session), sought(session, fold), parts_of(session.run)
    source = session.train_source
    weights = tuple(drawn_weight(source, key, parts) * less.get(key, 1.0) * more.get(key, 1.0) for key in keys)
    return weights if len(set(weights)) > 1 else None


def drawn_keys(session: Session, keys: Sequence[str], fold: int) -> tuple[str, ...]:
    """Return the items of a fold's training that are ever drawn.

    Left out are suspicious ones of weight 0, mined windows in which its own models saw something, and what a round of
    self-training gives the weight 0.

    Raises:
        InputError: nothing is left, or windows were mined by models that saw what the fold is scored on.
    """
    factors, closed, parts = avoided(session), not_for(session, fold), parts_of(session.run)
    source = session.train_source
    drawn = tuple(key for key in keys if drawn_weight(source, key, parts) > 0)
    if not drawn:
        raise InputError(
            f"all {len(keys)} items that fold {fold} trains on are of parts with the weight 0",
            where="selftrain.parts",
            fix="leave one above 0",
        )
    left = tuple(key for key in drawn if factors.get(key, 1.0) > 0 and key not in closed)
    if not left:
        raise InputError(
            f"all {len(keys)} items that fold {fold} trains on are suspicious",
            where="data.suspects",
            fix="raise data.suspects.above, or give a weight above 0",
        )
    return left


def pixels_of(print_: Fingerprint, keys: Sequence[str]) -> NDArray[np.int64]:
    """Return the valid pixels of each class in each item, int64 (items, classes)."""
    known = {record.key: record.pixels for record in print_.items}
    return np.array([known[key] for key in keys], np.int64)


def cache_of(session: Session, print_: Fingerprint, preprocess: Preprocess, train: Train, items: int) -> CacheSpec:
    """Choose where a training's decoded items are kept, say it in a line, and make the folder fit.

    Args:
        session: recipe, source and run folder.
        print_: of the labelled items.
        preprocess: of the training.
        train: of the member.
        items: that are drawn from.
    """
    from maskwright.training.plan import make_plan

    data = session.recipe.data
    plan = make_plan(train, items, 0)
    use = Use(
        source=session.train_source,
        records=print_.items,
        task=session.recipe.task,
        preprocess=preprocess,
        max_pixels=data.max_pixels,
        passes=plan.epochs * plan.draws / items,
    )
    decoding = [session.plain["data"]["train"], session.plain["data"]["limit"], session.plain["task"]]
    salt = digest([*decoding, preprocess.to_plain(), __version__])
    folder = session.run.cache if data.cache.folder is None else Path(data.cache.folder).expanduser()
    spec, told = choose(data.cache, use, folder, salt)
    if told:
        session.reporter.say(told)
    if session.main:
        tidy(spec, session.train_source)
    return spec


def drop_cache(session: Session) -> None:
    """Delete the decoded items in the run folder; a folder that the recipe names is kept."""
    if session.main:
        session.run.clear(session.run.cache)
