"""The stages that need the GPU or the labels: inspect, split, train, predict; each resumes or does nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import read_json, write_json
from maskwright.core.recipe.lineage import stages_of
from maskwright.core.recipe.load import recipe_hash
from maskwright.core.runs import Split
from maskwright.data.audit import audit
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.findings import faults_of
from maskwright.data.folds import folds
from maskwright.data.sources.base import Source
from maskwright.inference.store import Store
from maskwright.workflows import placing, reading
from maskwright.workflows.inputs import (
    inspect_inputs,
    predict_inputs,
    refuse_untrained,
    split_inputs,
    train_inputs,
    trained,
)
from maskwright.workflows.jobs import fold_job
from maskwright.workflows.session import Session
from maskwright.workflows.soup import soup_fold


def inspect(session: Session) -> None:
    """Audit labelled and test items in one parallel pass each; write audit.json and their fingerprints.

    Raises:
        DataError: with every fault of the sets; nothing is written then.
    """
    if any(faults_of(findings) for _, findings in session.joined.values()):  # one run names those of the pixels too
        session.audited.refuse()
    for source in (session.train_source, session.test_source):
        for note in () if source is None else source.notes:
            session.reporter.say(f"note: {note}")
    sets: dict[str, tuple[Path, dict[str, Any]]] = {"train": (session.run.fingerprint, inspect_inputs(session))}
    if session.test_source is not None:
        test_block = {"test": session.plain["data"]["test"]}
        inputs = {**inspect_inputs(session), "data": test_block, "files": session.test_files}
        sets["test"] = (session.run.fingerprint_test, inputs)
    _refuse_stale_training(session, "inspect/train", sets["train"][1])
    fresh = [
        session.fresh(f"inspect/{name}", inputs, [path, session.run.audit], f"inspect {name}")
        for name, (path, inputs) in sets.items()
    ]
    if all(fresh):
        session.files.keep()
        return
    found = session.audited
    found.refuse()  # before anything is written
    with ExitStack() as stack:
        for name, (path, inputs) in sets.items():
            stack.enter_context(session.replacing(f"inspect/{name}", inputs))
            write_json(path, session.portable(found.sets[name].fingerprint.to_plain()))
        write_json(session.run.audit, session.portable(found.to_plain()))
        session.files.keep()
    _tell(session, found)


def _tell(session: Session, found: audit.Audit) -> None:
    """Say what was found: suspicions as warnings, so that nobody trains past them unawares."""
    for name, one in found.sets.items():
        for finding in one.findings:
            if finding.severity == "suspicion":
                session.reporter.warn(f"suspicion: {finding}")
            else:
                session.reporter.say(f"{finding.severity}: {finding}")
        doubts = sum(finding.severity == "suspicion" for finding in one.findings)
        more = f", {doubts} suspicion{'s' if doubts > 1 else ''}" if doubts else ""
        session.reporter.say(f"inspect {name}: {len(one.fingerprint.items)} items, no faults{more}")


def split(session: Session) -> None:
    """Assign every labelled item to a fold, or to the hold-out, and write folds.csv."""
    inputs = split_inputs(session)
    _refuse_stale_training(session, "split", inputs)
    _refuse_deep_colours(session)
    if session.fresh("split", inputs, [session.run.folds], "split"):
        return
    print_, block = session.fingerprint(), session.recipe.folds
    rows = folds.assign(print_, block, session.recipe.task, session.train_source, Path(session.recipe.data.root))
    with session.replacing("split", inputs):
        folds.write_folds(session.run.folds, rows)
    _tell_split(session, rows, print_)


def _refuse_deep_colours(session: Session) -> None:
    """Refuse images whose colours a random field would be asked to look at, and does not know, before any training."""
    crf = session.recipe.decision.crf
    if crf is None or crf.colours is None:
        return
    for item in session.fingerprint().items:
        if item.dtype != "uint8":
            raise InputError(
                f"item '{item.key}' is of {item.dtype}, and the random field knows colours of 0 to 255",
                where="decision.crf.colours",
                fix="leave them out, or give 8-bit images",
            )


def _tell_split(session: Session, rows: Sequence[folds.FoldRow], print_: Fingerprint) -> None:
    """Say how many items went where, and what is left out of training since it shows the same as a scored item."""
    block = session.recipe.folds
    sizes = Counter(row.fold for row in rows)
    kept = {fold: folds.train_keys(rows, fold, print_, block) for fold in range(block.count)}
    parts = [] if block.kind == "all" else [f"folds of {[sizes[fold] for fold in range(block.count)]} items"]
    parts += [f"{sizes[folds.TRAIN_ONLY]} train only"] if sizes[folds.TRAIN_ONLY] else []
    parts += [f"{sizes[folds.HOLDOUT]} held out of all"] if sizes[folds.HOLDOUT] else []
    session.reporter.say(f"split: {', '.join(parts)}")
    for fold in range(block.count):
        left = len(rows) - sizes[fold] - sizes[folds.HOLDOUT] - len(kept[fold])
        if left:
            why = (
                "show what it is scored on, or lie on its ground or within the buffer"
                if print_.items[0].corners
                else ""
            )
            why = why or "show what it is scored on"
            session.reporter.say(f"split: fold {fold} trains without {left} items that {why}")
    placing.tell(session, rows, print_, kept)


def _refuse_stale_training(session: Session, unit: str, inputs: dict[str, Any]) -> None:
    """Refuse to pull the data or the folds from under finished training, unless redo was asked for."""
    state = session.run.check(unit, inputs)
    if not state.changes or session.redo or not (session.run.root / "members").exists():
        return
    raise InputError(
        f"{'; '.join(state.changes[:4])}, but members were trained with the old",
        where=session.run.root,
        fix="choose another --out, or give --redo to train again",
    )


def train(session: Session, member: str | None = None, fold: int | None = None) -> None:
    """Train (or resume) the folds that are not finished."""
    count = session.recipe.folds.count
    if fold is not None and not 0 <= fold < count:
        raise InputError(f"fold {fold} of {count}", where="--fold", fix=f"give 0 to {count - 1}")
    keep_ledger(session)
    chosen = session.chosen_members(member)
    for name in [each for each in stages_of(session.recipe.members) if each in chosen]:
        for index in range(count) if fold is None else [fold]:
            _train_fold(session, name, index)
            session.stop.check(f"{name} fold {index} is finished")
            if session.main and session.recipe.members[name].predict.weights == "soup":
                soup_fold(session, name, index)
    if all(trained(session, name, index) for name in session.recipe.members for index in range(count)):
        reading.drop_cache(session)


def keep_ledger(session: Session) -> None:
    """Write weights.json, the ledger of first weights, where it is not there as it is now; say what to look at."""
    ledger = [entry.to_plain() for entry in session.ledger]
    if not session.main or (session.run.weights.exists() and read_json(session.run.weights) == ledger):
        return
    write_json(session.run.weights, ledger)
    for entry in session.ledger:
        if entry.commercial != "yes":
            use = "not for commercial use" if entry.commercial == "no" else "commercial use unknown"
            session.reporter.say(
                f"note: weights of {entry.member}: {entry.weights}: {use} ({entry.licence or 'no licence stated'})"
            )


def _train_fold(session: Session, name: str, fold: int) -> None:
    from maskwright.training.fit import fit_fold

    unit, label, inputs = f"train/{name}/fold{fold}", f"train {name} fold {fold}", train_inputs(session, name)
    folder = session.run.fold(name, fold)
    state = session.run.check(unit, inputs)
    if state.done:
        session.reporter.say(f"{label}: nothing to do")
        return
    if state.changes:
        if not session.redo:
            raise InputError(
                f"{'; '.join(state.changes[:4])}, but {label[6:]} was trained with the old",
                where=session.run.root,
                fix="choose another --out, or give --redo to train again",
            )
        session.reporter.say(f"{label}: again, since {'; '.join(state.changes[:4])}")
    other = session.recipe.members[name].model.other
    if other is not None and not trained(session, other, fold):
        raise InputError(
            f"{name} starts from {other}, whose fold {fold} is not trained",
            where=session.run.root,
            fix=f"run maskwright train with --member {other} first",
        )
    _clear_unknown(session, unit, folder, known=state.known and not state.changes)
    job = fold_job(session, name, fold)
    if job.beside is not None and not any(map(job.beside.due, range(job.plan.total))):
        session.reporter.warn(
            f"{label}: none of its {job.plan.total} steps learns from teachers' labels, which come in every "
            f"{job.beside.every} steps; lower selftrain.mix.every, or train longer"
        )
    if session.main:
        session.run.begin(unit, inputs)
    fit_fold(job, folder, session.reporter, session.stop)
    if session.main:
        session.run.finish(unit, inputs)


def _clear_unknown(session: Session, unit: str, folder: Path, *, known: bool) -> None:
    """Empty a fold's folder whose content was not made by this recipe; refuse where nobody asked for that."""
    if known or not session.main or not folder.exists():
        return
    if not session.redo:
        raise InputError(
            "holds a training that the manifest does not know",
            where=folder,
            fix="move it away, or train again: maskwright train --redo",
        )
    session.run.forget(unit)  # first, so that a kill in between leaves an unknown folder and never a false 'done'
    session.run.clear(folder)


