"""Noisy students: rounds of teachers, labels and students, each kept only if it is better out of fold.

selftrain.json              what was used, the table of rounds, and whose answer is the final one
selftrain/pool.json         digests of the unlabelled images
selftrain/round<k>/         a run folder of students, with lessons.json and labels/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import write_json
from maskwright.core.recipe.load import digest
from maskwright.core.recipe.selftrain import SelfTrain, in_round, weights_in, weights_of_parts
from maskwright.core.runs import RunFolder, refuse_together
from maskwright.ensembling.blend import read_decision
from maskwright.ensembling.honest import Gain
from maskwright.workflows import deliver
from maskwright.workflows.deliver import number as digits
from maskwright.workflows.gate import judge, measure_of
from maskwright.workflows.lineage import prove, refuse_unrecorded
from maskwright.workflows.pool import Pool, look, open_pool, tell
from maskwright.workflows.record import Record, RoundScore, read_record
from maskwright.workflows.run import run_stages, run_until
from maskwright.workflows.session import Session
from maskwright.workflows.students import check, open_student, take_over
from maskwright.workflows.teach import refuse_other, teach


def run_selftrain(session: Session, unlabelled: Path | None = None, rounds: int | None = None) -> Record:
    """Train teachers, then students in rounds, as far as out-of-fold evidence carries; do what is missing.

    Args:
        session: an opened recipe.
        unlabelled: folder of images; None: the recipe's selftrain.unlabelled.
        rounds: at most; None: the recipe's selftrain.rounds.

    Returns:
        what selftrain.json says.

    Raises:
        InputError: nothing is held out, no images, images that do not fit or that rules forbid.
        Interrupted: a signal asked to stop; the same command goes on.
    """
    settings = _settings(session, unlabelled, rounds)
    open_pool(session, unlabelled)
    run_stages(session, ["inspect", "split"])
    with session.working():
        refuse_unrecorded(session)
        pool = look(session, unlabelled)
    run_until(session)
    made_from = {
        "settings": settings.model_dump(mode="json", exclude={"unlabelled"}),
        "files": pool.files,
        "rules": session.recipe.rules.test_labels,
        "teachers": digest(deliver.decide_inputs(session)),
        **({"near_copies": digest(pool.shut)} if pool.shut else {}),
    }
    if session.fresh("selftrain", made_from, _files(session), "selftrain"):
        record = read_record(session.run)
        say_rounds(session, record)
        return record
    with session.stop.listening(), session.run.lock():
        tell(session, pool)
        session.run.forget("selftrain")
        record = _rounds(session, settings, pool)
    if record.final:
        run_stages(open_student(session, settings, record.final), ["export", "report"])
    run_stages(session, ["report"])
    with session.run.lock():
        session.run.finish("selftrain", made_from)
    say_rounds(session, record)
    return record


def _settings(session: Session, unlabelled: Path | None, rounds: int | None) -> SelfTrain:
    """Return the recipe's block with `--rounds`; refuse what cannot be, before any work."""
    recipe = session.recipe
    if recipe.folds.kind == "all":
        raise InputError(
            "a round is kept by its out-of-fold score, and folds.kind: all holds nothing out",
            where="folds.kind",
            fix="use other folds, e.g. stratified",
        )
    refuse_together("students are trained")
    session.chosen_members()
    block = recipe.selftrain or SelfTrain()
    if rounds is not None:
        if not 1 <= rounds <= 20:
            raise InputError(f"{rounds} rounds", where="--rounds", fix="give 1 to 20")
        block = block.model_copy(update={"rounds": rounds})
    idle = sorted(set(block.parts) & set(weights_of_parts(block.unlabelled))) if unlabelled is not None else []
    if idle:
        raise InputError(
            f"'{idle[0]}' is a part of selftrain.unlabelled, in the place of which --unlabelled is used",
            where=f"selftrain.parts.{idle[0]}",
            fix="leave out one of the two",
        )
    check(recipe, block, Path("recipe"))
    return block


def _files(session: Session) -> list[Path]:
    """Return the files that a finished self-training has."""
    path = session.run.selftrain
    if not path.exists():
        return [path]
    record = read_record(session.run)
    runs = [RunFolder(session.run.root / row.run) for row in record.rounds]
    return [path, *(run.decision for run in runs)]


