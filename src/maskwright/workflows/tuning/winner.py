"""The winning recipe as a file that `maskwright run` runs; comments say where it comes from."""

from __future__ import annotations

import os
from pathlib import Path

from maskwright.core.files import write_text
from maskwright.core.recipe.load import build, dump_resolved, to_plain
from maskwright.core.version import __version__
from maskwright.workflows.tuning.board import Row
from maskwright.workflows.tuning.finals import BASE, Final
from maskwright.workflows.tuning.space import Base, value_of

NAME = "winner.yaml"


def write_winner(base: Base, root: Path, winner: Final, best: Row, metric: str) -> Path:
    """Write root/winner.yaml.

    Args:
        base: the recipe that was searched.
        root: folder of the search.
        winner: whose values it gets.
        best: the best trial, for the comments.
        metric: what scores are called.
    """
    made = base.with_values({**winner.values, "name": f"{base.recipe.name[:57]}-winner"})
    plain = to_plain(made)
    for name, member in made.members.items():  # weights lie beside the recipe that was searched
        if member.model.local_file is not None:
            moved = os.path.relpath(base.path.parent / member.model.local_file, root)
            weights = plain["members"][name]["model"]["weights"]
            plain["members"][name]["model"]["weights"] = (
                moved if isinstance(weights, str) else {**weights, "file": moved}
            )
    path = root / NAME
    head = _head(base, root, winner, best, metric)
    write_text(path, head + dump_resolved(build(plain, where=str(path)), __version__))
    return path


def _head(base: Base, root: Path, winner: Final, best: Row, metric: str) -> str:
    lines = [f"the recipe that maskwright search found, from {base.path.name}; to run it: maskwright run {NAME}"]
    if winner.who == BASE:
        lines.append("the recipe as it is scored highest: nothing was changed")
    for key, value in winner.values.items():
        lines.append(f"{key}: {value}   (was {value_of(base, key)})")
    if winner.scores:
        shown = ", ".join(f"{score:.4f}" for score in winner.scores.values())
        lines.append(f"{metric} with seeds that it was not chosen on: {shown}; mean {winner.mean:.4f}")
    lines.append(f"best single trial: {best.origin}, {metric} {best.value:.4f}, which luck chose too")
    lines.append(f"all trials: {root.name}/search.html")
    return "".join(f"# {' '.join(line.split())}\n" for line in lines)
