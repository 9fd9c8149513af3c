"""Where weights, thresholds and all else are chosen: on out-of-fold pixels, with every choice made to prove itself.

The order of choices: thresholds, weights on top of them, thresholds again if weights are kept; then temperatures of
the members, weights of classes, a random field, and cleaning, each on top of what is kept so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe import blocks
from maskwright.core.recipe.crf import CrfChoice
from maskwright.core.stop import Stop
from maskwright.ensembling import cleaning, factors, temperatures
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.crf import in_words
from maskwright.ensembling.evidence import Choice, ClassEvidence, Evidence, MemberScore, Score
from maskwright.ensembling.honest import Chooser, ItemCounts, Plan, Procedure, State, count_plans, verdict
from maskwright.ensembling.oof import OutOfFold
from maskwright.ensembling.record import NOTHING_TUNED, gather
from maskwright.ensembling.sample import Samples
from maskwright.ensembling.search import Rules, measure_candidates
from maskwright.ensembling.settle import Setting
from maskwright.ensembling.thresholds import Rule, edge_of, edge_value
from maskwright.scoring.measures import Measure
from maskwright.scoring.scores import f_name


@dataclass(frozen=True)
class Decided:
    """A decision, and how every item fares under it."""

    decision: Decision
    honest: ItemCounts
    """tp, fp, fn, tn of each item in the order of its set, int64 (items, 4, K), under what the other folds chose."""
    rosy: ItemCounts
    """The same under the final decision."""


def decide(oof: OutOfFold, task: Task, block: blocks.Decision, reporter: Reporter, stop: Stop | None = None) -> Decided:
    """Choose how probabilities become one answer, and keep only what nested evidence supports.

    Items are read a few times, one after another; memory does not grow with them, but for eight numbers of each item
    and plane.

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
    measure, rules = measure_of(block, task), _rules(task, block)
    chooser, samples = measure_candidates(oof, block, measure, rules, reporter, stop)
    state, kept, choices = _prove(oof, chooser, _procedures(len(oof.members), block.blend, rules.rule), reporter, stop)
    for step in _steps(oof, chooser, samples, block, kept, reporter, stop):
        made = step.propose(state.plan)
        if made is not None:
            (after,) = count_plans(oof, [made], reporter, stop)
            choice = verdict(step.what, state, after, step.told(made.final), oof, measure)
            if step.sure:
                choice = choice.model_copy(update={"kept": True, "reason": "the recipe says so"})
            choices = (*choices, choice)
            state = after if choice.kept else state
    for choice in choices:
        said = "kept" if choice.kept else "not kept"
        reporter.say(f"decide: {choice.what} {choice.outcome} {said}: {choice.reason}")
    return Decided(_decision(oof, chooser, state, kept, choices, block), state.honest, state.rosy)


def _decision(
    oof: OutOfFold,
    chooser: Chooser,
    state: State,
    kept: Procedure,
    choices: tuple[Choice, ...],
    block: blocks.Decision,
) -> Decision:
    final, measure = state.plan.final, chooser.tally.measure
    steps = final.temperatures or (0,) * len(oof.members)
    return Decision(
        metric=measure.metric,
        per=measure.per,
        empty=measure.empty,
        scored=measure.planes,
        rule=chooser.rule,
        shares=dict(zip(oof.members, final.shares, strict=True)),
        edges=final.edges,
        kept_weights=kept.weights,
        kept_thresholds=kept.thresholds,
        fixed_edge=edge_of(block.threshold),
        temperature_steps={name: step for name, step in zip(oof.members, steps, strict=True) if step},
        factors=final.factors,
        priority=final.priority,
        crf=final.crf,
        cleaning=final.cleaning,
        recipe=oof.recipe,
        evidence=gather(oof, chooser, state, choices),
    )


def undecided(members: Sequence[str], task: Task, block: blocks.Decision, recipe: str = "") -> Decision:
    """Return equal shares and the recipe's fixed threshold, where no item was held out to choose anything on.

    Args:
        members: in their order.
        task: what is predicted.
        block: thresholds and metric as the recipe wants them.
        recipe: hash of the recipe.
    """
    rules, measure = _rules(task, block), measure_of(block, task)
    nothing: dict[str, Score] = dict.fromkeys(("iou", "dice", "precision", "recall"))
    return Decision(
        metric=measure.metric,
        per=measure.per,
        empty=measure.empty,
        scored=measure.planes,
        rule=rules.rule,
        shares=dict.fromkeys(members, 1),
        edges=rules.default,
        kept_weights=False,
        kept_thresholds=False,
        fixed_edge=edge_of(block.threshold),
        priority=rules.priority,
        crf=block.crf.crf if block.crf is not None and block.crf.keep == "always" else None,
        recipe=recipe,
        evidence=Evidence(
            honest=None,
            optimistic=None,
            default=None,
            items=0,
            pixels=0,
            members=tuple(
                MemberScore(name=name, fixed=None, tuned_honest=None, tuned_optimistic=None, edges=rules.default)
                for name in members
            ),
            classes=tuple(ClassEvidence(name=name, support=0, **nothing) for name in task.plane_names),
        ),
    )