def _rounds(session: Session, settings: SelfTrain, pool: Pool) -> Record:
    """Go from round to round; each one's record is written when it is judged."""
    first = _score(session, 0, ".").model_copy(update={"parts": weights_of_parts(session.recipe.data.train)})
    rows, kept, teacher = [first], 0, session
    for place in range(1, settings.rounds + 1):
        student = open_student(session, settings, place)
        say_weights(session, _weights(student, settings, pool, place), place)
        session.reporter.say(f"round {place}: labels by the teachers of round {kept}")
        with student.run.lock():
            refuse_other(teacher, student, pool, place, settings)
            take_over(session, student.run)
            lessons = teach(teacher, student.run, pool, place, settings)
        run_stages(student, ["train", "predict", "decide"])
        looked = prove(student.run, student.recipe)
        gain = judge(teacher, student)
        session.reporter.say(f"round {place}: {looked} label files proven to be of teachers that saw nothing scored")
        taken = tuple(lessons.folds[fold].taken for fold in sorted(lessons.folds))
        row = _score(student, place, f"selftrain/round{place}", gain, taken)
        rows.append(row.model_copy(update=_weights(student, settings, pool, place)))
        if gain.believed:
            kept, teacher = place, student
        more = gain.believed and place < settings.rounds
        record = _record(session, settings, pool, rows, kept, finished=not more)
        write_json(session.run.selftrain, record.model_dump(mode="json"))
        session.reporter.say(f"round {place}: {'kept' if gain.believed else 'not kept'}, {gain.reason}")
        if not more:
            return record
    raise AssertionError("there is at least one round")


def _weights(student: Session, settings: SelfTrain, pool: Pool, place: int) -> dict[str, Any]:
    """Return what the record says of the weights of a round."""
    return {
        "weight": in_round(settings.weight, place),
        "parts": weights_in(weights_of_parts(student.recipe.data.train), settings.parts, place),
        "pool_parts": weights_in(weights_of_parts(pool.block), settings.parts, place),
    }


def say_weights(session: Session, told: Mapping[str, Any], place: int) -> None:
    """Say by which weights a round draws, where there are several parts."""
    parts = [*told["parts"].items(), *told["pool_parts"].items()]
    if parts:
        drawn = ", ".join(f"{name} {weight:g}" for name, weight in parts)
        session.reporter.say(f"round {place}: items are drawn by the weights {drawn}")


def _score(session: Session, place: int, run: str, gain: Gain | None = None, taken: Sequence[int] = ()) -> RoundScore:
    evidence = read_decision(session.run.decision).evidence
    plain = RoundScore(round=place, run=run, honest=evidence.honest, default=evidence.default, taken=tuple(taken))
    if gain is None:
        return plain
    return plain.model_copy(
        update={
            "gain": gain.gain,
            "low": gain.low,
            "high": gain.high,
            "folds_better": gain.folds_better,
            "folds": gain.folds,
            "kept": gain.believed,
            "reason": gain.reason,
        }
    )


def _record(
    session: Session, settings: SelfTrain, pool: Pool, rows: Sequence[RoundScore], kept: int, *, finished: bool
) -> Record:
    return Record(
        metric=measure_of(read_decision(session.run.decision)).name,
        rounds=tuple(rows),
        final=kept,
        run=rows[kept].run,
        finished=finished,
        test_items_used=bool(pool.tests),
        unlabelled=pool.told(),
        settings=settings.model_dump(mode="json", exclude={"unlabelled"}),
    )


def say_rounds(session: Session, record: Record) -> None:
    """Say the table of rounds, and where the final answer is."""
    say = session.reporter.say
    for row in record.rounds:
        gain = "" if row.gain is None else f", gain {row.gain:+.4f}"
        verdict = "" if row.round == 0 else f": {'kept' if row.kept else 'not kept'}, {row.reason}"
        say(f"round {row.round}: out-of-fold {record.metric} {digits(row.honest)} honest{gain}{verdict}")
    if record.test_items_used:
        say("test items were among the unlabelled images")
    whose = "the first teachers'" if record.final == 0 else f"that of round {record.final}"
    say(f"final answer: {whose}, {RunFolder(session.run.root / record.run).output}")
