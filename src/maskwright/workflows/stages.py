"""The stages that need the GPU or the labels: inspect, split, train, predict; each resumes or does nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import InputError
from maskwright.core.files import inside, read_json, write_json
from maskwright.core.recipe.load import digest, recipe_hash
from maskwright.core.recipe.members import SPEED, without_terms
from maskwright.core.runs import Split
from maskwright.core.version import __version__
from maskwright.data.audit import audit
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.findings import faults_of
from maskwright.data.folds import folds
from maskwright.data.sources.base import Source
from maskwright.ensembling.decide import measure_of
from maskwright.inference.store import Store
from maskwright.workflows import placing, reading
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.training.losses.options import Frequency

AUDITED = ("train", "bands", "band_names", "divide", "stretch", "max_pixels", "limit")
"""Keys of data that the fingerprint of the labelled items depends on."""


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


def inspect_inputs(session: Session) -> dict[str, Any]:
    """Return what the fingerprint of the labelled items depends on."""
    plain = session.plain
    return {
        "task": plain["task"],
        "data": {key: plain["data"][key] for key in AUDITED},
        "files": session.train_files,
    }


def split(session: Session) -> None:
    """Assign every labelled item to a fold, or to the hold-out, and write folds.csv."""
    inputs = split_inputs(session)
    _refuse_stale_training(session, "split", inputs)
    if session.fresh("split", inputs, [session.run.folds], "split"):
        return
    print_, block = session.fingerprint(), session.recipe.folds
    rows = folds.assign(print_, block, session.recipe.task, session.train_source, Path(session.recipe.data.root))
    with session.replacing("split", inputs):
        folds.write_folds(session.run.folds, rows)
    _tell_split(session, rows, print_)


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


def split_inputs(session: Session) -> dict[str, Any]:
    """Return what the folds depend on."""
    inputs = {"folds": session.plain["folds"], "data": digest(inspect_inputs(session))}
    file = session.recipe.folds.file
    if file is not None:
        path = inside(Path(session.recipe.data.root), file, "folds.file")
        inputs["file"] = digest(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else ""
    return inputs


def _refuse_stale_training(session: Session, unit: str, inputs: dict[str, Any]) -> None:
    """Refuse to pull the data or the folds from under finished training, unless redo was asked for."""
    state = session.run.check(unit, inputs)
    if not state.changes or session.redo or not (session.run.root / "members").exists():
        return
    raise InputError(
        f"{'; '.join(state.changes[:4])}, but members were trained with the old",
        where=session.run.root,
        fix="choose another --out, or train again: maskwright train --redo",
    )


def train(session: Session, member: str | None = None, fold: int | None = None) -> None:
    """Train (or resume) the folds that are not finished."""
    count = session.recipe.folds.count
    if fold is not None and not 0 <= fold < count:
        raise InputError(f"fold {fold} of {count}", where="--fold", fix=f"give 0 to {count - 1}")
    keep_ledger(session)
    for name in session.chosen_members(member):
        for index in range(count) if fold is None else [fold]:
            _train_fold(session, name, index)
            session.stop.check(f"{name} fold {index} is finished")
    if all(_trained(session, name, index) for name in session.recipe.members for index in range(count)):
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


def _trained(session: Session, name: str, fold: int) -> bool:
    return session.run.check(f"train/{name}/fold{fold}", train_inputs(session, name)).done


def train_inputs(session: Session, name: str) -> dict[str, Any]:
    """Return what a trained fold depends on, key by key as in the recipe."""
    member = {key: value for key, value in session.plain["members"][name].items() if key != "predict"}
    member["model"] = without_terms(member["model"])
    member["train"] = {key: value for key, value in member["train"].items() if key not in SPEED}
    return {
        **_first_weights(session, name),
        "seed": session.recipe.seed,
        "members": {name: member},
        "best_by": best_by(session, name),
        "data": {"normalize": session.recipe.data.normalize, "derived": session.plain["data"]["derived"]},
        "split": digest(split_inputs(session)),
    }


def _first_weights(session: Session, name: str) -> dict[str, Any]:
    """Return the digest of the local file a member starts from, if it does: another file of that name counts."""
    weights = session.recipe.members[name].model.local_file
    if weights is None:
        return {}
    return {"weights_file": session.files.of_one(session.recipe_dir / weights, f"weights of {name}")}


def best_by(session: Session, name: str) -> str:
    """Return the score that picks a fold's best weights.

    It is the decision's only where those weights are asked for, so that otherwise another metric can be
    decided on without training again.
    """
    if session.recipe.members[name].predict.weights != "best":
        return "iou"
    return measure_of(session.recipe.decision, session.recipe.task).metric


def _train_fold(session: Session, name: str, fold: int) -> None:
    from maskwright.data.dataset import preprocess_for
    from maskwright.data.sampling import sample_seed
    from maskwright.training.fit import FoldJob, fit_fold

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
                fix="choose another --out, or train again: maskwright train --redo",
            )
        session.reporter.say(f"{label}: again, since {'; '.join(state.changes[:4])}")
    _clear_unknown(session, unit, folder, known=state.known and not state.changes)
    rows, print_ = session.fold_rows(), session.fingerprint()
    preprocess = preprocess_for(session.recipe.data, print_)
    member = session.recipe.members[name]
    keys = folds.train_keys(rows, fold, print_, session.recipe.folds)
    job = FoldJob(
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
        weights=reading.weights_of(session, keys),
        pixels=reading.pixels_of(print_, keys),
        cache=reading.cache_of(session, print_, preprocess, member.train, len(keys)),
        recipe_dir=session.recipe_dir,
        tracking=session.tracking,
        facts={
            "first_weights": next(entry.to_plain() for entry in session.ledger if entry.member == name),
            "member": name,
            "fold": fold,
            "recipe": recipe_hash(session.recipe),
            "maskwright": __version__,
        },
    )
    if session.main:
        session.run.begin(unit, inputs)
    fit_fold(job, folder, session.reporter, session.stop)
    if session.main:
        session.run.finish(unit, inputs)


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


def predict(session: Session, member: str | None = None) -> None:
    """Write out-of-fold, hold-out and test probabilities of the members, item by item."""
    for name in session.chosen_members(member):
        _predict_member(session, name)


def predict_inputs(session: Session, name: str) -> dict[str, Any]:
    """Return what a member's stored probabilities depend on."""
    plain = session.plain
    return {
        "members": {name: {"predict": plain["members"][name]["predict"]}},
        "data": {"test": plain["data"]["test"]},
        "test_files": session.test_files,
        "trained": digest(train_inputs(session, name)),
    }


