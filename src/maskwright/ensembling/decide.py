"""Where weights and thresholds are chosen: on out-of-fold pixels, with every choice made to prove itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe import blocks
from maskwright.core.stop import Stop
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.clean import Cleaning
from maskwright.ensembling.cleaning import prove
from maskwright.ensembling.evidence import Choice, ClassEvidence, Evidence, MemberScore, Score
from maskwright.ensembling.honest import Chooser, Gain, Procedure, Setting, compare, count_items
from maskwright.ensembling.oof import Item, OutOfFold
from maskwright.ensembling.record import NOTHING_TUNED, gather
from maskwright.ensembling.select import Path, Shares, fixed_candidates, greedy, needs_greedy
from maskwright.ensembling.tally import Table, Tally
from maskwright.ensembling.thresholds import Edges, Rule, edge_of, edge_value
from maskwright.scoring.scores import score

SAMPLE_BYTES = 1 << 25
"""Memory for the pixels that greedy selection looks at; what it finds is then counted on all pixels."""


@dataclass(frozen=True)
class _Sample:
    """Some pixels of one item."""

    values: NDArray[np.uint16]
    scale: int
    label: NDArray[np.uint8]


def decide(
    oof: OutOfFold, task: Task, block: blocks.Decision, reporter: Reporter, stop: Stop | None = None
) -> Decision:
    """Choose weights and thresholds, and keep only what nested evidence supports.

    Items are read two or three times, one after another; memory does not grow with them, but for four
    numbers of each item and plane.

    Args:
        oof: out-of-fold probabilities of all members, and the truth.
        task: what is predicted.
        block: metric, blend and thresholds as the recipe wants them.
        reporter: gets progress and a line for each choice.
        stop: looked at between items; nothing is kept when it is raised.

    Returns:
        the decision with its evidence.

    Raises:
        InputError: a stored file is damaged or does not fit its label.
        Interrupted: a signal asked to stop.
    """
    assert task == oof.task, "the items were opened for another task"
    rule = resolve_rule(task, block.thresholds)
    default = () if rule == "argmax" else (edge_of(block.threshold),) * task.planes
    chooser = _measure(oof, block, rule, default, reporter, stop)
    procedures = _procedures(len(oof.members), block.blend, rule)
    choices = _prove(oof, chooser, procedures, reporter, stop) if len(procedures) > 1 else ()
    kept = Procedure(
        *(any(choice.what == what and choice.kept for choice in choices) for what in ("weights", "thresholds"))
    )
    final = chooser.choose(kept)
    cleaned = prove(oof, chooser, kept, reporter, stop) if block.postprocess == "auto" else None
    if cleaned is not None:
        choices = (*choices, cleaned.choice)
        cleaned = cleaned if cleaned.choice.kept else None
    for choice in choices:
        verdict = "kept" if choice.kept else "not kept"
        reporter.say(f"decide: {choice.what} {choice.outcome} {verdict}: {choice.reason}")
    return Decision(
        metric=block.metric,
        rule=rule,
        shares=dict(zip(oof.members, final.shares, strict=True)),
        edges=final.edges,
        kept_weights=kept.weights,
        kept_thresholds=kept.thresholds,
        fixed_edge=edge_of(block.threshold),
        cleaning=Cleaning() if cleaned is None else cleaned.cleaning,
        recipe=oof.recipe,
        evidence=gather(oof, chooser, kept, choices, cleaned),
    )


def undecided(members: Sequence[str], task: Task, block: blocks.Decision, recipe: str = "") -> Decision:
    """Return equal shares and the recipe's fixed threshold, where no item was held out to choose anything on.

    Args:
        members: in their order.
        task: what is predicted.
        block: thresholds and metric as the recipe wants them.
        recipe: hash of the recipe.
    """
    rule = resolve_rule(task, block.thresholds)
    edge = edge_of(block.threshold)
    edges = () if rule == "argmax" else (edge,) * task.planes
    nothing: dict[str, Score] = dict.fromkeys(("iou", "dice", "precision", "recall"))
    return Decision(
        metric=block.metric,
        rule=rule,
        shares=dict.fromkeys(members, 1),
        edges=edges,
        kept_weights=False,
        kept_thresholds=False,
        fixed_edge=edge,
        recipe=recipe,
        evidence=Evidence(
            honest=None,
            optimistic=None,
            default=None,
            items=0,
            pixels=0,
            members=tuple(
                MemberScore(name=name, fixed=None, tuned_honest=None, tuned_optimistic=None, edges=edges)
                for name in members
            ),
            classes=tuple(ClassEvidence(name=name, support=0, **nothing) for name in task.plane_names),
        ),
    )


def resolve_rule(task: Task, thresholds: Rule | Literal["auto"]) -> Rule:
    """Return the threshold rule, with auto replaced by what the task means."""
    if thresholds != "auto":
        return thresholds
    rules: dict[str, Rule] = {"binary": "global", "multilabel": "per_class", "multiclass": "argmax"}
    return rules[task.kind]


def _procedures(members: int, blend: str, rule: Rule) -> tuple[Procedure, ...]:
    """Return what can be tuned, nothing first."""
    weights = (False, True) if members > 1 and blend == "weighted" else (False,)
    thresholds = (False, True) if rule in ("global", "per_class") else (False,)
    return tuple(Procedure(w, t) for w in weights for t in thresholds)


def _measure(
    oof: OutOfFold, block: blocks.Decision, rule: Rule, default: Edges, reporter: Reporter, stop: Stop | None
) -> Chooser:
    """Count all candidates on all items; for many members find the candidates first."""
    members = len(oof.members)
    candidates = fixed_candidates(members, block.blend)
    tally = Tally(oof.task, block.metric, candidates, oof.folds)
    chosen: Sequence[Shares] = candidates if block.blend == "weighted" else candidates[:1]
    if not needs_greedy(members, block.blend):
        _fill(tally, oof, reporter, stop)
        return Chooser(tally, rule, default, lambda left_out: chosen)
    samples = _fill(tally, oof, reporter, stop, stride=_stride(oof))
    assert samples is not None
    found = _select(oof, samples, block.metric, rule, default)
    new = [shares for shares in dict.fromkeys(found.values()) if shares not in candidates]
    if new:
        more = Tally(oof.task, block.metric, new, oof.folds)
        _fill(more, oof, reporter, stop)
        tally.take(more)
    return Chooser(tally, rule, default, lambda left_out: tuple(dict.fromkeys((*chosen, found[left_out]))))


def _stride(oof: OutOfFold) -> int:
    """Return of how many pixels one is looked at by greedy selection."""
    cost = oof.task.planes * (2 * len(oof.members) + 1)
    return max(1, -(-oof.pixels * cost // SAMPLE_BYTES))


def _fill(
    tally: Tally, oof: OutOfFold, reporter: Reporter, stop: Stop | None, stride: int | None = None
) -> dict[int, list[_Sample]] | None:
    """Count every item for every candidate of a tally; with a stride, keep some pixels of each too."""
    samples: dict[int, list[_Sample]] = {fold: [] for fold in oof.folds}

    def work(item: Item) -> tuple[Table, _Sample | None]:
        table = tally.measure(item.values, item.scale, item.label, item.valid)
        return table, None if stride is None else _draw(item, stride)

    for entry, (table, sample) in oof.each(work, reporter, "decide: candidates", stop):
        tally.add(entry.fold, table)
        if sample is not None:
            samples[entry.fold].append(sample)
    return None if stride is None else samples


def _draw(item: Item, stride: int) -> _Sample:
    """Take one valid pixel of each `stride`, at a random place within, seeded by the item's key."""
    places = np.flatnonzero(item.valid)
    if stride > 1:
        rng = np.random.default_rng(list(item.entry.key.encode()))
        starts = np.arange(0, places.size, stride)
        places = places[np.minimum(starts + rng.integers(0, stride, starts.size), places.size - 1)]
    values = item.values.reshape(*item.values.shape[:2], -1)[:, :, places]
    label = item.label.reshape(*item.label.shape[:-2], -1)[..., places]
    return _Sample(values, item.scale, label)