def predict(session: Session, member: str | None = None, only: Split | None = None) -> None:
    """Write out-of-fold, hold-out and test probabilities of the members, item by item.

    Args:
        session: whose members are trained.
        member: only this one.
        only: only this split, so that the stage is not finished; None: all of them.
    """
    for name in session.chosen_members(member):
        _predict_member(session, name, only)


def _predict_member(session: Session, name: str, only: Split | None) -> None:
    unit, label, inputs = f"predict/{name}", f"predict {name}", predict_inputs(session, name)
    state = session.run.check(unit, inputs)
    if not session.run.folds.exists():
        raise InputError("nothing is trained yet", where=session.run.root, fix="run maskwright train first")
    wanted = [each for each in _splits(session) if only is None or each[0] == only]
    kept = [(store, keys) for split, some, _, keys in wanted for store in _kept(session, name, split, some)]
    lost = sum(not store.has(key) for store, keys in kept for key in keys)
    if state.done and not lost:
        session.reporter.say(f"{label}: nothing to do")
        return
    refuse_untrained(session, name, range(session.recipe.folds.count))
    if session.recipe.members[name].predict.weights == "soup":
        for fold in range(session.recipe.folds.count):
            soup_fold(session, name, fold)
    if state.changes:
        session.reporter.say(f"{label}: again, since {'; '.join(state.changes[:4])}")
    if state.changes or not state.known:
        session.run.forget(unit)
        session.run.clear(session.run.probabilities(name, "oof").parent)
    session.run.begin(unit, inputs)
    for split, fold_list, source, keys in wanted:
        if split == "test" and session.recipe.members[name].predict.keep_folds:
            _predict_apart(session, name, fold_list, source, keys)
        else:
            _predict_split(session, name, split, fold_list, source, keys)
    if only is None:
        session.run.finish(unit, inputs)


