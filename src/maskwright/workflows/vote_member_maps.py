"""Votes of a run's members on their maps: each one's are written, and vote as folders of strangers do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import atomic_path, stored_name
from maskwright.core.grid import Grid
from maskwright.core.recipe.map_votes import MapFormat, MapVoteOutput
from maskwright.core.recipe.votes import leaves_of, voter
from maskwright.ensembling.blend import Decision
from maskwright.ensembling.thresholds import edge_value
from maskwright.output.pickled import write_dictionary
from maskwright.output.tiles import write_tile
from maskwright.workflows.deliver import Target
from maskwright.workflows.session import Session
from maskwright.workflows.stages import store_of
from maskwright.workflows.vote_maps import NPZ_SCALE, MapPlan, run_maps
from maskwright.workflows.vote_members import alone, voter_label

SUFFIXES: Mapping[MapFormat, str] = {"maps": ".tif", "npz": ".npz", "joblib": ".pkl"}


def map_vote_files(session: Session, block: MapVoteOutput, keys: Sequence[str]) -> list[Path]:
    """Return every file that the entry stands for."""
    output, voters = session.run.output, _voters(session, block)
    if block.of == "joblib":
        return [output / block.file, *(_place(session, block, leaf) for leaf in voters)]
    said = [_map_path(_place(session, block, leaf), key, block.of) for leaf in voters for key in keys]
    voted = [output / block.file]
    if block.of == "maps":
        voted = [_map_path(output / block.file, key, block.of) for key in keys]
    return [*said, *voted]


def write_map_vote(session: Session, decision: Decision, chosen: Mapping[str, Target], block: MapVoteOutput) -> None:
    """Write what each member says, and what they vote for.

    Raises:
        StorageError: disk full or no permission.
        Interrupted: a signal asked to stop; finished maps are kept.
    """
    voters = _voters(session, block)
    for leaf in voters:
        if block.of == "joblib":
            _write_masks(session, decision, chosen, block, leaf)
        else:
            _write_maps(session, chosen, block, leaf)
    own = {leaf: tuple(map(edge_value, alone(decision, leaf).edges)) for leaf in voters}
    plan = MapPlan(
        format=block.of,
        output=block.file,
        members={leaf: str(_place(session, block, leaf).relative_to(session.run.output)) for leaf in voters},
        rule=block.rule,
        at_least=block.at_least,
        threshold=block.threshold,
        resize=block.resize,
        weights=block.weights,
        thresholds=own if block.thresholds == "own" else block.thresholds,
        classes=tuple(session.recipe.task.plane_names) if block.of == "npz" else (),
    )
    run_maps(plan, session.run.output, session.reporter, session.stop)


def _voters(session: Session, block: MapVoteOutput) -> tuple[str, ...]:
    return leaves_of(block.members, session.recipe.folds.count)


def _place(session: Session, block: MapVoteOutput, leaf: str) -> Path:
    """Return the folder, or dictionary, of what a member says."""
    name = f"{leaf}{SUFFIXES[block.of]}" if block.of == "joblib" else leaf
    return session.run.output / f"{Path(block.file).stem}_members" / name


def _map_path(folder: Path, key: str, form: MapFormat) -> Path:
    return folder / f"{stored_name(key)}{SUFFIXES[form]}"


def _write_maps(session: Session, chosen: Mapping[str, Target], block: MapVoteOutput, leaf: str) -> None:
    """Write a member's map of each item that has none yet."""
    name, fold = voter(leaf)
    paths = {key: _map_path(_place(session, block, leaf), key, block.of) for key in chosen}
    left = [key for key, path in paths.items() if not path.exists()]
    with session.reporter.task(f"export {block.file} {leaf}", len(paths), len(paths) - len(left)) as tick:
        for key in left:
            values, valid, scale = store_of(session, name, chosen[key].split, fold).read_item(key)
            known = values if valid.all() else values * valid.astype(values.dtype)
            paths[key].parent.mkdir(parents=True, exist_ok=True)
            if block.of == "npz":
                _write_npz(paths[key], known, scale)
            else:
                write_tile(paths[key], known[0][:, :, None], np.ones(valid.shape, bool), Grid.nowhere(valid.shape))
            session.stop.check("finished maps are kept")
            tick.advance()


def _write_npz(path: Path, values: NDArray[np.unsignedinteger], scale: int) -> None:
    """Write probabilities times 10,000, rounded down, as the array `logits`, uint16 (K, H, W) (SEEDS 003.2)."""
    planes = np.empty(values.shape, np.uint16)
    for place, plane in zip(planes, values, strict=True):
        place[:] = plane.astype(np.uint32) * NPZ_SCALE // scale
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, logits=planes)


def _write_masks(
    session: Session, decision: Decision, chosen: Mapping[str, Target], block: MapVoteOutput, leaf: str
) -> None:
    """Write a member's masks by its own threshold as a dictionary."""
    own, path = alone(decision, leaf), _place(session, block, leaf)
    keys = {key + block.key_extension: key for key in chosen}
    path.parent.mkdir(parents=True, exist_ok=True)
    with session.reporter.task(f"export {block.file} {leaf}", len(keys)) as tick:

        def label(name: str) -> NDArray[np.uint8]:
            session.stop.check("masks are kept, the dictionary is begun anew")
            tick.advance()
            return voter_label(session, own, leaf, chosen[keys[name]])

        write_dictionary(path, tuple(keys), label)