def _select(
    oof: OutOfFold, samples: Mapping[int, list[_Sample]], metric: str, rule: Rule, default: Edges
) -> dict[Path, Shares]:
    """Select greedily on sampled pixels: once on all folds, and once without each fold."""
    seen = Tally(oof.task, metric, (), oof.folds)
    together = [(fold, part) for fold, drawn in samples.items() for part in _joined(drawn)]

    def measure(new: Sequence[Shares]) -> None:
        if not new:
            return
        fresh = Tally(oof.task, metric, new, oof.folds)
        for fold, part in together:
            everywhere = np.ones(part.values.shape[2:], bool)
            fresh.add(fold, fresh.measure(part.values, part.scale, part.label, everywhere))
        seen.take(fresh)

    def value(shares: Shares, left_out: Path) -> float:
        folds = [fold for fold in oof.folds if fold != left_out]
        return seen.score(shares, folds, seen.tuned(shares, folds, rule, default))

    return greedy(len(oof.members), [None, *oof.folds], measure, value)


def _joined(samples: Sequence[_Sample]) -> list[_Sample]:
    """Put the samples of one scale into one."""
    found = []
    for scale in sorted({sample.scale for sample in samples}):
        parts = [sample for sample in samples if sample.scale == scale]
        values = np.concatenate([part.values for part in parts], axis=-1)
        found.append(_Sample(values, scale, np.concatenate([part.label for part in parts], axis=-1)))
    return found


