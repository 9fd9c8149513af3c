"""The stages decide and report, which need neither GPU nor torch; final answers; and the last words of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.files import read_json, write_json
from maskwright.core.labels import Task
from maskwright.core.recipe.load import digest, recipe_hash
from maskwright.core.recipe.outputs import ReportOutput
from maskwright.core.runs import Split
from maskwright.data.folds.folds import HOLDOUT, TRAIN_ONLY, proving_rows
from maskwright.data.items import read_item
from maskwright.data.sources.base import Source
from maskwright.ensembling.blend import Decision, Floats, answer, blend, read_decision, write_decision
from maskwright.ensembling.crf import Look, colours_of
from maskwright.ensembling.decide import decide as choose
from maskwright.ensembling.decide import undecided
from maskwright.ensembling.diagnosis import Diagnosis, diagnose, write_diagnosis
from maskwright.ensembling.items import ItemRow, SetScore, rows_of, score_set, write_items
from maskwright.ensembling.oof import Looks, OutOfFold, held_out
from maskwright.inference.store import Store
from maskwright.workflows.inputs import predict_inputs, split_inputs
from maskwright.workflows.scene_scores import read_scene_scores, scene_scores
from maskwright.workflows.session import Session
from maskwright.workflows.sheets import Piece
from maskwright.workflows.stages import store_of

Label = NDArray[np.uint8]


@dataclass(frozen=True)
class Target:
    """One item that gets a final answer."""

    key: str
    split: Split


def decide(session: Session) -> None:
    """Choose blend and thresholds on out-of-fold probabilities; write decision.json and items.csv."""
    inputs = decide_inputs(session)
    need(session, [f"predict/{name}" for name in session.chosen_members()], "predict")

    files = [session.run.decision, session.run.items, session.run.held_out, session.run.diagnosis]
    files += [session.run.scenes] if session.recipe.score.objects and session.recipe.folds.kind != "all" else []
    if session.fresh("decide", inputs, files, "decide"):
        return
    task, stop = session.recipe.task, session.stop
    decision, rows, looked = _choose(session)
    found = []
    for split, source, keys in held_out_sets(session):
        stores = {name: store_of(session, name, split) for name in decision.shares}
        items = held_out(keys, stores, truth_of(session, source), split, task, looks_of(session, source))
        result, more = score_set(items, decision, session.reporter, stop)
        found.append(result)
        rows += more
    scenes = scene_scores(session, decision, rows, partial(_piece, session, decision))
    with session.replacing("decide", inputs):
        session.run.scenes.unlink(missing_ok=True)
        if scenes is not None:
            write_json(session.run.scenes, scenes.model_dump(mode="json"))
        write_items(session.run.items, rows, task)
        write_json(session.run.held_out, [result.model_dump(mode="json") for result in found])
        write_diagnosis(session.run.diagnosis, looked)
        write_decision(session.run.decision, decision)


def _piece(session: Session, decision: Decision, key: str) -> Piece:
    """Return the final answer to an out-of-fold item of a binary task beside its truth."""
    label, probability = answer_of(session, decision, Target(key, "oof"))
    truth, valid = truth_of(session, session.train_source)(key)
    return Piece(label, probability[0], truth, valid)


def _choose(session: Session) -> tuple[Decision, list[ItemRow], Diagnosis]:
    """Choose on out-of-fold items, score and diagnose each; where there are none, take what the recipe fixes."""
    task, block, kind = session.recipe.task, session.recipe.decision, session.recipe.folds
    if kind.kind == "all":
        session.reporter.say("decide: equal weights and the fixed threshold, since no item was held out to choose on")
        return undecided(session.chosen_members(), task, block, recipe_hash(session.recipe)), [], Diagnosis()
    truth, single = truth_of(session, session.train_source), kind.count == 1
    parts = proving_rows(session.fold_rows(), kind)
    looks = looks_of(session, session.train_source)
    oof = OutOfFold(stores_of(session, "oof"), parts, truth, task, recipe_hash(session.recipe), single, looks)
    decided = choose(oof, task, block, session.reporter, session.stop)
    rows = rows_of(oof, decided.decision, decided.rosy)
    looked = diagnose(oof, decided, task, session.reporter, session.stop)
    return decided.decision, [replace(row, fold=0) for row in rows] if single else rows, looked


def held_out_sets(session: Session) -> list[tuple[Split, Source, tuple[str, ...]]]:
    """Return the labelled items that were in no fold: the test set first, then the hold-out."""
    sets: list[tuple[Split, Source, tuple[str, ...]]] = []
    if session.test_source is not None and session.test_source.labelled:
        sets.append(("test", session.test_source, session.test_source.keys))
    held = tuple(row.key for row in session.fold_rows() if row.fold == HOLDOUT)
    if held:
        sets.append(("holdout", session.train_source, held))
    return sets


def read_held_out(session: Session) -> list[SetScore]:
    """Read what decide found on labelled items that were in no fold."""
    return [SetScore.model_validate(plain) for plain in read_json(session.run.held_out)]


def decide_inputs(session: Session) -> dict[str, Any]:
    """Return what the decision depends on."""
    plain = session.plain["decision"]
    return {
        "decision": {key: value for key, value in plain.items() if key != "crf" or value is not None},
        "split": digest(split_inputs(session)),
        "members": {name: digest(predict_inputs(session, name)) for name in session.recipe.members},
        **({"score": session.plain["score"]} if session.recipe.score.objects else {}),
    }


def stores_of(session: Session, split: Split) -> dict[str, Store]:
    """Return each member's stored probabilities of a split."""
    return {name: store_of(session, name, split) for name in session.recipe.members}


