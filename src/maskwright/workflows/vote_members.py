"""Votes at the end of a run: each member's own submission is written, and the files vote as files of strangers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import inside, write_text
from maskwright.core.recipe.outputs import ClassStringOutput, RleCsvOutput, VoteOutput
from maskwright.core.recipe.votes import OUT_OF_FOLD, Group, in_files, leaves, voter, with_folds
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.clean import Cleaning
from maskwright.ensembling.votes import Shape, vote
from maskwright.ensembling.votes_rules import compile_group
from maskwright.ensembling.votes_table import Dialect
from maskwright.workflows.deliver import Target, label_from, label_of
from maskwright.workflows.session import Session
from maskwright.workflows.stages import store_of

SUFFIX = ".csv"


def alone(decision: Decision, member: str) -> Decision:
    """Return the decision as if there were one member: its own thresholds where they are tuned, nothing else."""
    member = voter(member)[0]
    own = next(each for each in decision.evidence.members if each.name == member)
    edges = own.edges if decision.kept_thresholds else (decision.fixed_edge,) * len(decision.edges)
    one = {"shares": {member: 1}, "edges": edges if decision.edges else (), "kept_weights": False}
    return decision.model_copy(
        update={**one, "temperature_steps": {}, "factors": (), "crf": None, "cleaning": Cleaning()}
    )


def group_of(session: Session, block: VoteOutput) -> Group:
    """Return who votes, with folds named one by one."""
    return with_folds(block.group, session.recipe.folds.count)


def voter_label(session: Session, decision: Decision, leaf: str, target: Target) -> NDArray[np.uint8]:
    """Return what a member, or one fold of it, says of an item at native size."""
    name, fold = voter(leaf)
    if fold is None:
        return label_of(session, decision, target)
    store = store_of(session, name, target.split, fold)
    return label_from({name: store}, decision, target.key, session.recipe.task)[0]


def member_file(session: Session, block: VoteOutput, member: str) -> Path:
    """Return where a member's own submission is."""
    return session.run.output / f"{Path(block.of.file).stem}_members" / f"{member}{SUFFIX}"


def same_file(session: Session, block: VoteOutput, member: str) -> Path | None:
    """Return what an earlier vote wrote of the same member in the same form, so that it is not made twice."""
    for earlier in session.recipe.output:
        if earlier is block:
            return None
        if not isinstance(earlier, VoteOutput) or member not in leaves(group_of(session, earlier)):
            continue
        if earlier.of.model_copy(update={"file": block.of.file}) == block.of:
            return member_file(session, earlier, member)
    return None


def vote_files(session: Session, block: VoteOutput) -> list[Path]:
    """Return every file that the entry stands for."""
    members = [member_file(session, block, name) for name in leaves(group_of(session, block))]
    return [*members, session.run.output / block.of.file]


def write_table(
    session: Session,
    path: Path,
    block: RleCsvOutput | ClassStringOutput,
    keys: Sequence[str],
    label_of: Callable[[str], NDArray[np.uint8]],
) -> None:
    """Write a submission of either kind; notes of what a sample made of it are said."""
    sample = None
    if block.sample is not None:
        sample = inside(Path(session.recipe.data.root), block.sample, "output.sample")
    if isinstance(block, ClassStringOutput):
        from maskwright.output.class_string import write_class_strings

        write_class_strings(path, block, keys, label_of, sample)
        return
    from maskwright.output.submission import write_rle_csv

    done = write_rle_csv(path, block, session.recipe.task, keys, label_of, sample)
    for note in done.notes:
        session.reporter.say(f"note: {note}")


def with_scores(group: Group, decision: Decision, classes: Sequence[str], table: Path) -> Group:
    """Return the group with scores: out_of_fold replaced by the members' own; those of classes go to a CSV file.

    Args:
        group: of leaves that name members or folds of them, which count by their member's score.
        decision: has the scores.
        classes: names of the planes.
        table: the file, written if a rule asks for it.

    Raises:
        StorageError: disk full or no permission.
    """
    known = {member.name: member for member in decision.evidence.members}
    members: dict[str, str | Group] = {}
    rows = ["member,class,score"]
    plain: dict[str, float] = {}
    for name, one in group.members.items():
        members[name] = with_scores(one, decision, classes, table) if isinstance(one, Group) else one
        if isinstance(one, str) and group.scores == OUT_OF_FOLD:
            own = known[voter(one)[0]]
            plain[name] = 100 * (own.fixed or 0.0)
            rows += [f"{name},{kind},{score or 0.0:.6f}" for kind, score in zip(classes, own.classes, strict=True)]
    if group.scores != OUT_OF_FOLD:
        return group.model_copy(update={"members": members})
    if group.rule != "best":
        return group.model_copy(update={"members": members, "scores": plain})
    write_text(table, "\n".join(rows) + "\n")
    return group.model_copy(update={"members": members, "scores": f"../{table.name}"})


def vote_members(session: Session, block: VoteOutput, decision: Decision) -> None:
    """Let the members' files vote.

    Raises:
        InputError: groups whose settings contradict each other.
    """
    classes = isinstance(block.of, ClassStringOutput)
    folder = member_file(session, block, "").parent
    table = session.run.output / f"{Path(block.of.file).stem}_scores.csv"
    group = with_scores(group_of(session, block), decision, session.recipe.task.plane_names, table)
    program = compile_group(in_files(group, SUFFIX), folder, classes)
    done = vote(
        program,
        _dialect(block.of),
        session.run.output / block.of.file,
        None,
        Shape(_empty(block.of), None),
        session.stop,
    )
    session.reporter.say(f"vote: {done.path.name}: {done.rows} rows of {done.files} members")


def _empty(block: RleCsvOutput | ClassStringOutput) -> str:
    return block.empty if isinstance(block, RleCsvOutput) else ""


def _dialect(block: RleCsvOutput | ClassStringOutput) -> Dialect:
    """Return how the members' files are written."""
    if isinstance(block, ClassStringOutput):
        return Dialect((block.key_column,), block.label_column, "", "the recipe", classes=True)
    keys = (block.key_column,) if block.class_column is None else (block.key_column, block.class_column)
    return Dialect(keys, block.rle_column, block.empty, "the recipe", base=block.base)