def _predict_member(session: Session, name: str) -> None:
    unit, label, inputs = f"predict/{name}", f"predict {name}", predict_inputs(session, name)
    state = session.run.check(unit, inputs)
    if not session.run.folds.exists():
        raise InputError("nothing is trained yet", where=session.run.root, fix="run maskwright train first")
    wanted = _splits(session)
    lost = sum(not store_of(session, name, split).has(key) for split, _, _, keys in wanted for key in keys)
    if state.done and not lost:
        session.reporter.say(f"{label}: nothing to do")
        return
    untrained = [fold for fold in range(session.recipe.folds.count) if not _trained(session, name, fold)]
    if untrained:
        raise InputError(
            f"{name} is not trained yet for folds {untrained}", where=session.run.root, fix="run maskwright train first"
        )
    if state.changes:
        session.reporter.say(f"{label}: again, since {'; '.join(state.changes[:4])}")
    if state.changes or not state.known:
        session.run.forget(unit)
        session.run.clear(session.run.probabilities(name, "oof").parent)
    session.run.begin(unit, inputs)
    for split, fold_list, source, keys in wanted:
        _predict_split(session, name, split, fold_list, source, keys)
    session.run.finish(unit, inputs)


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


def store_of(session: Session, name: str, split: Split) -> Store:
    """Return a member's stored probabilities of a split."""
    return Store(session.run.probabilities(name, split))


def _predict_split(
    session: Session, name: str, split_name: Split, fold_list: list[int], source: Source, keys: Sequence[str]
) -> None:
    """Predict one set of items with the given folds' models, averaged in one pass."""
    from maskwright.data.dataset import Preprocess
    from maskwright.inference.forward import Machine
    from maskwright.inference.predict import PredictJob, predict_items
    from maskwright.models.weights import load_model

    member = session.recipe.members[name]
    file = f"{member.predict.weights}.safetensors"
    loaded = [load_model(session.run.fold(name, fold) / file) for fold in fold_list]
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
    store = store_of(session, name, split_name)
    made = predict_items([model for model, _ in loaded], job, store, session.reporter, session.stop)
    if made < len(keys):
        session.reporter.say(f"predict {name} {split_name}: {len(keys) - made} of {len(keys)} were there already")