def truth_of(session: Session, source: Source) -> Callable[[str], tuple[Label, NDArray[np.bool_]]]:
    """Return a function that reads an item's label and validity."""
    task, limit = session.recipe.task, session.recipe.data.max_pixels

    def truth(key: str) -> tuple[Label, NDArray[np.bool_]]:
        item = read_item(source, key, task, limit)
        assert item.label is not None, key
        return item.label, item.valid

    return truth


def looks_of(session: Session, source: Source) -> Looks:
    """Return a function that reads the colours of an item, for a random field that wants them."""
    limit = session.recipe.data.max_pixels

    def looks(key: str) -> Label:
        pixels, _ = source.read_image(key, limit)
        return colours_of(shown_bands(session, pixels), str(source.image_path(key)))

    return looks


def shown_bands(session: Session, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the bands that models get, in their order, of pixels (..., B)."""
    bands = session.recipe.data.bands
    return pixels if bands is None else pixels[..., [band - 1 for band in bands]]


def need(session: Session, units: Sequence[str], verb: str) -> None:
    """Refuse to go on before earlier stages are finished with the recipe as it is now."""
    inputs: dict[str, dict[str, Any]] = {f"predict/{n}": predict_inputs(session, n) for n in session.recipe.members}
    inputs |= {"decide": decide_inputs(session), "export": export_inputs(session)}
    for unit in units:
        state = session.run.check(unit, inputs[unit])
        if not state.done:
            why = f" ({'; '.join(state.changes[:3])})" if state.changes else ""
            raise InputError(
                f"{unit} is not finished{why}", where=session.run.root, fix=f"run maskwright {verb}, or maskwright run"
            )


def targets(session: Session) -> tuple[Target, ...]:
    """Return the items that get a final answer: the test items, or else all labelled ones that were held out.

    They come in the order of the file that lists them, where one does, else in the order of keys.
    """
    if session.test_source is not None:
        return tuple(Target(key, "test") for key in session.test_source.ordered() or session.test_source.keys)
    rows = {row.key: row for row in session.fold_rows() if row.fold != TRAIN_ONLY}
    order = session.train_source.ordered() or rows
    return tuple(Target(key, "oof" if rows[key].fold >= 0 else "holdout") for key in order if key in rows)


def label_of(session: Session, decision: Decision, target: Target) -> Label:
    """Return the final answer of an item at native size: uint8 (H, W), or (K, H, W) for multilabel."""
    return answer_of(session, decision, target)[0]


def answer_of(session: Session, decision: Decision, target: Target) -> tuple[Label, Floats]:
    """Return the final answer of an item, and the blended probabilities it was made from, float32 (K, H, W)."""
    source = session.test_source if target.split == "test" else session.train_source
    assert source is not None, target
    look = partial(looks_of(session, source), target.key)
    return label_from(stores_of(session, target.split), decision, target.key, session.recipe.task, look)


def label_from(
    stores: Mapping[str, Store], decision: Decision, key: str, task: Task, look: Look | None = None
) -> tuple[Label, Floats]:
    """Return the final answer of an item from stores of the members that have a share; see answer_of."""
    items = {name: stores[name].read_item(key) for name in decision.needed}
    probability = blend({name: stored for name, (stored, _, _) in items.items()}, decision)
    label = answer(probability, decision, task, look)
    valid = items[decision.needed[0]][1]
    return (label if valid.all() else label * valid.astype(np.uint8)), probability


def need_decision(session: Session) -> None:
    """Refuse to go on before a decision is made from the recipe as it is now."""
    need(session, ["decide"], "decide")


def export_inputs(session: Session) -> dict[str, Any]:
    """Return what the written files depend on."""
    files = [block for block in session.plain["output"] if block["format"] != "report"]
    return {"output": files, "decide": digest(decide_inputs(session))}


def report(session: Session) -> None:
    """Write report.html from what the other stages left in the run folder."""
    need(session, ["decide", "export"], "export")
    blocks = [block for block in session.recipe.output if isinstance(block, ReportOutput)]
    if not blocks:
        session.run.forget("report")
        session.run.report.unlink(missing_ok=True)  # an old page would tell of other scores
        session.reporter.say("report: the recipe asks for none")
        return
    inputs = report_inputs(session, blocks[0])
    if session.fresh("report", inputs, [session.run.report], "report"):
        return
    from maskwright.workflows.story.report import write_report

    with session.replacing("report", inputs):
        write_report(session, blocks[0])


def suspects_inputs(session: Session) -> dict[str, Any]:
    """Return what the list of suspects depends on."""
    return {"decide": digest(decide_inputs(session))}


def known_suspects(session: Session) -> bool:
    """Say whether labels were ranked under the decision as it is now."""
    return session.run.suspects.exists() and session.run.check("suspects", suspects_inputs(session)).done


def report_inputs(session: Session, block: ReportOutput) -> dict[str, Any]:
    """Return what the report depends on; a licence that was told after the training is part of it."""
    ledger = read_json(session.run.weights) if session.run.weights.exists() else []
    return {
        "report": block.model_dump(mode="json"),
        "export": digest(export_inputs(session)),
        "weights": digest(ledger),
        **({"suspects": digest(suspects_inputs(session))} if known_suspects(session) else {}),
        **({"selftrain": digest(read_json(session.run.selftrain))} if session.run.selftrain.exists() else {}),
    }


def tell(session: Session) -> None:
    """Say the scores and where the files are."""
    decision = read_decision(session.run.decision)
    evidence, metric = decision.evidence, decision.measure.name
    how = "mean over classes" if decision.per == "image" else "mean over classes, pixels pooled"
    say = session.reporter.say
    say(
        f"out-of-fold {metric}: {number(evidence.honest)} honest (nested), {number(evidence.optimistic)} optimistic, "
        f"{number(evidence.default)} with nothing tuned; {evidence.items} items, {how}"
        if evidence.items
        else f"out-of-fold {metric}: none, since every item was trained on (folds.kind: all)"
    )
    for member in evidence.members if evidence.items else ():
        say(f"  member {member.name}: {number(member.fixed)}")
    _tell_scenes(session)
    for held in read_held_out(session):
        say(f"{held.split} {metric}: {number(held.decided)} on {held.items} items that no fold saw")
        for alone in held.members:
            say(f"  member {alone.name} alone: {number(alone.fixed)}, with its own thresholds {number(alone.tuned)}")
    say(f"masks and submissions: {session.run.output}")
    if session.run.report.exists():
        say(f"report: {session.run.report}")


def _tell_scenes(session: Session) -> None:
    """Say the scores of scenes and of objects, if there are any."""
    found = read_scene_scores(session)
    if found is None:
        return
    say, unit = session.reporter.say, "ground" if found.unit == "m2" else "pixels"
    weighed = f"{number(found.by_area)} weighed by their {unit}, {number(found.mean)} counted alike"
    say(f"{len(found.scenes)} scenes, {found.metric} out of fold: {weighed}")
    if found.objects is not None and found.objects_by_area is not None:
        told, mean = found.objects, found.objects_by_area
        sides = f"{told['predicted']} predicted, {told['true']} true, {told['pairs']} pairs at IoU {told['iou']}"
        say(f"objects out of fold: F1 {number(told['f1'])} ({sides}); scene by scene, weighed: {number(mean['f1'])}")


def number(score: float | None) -> str:
    """Return a score with four digits."""
    return "-" if score is None else f"{score:.4f}"