def _prove(
    oof: OutOfFold, chooser: Chooser, procedures: Sequence[Procedure], reporter: Reporter, stop: Stop | None
) -> tuple[Choice, ...]:
    """Add one tuned part at a time, thresholds first, as long as each proves itself against the last."""
    counted = count_items(oof, {each: chooser.nested(each) for each in procedures}, reporter, stop)
    metric = chooser.tally.metric

    def gain(before: Procedure, after: Procedure) -> Gain:
        return compare(counted[before], counted[after], oof, metric)

    made: dict[str, Choice] = {}
    kept = NOTHING_TUNED
    for what in ("thresholds", "weights", "thresholds"):
        after = kept._replace(**{what: True})
        if after not in procedures or getattr(kept, what) or (what == "thresholds" and made and not kept.weights):
            continue
        found = gain(kept, after)
        made[what] = _choice(what, kept, after, found, oof, chooser)
        kept = after if found.believed else kept
    return tuple(made.values())


def _choice(what: str, before: Procedure, after: Procedure, found: Gain, oof: OutOfFold, chooser: Chooser) -> Choice:
    setting = chooser.choose(after)
    metric = chooser.tally.metric
    rosy = [np.nan_to_num(score(chooser.optimistic(each), metric)) for each in (before, after)]
    return Choice.model_validate(
        {
            "what": what,
            "kept": found.believed,
            "outcome": _in_words(what, setting, oof),
            "honest_gain": found.gain,
            "optimistic_gain": float(rosy[1] - rosy[0]),
            "low": found.low,
            "high": found.high,
            "folds_better": found.folds_better,
            "folds": found.folds,
            "units": found.units,
            "reason": found.reason,
        }
    )


def _in_words(what: str, setting: Setting, oof: OutOfFold) -> str:
    if what == "weights":
        total = sum(setting.shares)
        return ", ".join(f"{name} {share / total:.2f}" for name, share in zip(oof.members, setting.shares, strict=True))
    values = [f"{edge_value(edge):.3f}" for edge in setting.edges]
    if len(set(values)) == 1:
        return values[0]
    return ", ".join(f"{name} {value}" for name, value in zip(oof.task.plane_names, values, strict=True))
