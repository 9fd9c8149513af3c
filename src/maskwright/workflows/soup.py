"""The verb soup: kept weights of trained folds mixed into one file for each fold."""

from __future__ import annotations

from maskwright.core.errors import unknown
from maskwright.core.recipe.load import digest
from maskwright.ensembling.decide import measure_of
from maskwright.workflows.inputs import check_fold, refuse_untrained, train_inputs
from maskwright.workflows.jobs import fold_job
from maskwright.workflows.session import Session

KINDS = ("greedy", "uniform")


def run_soup(session: Session, member: str | None, fold: int | None, kind: str | None) -> None:
    """Mix the kept weights of trained folds.

    Args:
        session: an opened recipe.
        member: None: all.
        fold: None: all.
        kind: greedy or uniform; None: as predict.soup says.

    Raises:
        InputError: an unknown kind, or a fold that was asked for is not trained.
    """
    if kind is not None and kind not in KINDS:
        raise unknown("kind of soup", kind, KINDS, "--kind")
    count = session.recipe.folds.count
    check_fold(fold, count)
    names = session.chosen_members(member)
    wanted = range(count) if fold is None else [fold]
    with session.working():
        for name in names:
            refuse_untrained(session, name, wanted)
            for index in wanted:
                soup_fold(session, name, index, kind)
                session.stop.check(f"soup {name} fold {index} is made")


def soup_fold(session: Session, name: str, fold: int, kind: str | None = None) -> None:
    """Mix a trained fold's kept weights, if that is not done.

    Args:
        session: an opened recipe.
        name: of the member.
        fold: from 0.
        kind: None: as predict.soup says.
    """
    from maskwright.training.soup import LEDGER, SOUP, for_soup, make_soup

    kind = kind or session.recipe.members[name].predict.soup
    metric = measure_of(session.recipe.decision, session.recipe.task).metric
    unit, label, folder = f"soup/{name}/fold{fold}", f"soup {name} fold {fold}", session.run.fold(name, fold)
    inputs = {"kind": kind, "metric": metric, "trained": digest(train_inputs(session, name))}
    if session.fresh(unit, inputs, [folder / SOUP, folder / LEDGER], label):
        return
    with session.replacing(unit, inputs):
        job = for_soup(fold_job(session, name, fold), metric)
        told = make_soup(job, folder, kind, session.reporter, session.stop)
    best = max(each["score"] or 0.0 for each in told["candidates"])
    reached = "" if told["score"] is None else f", {metric} {told['score']:.4f} (best of them alone {best:.4f})"
    session.reporter.say(f"{label}: {len(told['went_in'])} of {len(told['candidates'])} weights went in{reached}")
