"""The stage export: masks, submissions and whatever else organisers ask for, below output/."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import stored_name, write_text
from maskwright.core.recipe.map_votes import MapVoteOutput
from maskwright.core.recipe.outputs import (
    ClassStringOutput,
    JoblibOutput,
    MasksOutput,
    Output,
    RleCsvOutput,
    TiffOutput,
    VoteOutput,
)
from maskwright.core.recipe.scene_output import ScenesOutput
from maskwright.core.recipe.votes import leaves
from maskwright.data.sources.scenes import grid_of
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.workflows import scene_answers
from maskwright.workflows.deliver import Label, Target, export_inputs, label_of, need, targets
from maskwright.workflows.session import Session
from maskwright.workflows.vote_member_maps import map_vote_files, write_map_vote
from maskwright.workflows.vote_members import (
    alone,
    group_of,
    member_file,
    same_file,
    vote_files,
    vote_members,
    voter_label,
    write_table,
)


def export(session: Session) -> None:
    """Write masks and submissions below output/."""
    need(session, ["decide"], "decide")
    inputs = export_inputs(session)
    chosen = {target.key: target for target in targets(session)}
    files = [path for block in session.recipe.output for path in _files(session, block, chosen)]
    if session.fresh("export", inputs, files, "export"):
        return
    state = session.run.check("export", inputs)
    if state.changes or not state.known:
        session.run.forget("export")
        session.run.clear(session.run.output)
    session.run.begin("export", inputs)
    decision = read_decision(session.run.decision)
    for block in session.recipe.output:
        if block.format in WRITERS:
            WRITERS[block.format](session, decision, chosen, block)
    session.run.finish("export", inputs)


def _files(session: Session, block: Output, chosen: Mapping[str, Target]) -> list[Path]:
    """Return every file that an entry of the recipe's output stands for."""
    if isinstance(block, MasksOutput):
        return [path for key in chosen for path in _mask_paths(session, key)]
    if isinstance(block, TiffOutput):
        return [_tiff_path(session, block, key) for key in chosen]
    if isinstance(block, ScenesOutput):
        return scene_answers.scene_files(session, block)
    if isinstance(block, VoteOutput):
        return vote_files(session, block)
    if isinstance(block, MapVoteOutput):
        return map_vote_files(session, block, tuple(chosen))
    if isinstance(block, RleCsvOutput | ClassStringOutput | JoblibOutput):
        return [session.run.output / block.file]
    return []


def _mask_paths(session: Session, key: str) -> list[Path]:
    from maskwright.output.masks import mask_paths

    return mask_paths(session.run.output / "masks", key, session.recipe.task)


def _tiff_path(session: Session, block: TiffOutput, key: str) -> Path:
    return session.run.output / block.folder / f"{stored_name(key)}.tif"


def _write_masks(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    from maskwright.output.masks import write_mask

    assert isinstance(block, MasksOutput), block
    folder, task = session.run.output / "masks", session.recipe.task
    left = [key for key in chosen if not all(path.exists() for path in _mask_paths(session, key))]
    _one_by_one(
        session,
        "export masks",
        (len(chosen), left),
        lambda key: write_mask(folder, key, label_of(session, decision, chosen[key]), task, block.values),
    )


def _write_tiffs(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    from maskwright.output.tiles import write_label_tiff

    assert isinstance(block, TiffOutput), block
    stored = _stored(block.values)

    def write(key: str) -> None:
        source = session.test_source if chosen[key].split == "test" else session.train_source
        assert source is not None, key
        grid = grid_of(source, key)
        write_label_tiff(_tiff_path(session, block, key), stored[label_of(session, decision, chosen[key])], grid)

    left = [key for key in chosen if not _tiff_path(session, block, key).exists()]
    _one_by_one(session, f"export {block.folder}", (len(chosen), left), write)


def _stored(values: Mapping[int, int] | None) -> NDArray[np.uint8]:
    """Return the stored value of each class id, uint8 (256,)."""
    table = np.arange(256, dtype=np.uint8)
    for value, stored in (values or {}).items():
        table[value] = stored
    return table


def _one_by_one(session: Session, title: str, work: tuple[int, Sequence[str]], write: Callable[[str], object]) -> None:
    """Write a file for each key that is left of so many; a stop keeps those that are finished."""
    total, left = work
    with session.reporter.task(title, total, total - len(left)) as tick:
        for key in left:
            write(key)
            session.stop.check("finished masks are kept")
            tick.advance()


def _write_rle(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    assert isinstance(block, RleCsvOutput), block
    with _labels(session, chosen, block.file, partial(label_of, session, decision)) as label:
        write_table(session, session.run.output / block.file, block, tuple(chosen), label)


def _write_strings(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    assert isinstance(block, ClassStringOutput), block
    with _labels(session, chosen, block.file, partial(label_of, session, decision)) as label:
        write_table(session, session.run.output / block.file, block, tuple(chosen), label)


def _write_vote(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    assert isinstance(block, VoteOutput), block
    for name in leaves(group_of(session, block)):
        said_before = same_file(session, block, name)
        if said_before is not None:
            write_text(member_file(session, block, name), said_before.read_text(encoding="utf-8"))
            continue
        own = alone(decision, name)
        with _labels(session, chosen, name, partial(voter_label, session, own, name)) as label:
            write_table(session, member_file(session, block, name), block.of, tuple(chosen), label)
    vote_members(session, block, decision)


def _write_map_vote(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    assert isinstance(block, MapVoteOutput), block
    write_map_vote(session, decision, chosen, block)


def _write_dictionary(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    from maskwright.output.pickled import write_dictionary

    assert isinstance(block, JoblibOutput), block
    keys = {key + block.key_extension: key for key in chosen}
    with _labels(session, chosen, block.file, partial(label_of, session, decision)) as label:
        write_dictionary(session.run.output / block.file, tuple(keys), lambda name: label(keys[name]))


def _write_scenes(session: Session, decision: Decision, chosen: Mapping[str, Target], block: Any) -> None:
    del decision, chosen  # whole scenes are predicted anew, window by window
    assert isinstance(block, ScenesOutput), block
    scene_answers.export_scenes(session, block)


@contextmanager
def _labels(
    session: Session, chosen: Mapping[str, Target], file: str, answer: Callable[[Target], Label]
) -> Iterator[Callable[[str], Label]]:
    """Give a function from a key to its answer, which tells how far it is and stops when it should."""
    with session.reporter.task(f"export {file}", len(chosen)) as tick:

        def label(key: str) -> Label:
            session.stop.check("masks are kept, the submission is begun anew")
            tick.advance()
            return answer(chosen[key])

        yield label


WRITERS: Mapping[str, Callable[[Session, Decision, Mapping[str, Target], Any], None]] = {
    "class_string_csv": _write_strings,
    "joblib": _write_dictionary,
    "map_vote": _write_map_vote,
    "masks": _write_masks,
    "rle_csv": _write_rle,
    "scenes": _write_scenes,
    "tiff": _write_tiffs,
    "vote": _write_vote,
}
"""Format in the recipe's output -> what writes it; the report is a stage of its own."""
