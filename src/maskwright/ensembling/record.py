"""The scores behind a decision, gathered from the counts for decision.json and the report."""

from __future__ import annotations

import numpy as np

from maskwright.core.labels import Task
from maskwright.ensembling.evidence import (
    CandidateScore,
    Choice,
    ClassEvidence,
    ClassScore,
    Evidence,
    FoldScore,
    MemberScore,
    Score,
    plain_score,
)
from maskwright.ensembling.honest import Chooser, Procedure, State
from maskwright.ensembling.oof import OutOfFold
from maskwright.ensembling.select import Shares, alone, uniform
from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import per_class

NOTHING_TUNED = Procedure(False, False)


def gather(oof: OutOfFold, chooser: Chooser, state: State, choices: tuple[Choice, ...]) -> Evidence:
    """Return all scores of a decision.

    Args:
        oof: the items it was made on.
        chooser: counts of all candidates.
        state: what is answered in the end, and how the items fare.
        choices: what was tried.
    """
    tally, final = chooser.tally, state.plan.final
    measure = tally.measure
    honest = Counts(*state.honest.sum(0))
    confusion = tally.pooled(final.shares, tally.folds) if oof.task.kind == "multiclass" else np.zeros((0, 0), int)
    return Evidence(
        honest=plain_score(measure.score(measure.lift(state.honest).sum(0))),
        optimistic=plain_score(measure.score(measure.lift(state.rosy).sum(0))),
        default=plain_score(measure.score(chooser.optimistic(NOTHING_TUNED))),
        items=len(oof.entries),
        pixels=int(honest.pixels[0]),
        choices=choices,
        members=tuple(_member(index, name, chooser, len(oof.members)) for index, name in enumerate(oof.members)),
        candidates=tuple(_candidate(shares, chooser) for shares in tally.candidates),
        folds=_folds(oof, chooser, state),
        classes=_classes(oof, chooser, final.shares, honest),
        confusion=tuple(tuple(int(value) for value in row) for row in confusion),
    )


def _member(index: int, name: str, chooser: Chooser, members: int) -> MemberScore:
    """Score one member as if it were the only one."""
    tally, single = chooser.tally, alone(members, index)
    own = Chooser(tally, chooser.rule, chooser.default, lambda left_out: (single,))
    tuned = Procedure(False, True)
    apart = tally.measure.classes(tally.sums(single, tally.folds, chooser.default))
    return MemberScore(
        name=name,
        fixed=plain_score(tally.measure.score(own.optimistic(NOTHING_TUNED))),
        tuned_honest=plain_score(tally.measure.score(own.honest(tuned))),
        tuned_optimistic=plain_score(tally.measure.score(own.optimistic(tuned))),
        edges=own.choose(tuned).edges,
        classes=tuple(plain_score(value) for value in apart),
    )


def _candidate(shares: Shares, chooser: Chooser) -> CandidateScore:
    tally = chooser.tally
    edges = tally.tuned(shares, tally.folds, chooser.rule, chooser.default)
    return CandidateScore(
        shares=shares,
        fixed=plain_score(tally.score(shares, tally.folds, chooser.default)),
        tuned=plain_score(tally.score(shares, tally.folds, edges)),
        edges=edges,
    )


def _folds(oof: OutOfFold, chooser: Chooser, state: State) -> tuple[FoldScore, ...]:
    tally = chooser.tally
    measure, equal = tally.measure, uniform(len(oof.members))
    folds = np.array([entry.fold for entry in oof.entries])
    return tuple(
        FoldScore(
            fold=fold,
            items=int((folds == fold).sum()),
            default=plain_score(tally.score(equal, [fold], chooser.default)),
            honest=plain_score(measure.score(measure.lift(state.honest[folds == fold]).sum(0))),
            shares=setting.shares,
            edges=setting.edges,
        )
        for fold, setting in state.plan.nested.items()
    )


def class_scores(counts: Counts, task: Task) -> tuple[ClassScore, ...]:
    """Return IoU, Dice, precision and recall of each plane."""
    scores = {metric: per_class(counts, metric) for metric in ("iou", "dice", "precision", "recall")}
    return tuple(
        ClassScore(
            name=name,
            support=int(counts.truth[index]),
            **{metric: plain_score(values[index]) for metric, values in scores.items()},
        )
        for index, name in enumerate(task.plane_names)
    )


def _classes(oof: OutOfFold, chooser: Chooser, shares: Shares, honest: Counts) -> tuple[ClassEvidence, ...]:
    tally = chooser.tally
    lines: list[tuple[Score, ...]] = [()] * oof.task.planes
    if oof.task.kind != "multiclass":
        drawn = tally.curve(shares, tally.folds)
        lines = [tuple(plain_score(value) for value in line[1:]) for line in drawn]
    found = class_scores(honest, oof.task)
    return tuple(ClassEvidence(**each.model_dump(), curve=line) for each, line in zip(found, lines, strict=True))
