"""The whole path, or some stages of it, under one lock; what is finished is not done again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from maskwright.core.errors import unknown
from maskwright.core.spent import spending
from maskwright.workflows import deliver, export, stages
from maskwright.workflows.session import STAGES, Session


def run_until(session: Session, until: str = "report") -> None:
    """Do what is missing, stage by stage, up to and with `until`.

    Raises:
        RecipeError, DataError, LockedError, Interrupted, ...: see core/errors.py.
    """
    if until not in STAGES:
        raise unknown("stage", until, STAGES, "--until")
    run_stages(session, STAGES[: STAGES.index(until) + 1])
    if session.main and until == "report":
        deliver.tell(session)


def run_stages(session: Session, names: Sequence[str], *, member: str | None = None, fold: int | None = None) -> None:
    """Do the named stages in order, holding the run folder.

    Args:
        session: an opened recipe.
        names: some of STAGES.
        member: only this member, for train and predict.
        fold: only this fold, for train.
    """
    if "train" in names:
        from maskwright.training.trackers import table

        session.chosen_members(member)
        table.check(session.recipe.trackers, "recipe:trackers")
    with session.working():
        for name in names:
            if name != "train" and not session.main:
                continue  # one process is enough for all but training
            with spending(session.run.timing, name) if session.main else nullcontext():
                _do(session, name, member, fold)
            if session.main and (name not in ("inspect", "split") or not (session.run.root / "members").exists()):
                session.keep_recipe()
            session.stop.check(f"stage {name} is finished")


def _do(session: Session, name: str, member: str | None, fold: int | None) -> None:
    """Do one stage."""
    if name == "train":
        _meet()
        with nullcontext() if session.main else session.stop.listening():
            stages.train(session, member, fold)
    elif name == "predict":
        stages.predict(session, member)
    else:
        _table()[name](session)


def _meet() -> None:
    """Wait until all processes of a distributed training are here: by then the main one has written the folds."""
    if int(os.environ.get("WORLD_SIZE") or "1") > 1:
        from maskwright.training.cluster import Cluster

        Cluster().from_main(0)


def _table() -> dict[str, Callable[[Session], None]]:
    return {
        "inspect": stages.inspect,
        "split": stages.split,
        "decide": deliver.decide,
        "export": export.export,
        "report": deliver.report,
    }
