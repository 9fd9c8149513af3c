"""Votes at the end of a run: each member's own submission is written, and the files vote as files of strangers do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import inside
from maskwright.core.recipe.outputs import ClassStringOutput, RleCsvOutput, VoteOutput
from maskwright.core.recipe.votes import in_files, leaves
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.clean import Cleaning
from maskwright.ensembling.votes import Shape, vote
from maskwright.ensembling.votes_rules import compile_group
from maskwright.ensembling.votes_table import Dialect
from maskwright.workflows.session import Session

SUFFIX = ".csv"


def alone(decision: Decision, member: str) -> Decision:
    """Return the decision as if there were one member: its own thresholds where they are tuned, nothing else."""
    own = next(each for each in decision.evidence.members if each.name == member)
    edges = own.edges if decision.kept_thresholds else (decision.fixed_edge,) * len(decision.edges)
    one = {"shares": {member: 1}, "edges": edges if decision.edges else (), "kept_weights": False}
    return decision.model_copy(update={**one, "temperature_steps": {}, "factors": (), "cleaning": Cleaning()})


def member_file(session: Session, block: VoteOutput, member: str) -> Path:
    """Return where a member's own submission is."""
    return session.run.output / f"{Path(block.of.file).stem}_members" / f"{member}{SUFFIX}"


def vote_files(session: Session, block: VoteOutput) -> list[Path]:
    """Return every file that the entry stands for."""
    members = [member_file(session, block, name) for name in leaves(block.group)]
    return [*members, session.run.output / block.of.file]


def write_table(
    session: Session,
    path: Path,
    block: RleCsvOutput | ClassStringOutput,
    keys: Sequence[str],
    label_of: Callable[[str], NDArray[np.uint8]],
) -> None:
    """Write a submission of either kind; notes of what a sample made of it are said."""
    if isinstance(block, ClassStringOutput):
        from maskwright.output.class_string import write_class_strings

        write_class_strings(path, block, keys, label_of)
        return
    from maskwright.output.submission import write_rle_csv

    sample = None
    if block.sample is not None:
        sample = inside(Path(session.recipe.data.root), block.sample, "output.sample")
    done = write_rle_csv(path, block, session.recipe.task, keys, label_of, sample)
    for note in done.notes:
        session.reporter.say(f"note: {note}")


def vote_members(session: Session, block: VoteOutput) -> None:
    """Let the members' files vote.

    Raises:
        InputError: groups whose settings contradict each other.
    """
    classes = isinstance(block.of, ClassStringOutput)
    folder = member_file(session, block, "").parent
    program = compile_group(in_files(block.group, SUFFIX), folder, classes)
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
