"""The scores behind a decision, gathered from the counts for decision.json and the report."""

from __future__ import annotations

import numpy as np

from maskwright.core.labels import Task
from maskwright.ensembling.cleaning import Cleaned
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
from maskwright.ensembling.honest import Chooser, Procedure, Setting
from maskwright.ensembling.oof import OutOfFold
from maskwright.ensembling.select import Shares, alone, uniform
from maskwright.ensembling.thresholds import curves
from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import per_class, score

NOTHING_TUNED = Procedure(False, False)


def gather(
    oof: OutOfFold, chooser: Chooser, kept: Procedure, choices: tuple[Choice, ...], cleaned: Cleaned | None = None
) -> Evidence:
    """Return all scores of a decision.

    Args:
        oof: the items it was made on.
        chooser: counts of all candidates.
        kept: what is tuned in the end.
        choices: what was tried.
        cleaned: counts after cleaning, if that is kept.
    """
    tally = chooser.tally
    honest = chooser.honest(kept) if cleaned is None else Counts(*cleaned.honest.sum(0))
    final = chooser.choose(kept)
    optimistic = chooser.optimistic(kept) if cleaned is None else cleaned.optimistic
    confusion = tally.pooled(final.shares, tally.folds) if oof.task.kind == "multiclass" else np.zeros((0, 0), int)
    return Evidence(
        honest=plain_score(score(honest, tally.metric)),
        optimistic=plain_score(score(optimistic, tally.metric)),
        default=plain_score(score(chooser.optimistic(NOTHING_TUNED), tally.metric)),
        items=len(oof.entries),
        pixels=int(honest.pixels[0]),
        choices=choices,
        members=tuple(_member(index, name, chooser, len(oof.members)) for index, name in enumerate(oof.members)),
        candidates=tuple(_candidate(shares, chooser) for shares in tally.candidates),
        folds=_folds(oof, chooser, kept, cleaned),
        classes=_classes(oof, chooser, final.shares, honest),
        confusion=tuple(tuple(int(value) for value in row) for row in confusion),
    )


def _member(index: int, name: str, chooser: Chooser, members: int) -> MemberScore:
    """Score one member as if it were the only one."""
    tally, single = chooser.tally, alone(members, index)
    own = Chooser(tally, chooser.rule, chooser.default, lambda left_out: (single,))
    tuned = Procedure(False, True)
    return MemberScore(
        name=name,
        fixed=plain_score(score(own.optimistic(NOTHING_TUNED), tally.metric)),
        tuned_honest=plain_score(score(own.honest(tuned), tally.metric)),
        tuned_optimistic=plain_score(score(own.optimistic(tuned), tally.metric)),
        edges=own.choose(tuned).edges,
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


def _folds(oof: OutOfFold, chooser: Chooser, kept: Procedure, cleaned: Cleaned | None) -> tuple[FoldScore, ...]:
    tally = chooser.tally
    equal = uniform(len(oof.members))

    def honest(fold: int, setting: Setting) -> float:
        if cleaned is None:
            return tally.score(setting.shares, [fold], setting.edges)
        mine = [entry.fold == fold for entry in oof.entries]
        return score(Counts(*cleaned.honest[mine].sum(0)), tally.metric)

    return tuple(
        FoldScore(
            fold=fold,
            items=sum(entry.fold == fold for entry in oof.entries),
            default=plain_score(tally.score(equal, [fold], chooser.default)),
            honest=plain_score(honest(fold, setting)),
            shares=setting.shares,
            edges=setting.edges,
        )
        for fold, setting in chooser.nested(kept).items()
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
        drawn = curves(tally.pooled(shares, tally.folds), tally.metric)
        lines = [tuple(plain_score(value) for value in line[1:]) for line in drawn]
    found = class_scores(honest, oof.task)
    return tuple(ClassEvidence(**each.model_dump(), curve=line) for each, line in zip(found, lines, strict=True))