def _kept(session: Session, name: str, split: Split, fold_list: Sequence[int]) -> list[Store]:
    """Return every store that a split's answers are kept in: of all models, and of each fold where folds may vote."""
    apart = split == "test" and session.recipe.members[name].predict.keep_folds
    alone = [store_of(session, name, split, fold) for fold in fold_list] if apart else []
    return [store_of(session, name, split), *alone]


def _splits(session: Session) -> list[tuple[Split, list[int], Source, tuple[str, ...]]]:
    """Return what is to be predicted: the split, the folds whose models answer, where items come from, their keys."""
    rows = session.fold_rows()
    all_folds = list(range(session.recipe.folds.count))
    wanted: list[tuple[Split, list[int], Source, tuple[str, ...]]] = []
    for fold in all_folds:
        mine = tuple(row.key for row in rows if row.fold == fold)
        wanted += [("oof", [fold], session.train_source, mine)] if mine else []
    held = tuple(row.key for row in rows if row.fold == folds.HOLDOUT)
    if held:
        wanted.append(("holdout", all_folds, session.train_source, held))
    if session.test_source is not None:
        wanted.append(("test", all_folds, session.test_source, session.test_source.keys))
    return wanted


def store_of(session: Session, name: str, split: Split, fold: int | None = None) -> Store:
    """Return a member's stored probabilities of a split, or what one of its folds alone says."""
    return Store(session.run.probabilities(name, split, fold))


def _predict_apart(session: Session, name: str, fold_list: list[int], source: Source, keys: Sequence[str]) -> None:
    """Predict the test items with one fold's models after another, and make their mean of what is stored."""
    from maskwright.inference.predict import average

    for fold in fold_list:
        _predict_split(session, name, "test", [fold], source, keys, fold)
    stores = [store_of(session, name, "test", fold) for fold in fold_list]
    facts = {"member": name, "split": "test", "folds": fold_list, "recipe": recipe_hash(session.recipe)}
    average(stores, keys, store_of(session, name, "test"), facts, session.stop)


def _predict_split(
    session: Session,
    name: str,
    split_name: Split,
    fold_list: list[int],
    source: Source,
    keys: Sequence[str],
    fold: int | None = None,
) -> None:
    """Predict one set of items with the given folds' models, averaged in one pass, or kept as one fold's own."""
    from maskwright.data.dataset import Preprocess
    from maskwright.inference.forward import Machine
    from maskwright.inference.predict import PredictJob, predict_items
    from maskwright.models.weights import load_model
    from maskwright.training.keep import weight_files

    member = session.recipe.members[name]
    files = [path for fold in fold_list for path in weight_files(session.run.fold(name, fold), member.predict.weights)]
    loaded = [load_model(path) for path in files]
    facts = {"member": name, "split": split_name, "folds": fold_list, "recipe": recipe_hash(session.recipe)}
    job = PredictJob(
        predict=member.predict,
        task=session.recipe.task,
        source=source,
        keys=tuple(keys),
        preprocess=Preprocess.from_plain(loaded[0][1]["preprocess"]),
        max_pixels=session.recipe.data.max_pixels,
        facts=facts,
        machine=Machine(channels_last=member.train.channels_last),
    )
    store = store_of(session, name, split_name, fold)
    made = predict_items([model for model, _ in loaded], job, store, session.reporter, session.stop)
    if made < len(keys):
        session.reporter.say(f"predict {name} {split_name}: {len(keys) - made} of {len(keys)} were there already")
