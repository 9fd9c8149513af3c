"""Train with mined negatives and judge them: false-positive area at equal recall, out of fold, kept or dropped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import read_json, write_json
from maskwright.core.recipe.load import build, digest, recipe_hash
from maskwright.core.runs import RunFolder
from maskwright.core.spent import spending
from maskwright.data.folds.folds import proving_rows
from maskwright.data.sources.mined import MinedList, mined_keys, read_list
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.ensembling.false_area import Areas, Histograms, compare, histograms
from maskwright.ensembling.oof import OutOfFold
from maskwright.workflows import deliver, run, stages
from maskwright.workflows.copies import refuse_test_copies, tell_copies
from maskwright.workflows.inputs import predict_inputs
from maskwright.workflows.mine import Mine
from maskwright.workflows.session import STAGES, Session

DECIDED = STAGES[: STAGES.index("decide") + 1]
PART = "mined"


def run_mine(session: Session, folder: Path, *, train: bool = True) -> None:
    """Mine a pool, after whatever stages are missing; train with what was found, and keep it or drop it.

    Args:
        session: an opened recipe.
        folder: images without labels, in it and below.
        train: False: only write the list.

    Raises:
        InputError: a folder without images, a task without a background, folds that hold nothing out, ...
    """
    if train and session.recipe.folds.kind == "all":
        raise InputError(
            "no item is held out, so negatives cannot be judged",
            where="folds.kind",
            fix="give --list-only, or other folds",
        )
    work = Mine(session, folder)
    assert work.source.keys, "a pool without images is refused when it is opened"
    _refuse_tests(session, work)
    run.run_stages(session, STAGES[:2])
    if session.main:
        with session.working():
            place = (work.root / "test_copies.json", f"--pool {folder}")
            refuse_test_copies(session, work.source, work.keys, place)
            tell_copies(session, "mine", work.copies)
    run.run_stages(session, DECIDED)
    if not session.main:
        return
    listed = _list(session, work)
    if not train:
        return
    if not listed.negatives and (not listed.hard or work.settings.hard == 1):
        session.reporter.say("mine: nothing was found, so there is nothing to train with")
        return
    student = _student(session, work, listed)
    run.run_stages(student, ["inspect", "split"])
    _refuse_other_folds(session, student)
    run.run_stages(student, ["train"])
    with student.working():
        stages.predict(student, only="oof")
    areas = _judge(session, student, work)
    _tell(session, student, areas)
    if not areas.kept and listed.hard and work.settings.hard > 1:
        session.reporter.say(
            f"mine: labelled items with confident false positives were drawn {work.settings.hard:g} times as often; "
            "mine.hard=1 judges the empty windows alone"
        )
    if areas.kept:
        run.run_stages(student, ["predict", "decide"])


def _refuse_tests(session: Session, work: Mine) -> None:
    """Warn of test items in the pool, or refuse them if the recipe's rules do."""
    if not work.tests:
        return
    told = f"{len(work.tests)} of {len(work.keys)} images are test items, such as '{work.tests[0]}'"
    if session.recipe.rules.test_labels == "forbidden":
        raise InputError(
            f"{told}, which rules.test_labels forbids",
            where=f"--pool {work.folder}",
            fix="take them away, or set rules.test_labels: allowed",
        )
    session.reporter.warn(f"{told}: models will learn from what they are to answer")


def _list(session: Session, work: Mine) -> MinedList:
    """Write the list, or say that it is there."""
    with session.working():
        inputs = work.inputs()
        changes = session.run.check("mine/list", inputs).changes
        if changes and not session.redo and (work.root / "run" / "members").exists():
            raise InputError(
                f"{'; '.join(changes[:4])}, but {work.root / 'run'} was trained with the old list",
                where=work.table,
                fix="choose another --out, or give --redo to mine and train again",
            )
        if not session.fresh("mine/list", inputs, [work.table], "mine"):
            with spending(session.run.timing, "mine"), session.replacing("mine/list", inputs):
                work.write()
            session.files.keep()
    found = read_list(work.table)
    say = session.reporter.say
    windows = sum(one.window is not None for one in found.negatives)
    say(
        f"mine: of {found.looked} images {len(found.negatives) - windows} are empty as a whole, and {windows} "
        "windows of others"
    )
    for fold in work.folds:
        empty = sum(fold in one.folds for one in found.negatives)
        hard = sum(one.fold == fold for one in found.hard)
        say(f"  by the models of fold {fold}: {empty} empty; {hard} labelled items with confident false positives")
    say(f"list: {work.table}")
    return found