def measure_of(block: blocks.Decision, task: Task) -> Measure:
    """Return the score that a recipe asks for."""
    metric = f_name(block.beta) if block.metric == "fbeta" else block.metric
    planes = () if block.classes is None else tuple(task.plane_names.index(name) for name in block.classes)
    return Measure(metric, block.per, block.empty, planes)


def resolve_rule(task: Task, thresholds: Rule | Literal["auto"]) -> Rule:
    """Return the threshold rule, with auto replaced by what the task means."""
    if thresholds != "auto":
        return thresholds
    rules: dict[str, Rule] = {"binary": "global", "multilabel": "per_class", "multiclass": "argmax"}
    return rules[task.kind]


def _rules(task: Task, block: blocks.Decision) -> Rules:
    rule = resolve_rule(task, block.thresholds)
    default = () if rule == "argmax" else (edge_of(block.threshold),) * task.planes
    return Rules(rule, default, tuple(task.plane_names.index(name) for name in block.priority))


def _procedures(members: int, blend: str, rule: Rule) -> tuple[Procedure, ...]:
    """Return what can be tuned, nothing first."""
    weights = (False, True) if members > 1 and blend == "weighted" else (False,)
    thresholds = (False, True) if rule in ("global", "per_class") else (False,)
    return tuple(Procedure(w, t) for w in weights for t in thresholds)


def _prove(
    oof: OutOfFold, chooser: Chooser, procedures: Sequence[Procedure], reporter: Reporter, stop: Stop | None
) -> tuple[State, Procedure, tuple[Choice, ...]]:
    """Add one tuned part at a time, thresholds first, as long as each proves itself against the last."""
    plans = [Plan(chooser.nested(each), chooser.choose(each)) for each in procedures]
    states = dict(zip(procedures, count_plans(oof, plans, reporter, stop), strict=True))
    made: dict[str, Choice] = {}
    kept = NOTHING_TUNED
    for what in ("thresholds", "weights", "thresholds"):
        after = kept._replace(**{what: True})
        if after not in procedures or getattr(kept, what) or (what == "thresholds" and made and not kept.weights):
            continue
        outcome = _in_words(what, states[after].plan.final, oof)
        made[what] = verdict(what, states[kept], states[after], outcome, oof, chooser.tally.measure)
        kept = after if made[what].kept else kept
    return states[kept], kept, tuple(made.values())


@dataclass(frozen=True)
class _Step:
    """Something more that may be tuned on top of a plan."""

    what: str
    propose: Callable[[Plan], Plan | None]
    told: Callable[[Setting], str]
    sure: bool = False
    """Kept whatever the evidence says."""


def _steps(
    oof: OutOfFold,
    chooser: Chooser,
    samples: Samples,
    block: blocks.Decision,
    kept: Procedure,
    reporter: Reporter,
    stop: Stop | None,
) -> list[_Step]:
    """Return what is tried after weights and thresholds, in this order."""
    measure, task = chooser.tally.measure, oof.task
    steps = []
    if block.temperatures == "auto" and len(oof.members) > 1:
        steps.append(
            _Step(
                "temperatures",
                lambda plan: temperatures.heat(oof, chooser, samples, plan, kept.thresholds, reporter, stop),
                lambda setting: temperatures.in_words(setting, oof.members),
            )
        )
    if block.class_weights == "auto" and task.kind == "multiclass":
        steps.append(
            _Step(
                "factors",
                lambda plan: factors.weigh(oof, samples, plan, measure, stop),
                lambda setting: factors.in_words(setting, task.plane_names),
            )
        )
    if block.crf is not None:
        steps.append(_field(block.crf))
    if block.postprocess == "auto":
        steps.append(
            _Step(
                "cleaning",
                lambda plan: cleaning.tidy(oof, plan, measure, reporter, stop),
                lambda setting: cleaning.in_words(setting.cleaning, task),
            )
        )
    return steps


def _field(block: CrfChoice) -> _Step:
    """Return the step that smooths all answers by one random field; there is nothing in it to choose."""
    field = block.crf

    def put(plan: Plan) -> Plan:
        nested = {fold: setting._replace(crf=field) for fold, setting in plan.nested.items()}
        return Plan(nested, plan.final._replace(crf=field))

    return _Step("crf", put, lambda _: in_words(field), block.keep == "always")


def _in_words(what: str, setting: Setting, oof: OutOfFold) -> str:
    if what == "weights":
        total = sum(setting.shares)
        return ", ".join(f"{name} {share / total:.2f}" for name, share in zip(oof.members, setting.shares, strict=True))
    values = [f"{edge_value(edge):.3f}" for edge in setting.edges]
    if len(set(values)) == 1:
        return values[0]
    return ", ".join(f"{name} {value}" for name, value in zip(oof.task.plane_names, values, strict=True))