def _student(session: Session, work: Mine, listed: MinedList) -> Session:
    """Return the same recipe with the list as a part of its training data, and as many steps as before."""
    plain = session.plain | {"name": f"{session.recipe.name[:57]}-mined"}
    trained = len(work.trained(0))
    share = work.settings.share
    weight = min(1.0, share / (1 - share) * trained / max(1, len(listed.negatives)))
    part = {
        "format": "mined",
        "list": os.path.relpath(work.table),
        "images": Path(os.path.relpath(work.folder, session.recipe.data.root)).as_posix(),
        "weight": float(f"{weight:.3g}"),
        "hard": work.settings.hard,
    }
    train = plain["data"]["train"]
    if train["format"] != "merge":
        train = {"format": "merge", "bare": "labelled", "parts": {"labelled": train}}
    name = next(each for each in (PART, *(f"{PART}{n}" for n in range(2, 100))) if each not in train["parts"])
    plain["data"] = {**plain["data"], "train": {**train, "parts": {**train["parts"], name: part}}}
    plain["members"] = {name: _steps(session, name, member, trained) for name, member in plain["members"].items()}
    folder = work.root / "run"
    recipe = build(plain, where=str(folder / "recipe.yaml"))
    return Session(recipe, session.recipe_dir, RunFolder(folder), session.reporter, session.stop, session.redo)


def _steps(session: Session, name: str, plain: dict[str, Any], items: int) -> dict[str, Any]:
    """Return a member with its number of steps written out: an epoch of more items would be longer."""
    from maskwright.training.plan import make_plan

    steps = make_plan(session.recipe.members[name].train, items, 0).steps_per_epoch
    return {**plain, "train": {**plain["train"], "steps_per_epoch": steps}}


def _refuse_other_folds(session: Session, student: Session) -> None:
    """Refuse to compare runs whose items lie in other folds."""
    mined = mined_keys(student.train_source)
    rows = tuple(row for row in student.fold_rows() if row.key not in mined)
    if rows != session.fold_rows():
        raise InputError(
            "with the mined windows items would be dealt to other folds, so the two runs cannot be compared",
            where=student.run.folds,
            fix="write the folds down with folds.kind: given",
        )


def _judge(session: Session, student: Session, work: Mine) -> Areas:
    """Compare both runs out of fold, and write verdict.json."""
    after = {name: predict_inputs(student, name) for name in work.members}
    inputs = {"before": digest(deliver.decide_inputs(session)), "after": digest(after)}
    path = work.root / "verdict.json"
    with session.working():
        if session.fresh("mine/verdict", inputs, [path], "mine: verdict"):
            plain = read_json(path)
            return Areas(**{key: value for key, value in plain.items() if key != "kept"})
        decision = read_decision(session.run.decision)
        found = [_histograms(each, decision) for each in (session, student)]
        areas = compare(found[0], found[1], decision.thresholds or (0.5,))
        with session.replacing("mine/verdict", inputs):
            write_json(path, areas.to_plain())
    return areas


def _histograms(session: Session, decision: Decision) -> Histograms:
    """Count out-of-fold pixels of a run by their probability, its members blended as a decision says."""
    recipe = session.recipe
    truth, single = deliver.truth_of(session, session.train_source), recipe.folds.count == 1
    mined = mined_keys(session.train_source)
    rows = tuple(row for row in proving_rows(session.fold_rows(), recipe.folds) if row.key not in mined)
    oof = OutOfFold(deliver.stores_of(session, "oof"), rows, truth, recipe.task, recipe_hash(recipe), single)
    name = f"false positives of {recipe.name}"
    return histograms(oof, decision, recipe.task, session.reporter, name, session.stop)


def _tell(session: Session, student: Session, areas: Areas) -> None:
    say = session.reporter.say
    spread = (
        f"{areas.low:.2f} to {areas.high:.2f} in 95 % of the redraws of {areas.groups} groups"
        if areas.low is not None and areas.high is not None
        else f"{areas.groups} groups are too few to tell chance"
    )
    say(
        f"mine: false positives at recall {areas.recall:.3f}, of {areas.background} px of background: "
        f"{areas.before:.0f} px without mined negatives and {areas.after:.0f} px with them, ratio {areas.ratio:.2f} "
        f"({spread})"
    )
    if not areas.kept:
        say("mine: dropped, since held-out evidence does not show that they help")
        return
    say(f"mine: kept; the run with them is {student.run.root}, and its recipe.yaml names the list in data.train")
