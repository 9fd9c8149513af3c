"""What a split means on the ground: areas and distances of folds, said in a line and written down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from maskwright.core.files import write_json
from maskwright.core.recipe.folds import Spatial
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.folds.folds import HOLDOUT, FoldRow
from maskwright.data.folds.ground import FoldGround, block_size, fold_ground
from maskwright.workflows.session import Session

ENOUGH = 0.5
"""Share of the items not scored that a fold should be trained on."""


def tell(session: Session, rows: Sequence[FoldRow], print_: Fingerprint, kept: Mapping[int, Sequence[str]]) -> None:
    """Say how far training and scoring lie apart on the ground, if items have a place, and write ground.json.

    Args:
        session: recipe, run folder and reporter.
        rows: where each item went.
        print_: says where items lie.
        kept: fold -> what it is trained on.
    """
    block = session.recipe.folds
    scored = {fold: [row.key for row in rows if row.fold == fold] for fold in range(block.count)}
    if block.kind == "all" or not all(scored.values()):
        return
    found = fold_ground(print_, scored, kept)
    if not found:
        return
    spatial = block.spatial or Spatial()
    if block.kind in ("spatial", "holdout") and spatial.unit == "block" and (block.spatial or block.kind == "spatial"):
        how = "" if spatial.size else ", chosen to give about four a fold; set folds.spatial.size"
        session.reporter.say(f"split: blocks of {block_size(print_, spatial, block.count):g} m{how}")
    for one in found:
        session.reporter.say(f"split: {in_words(one)}")
    for fold, keys in kept.items():
        free = sum(row.fold not in (fold, HOLDOUT) for row in rows)
        if len(keys) < ENOUGH * free:
            session.reporter.warn(
                f"fold {fold} is trained on {len(keys)} of {free} items that are not scored: the others lie too near; "
                "make blocks larger, choose unit: cluster with as many clusters as folds, or a smaller buffer"
            )
    one_by_one = block.group is None and block.spatial is None and block.kind in ("plain", "stratified", "holdout")
    if one_by_one and any(one.distance is not None and one.distance < 1 for one in found):
        session.reporter.warn(
            "items that touch on the ground are trained on and scored: neighbours look alike, and scores are too "
            "good for new places; set folds.kind: spatial"
        )
    write_json(session.run.ground, {"version": 1, "folds": [one.to_plain() for one in found]})


def in_words(one: FoldGround) -> str:
    """Say areas and distance of one fold."""
    away = "in other parts of the world" if one.distance is None else f"{one.distance:.0f} m away"
    return (
        f"fold {one.fold} is scored on {squares(one.scored)} and trained on {squares(one.trained)}, {away}; "
        f"{one.shared:.0f} m2 are in both"
    )


def squares(area: float) -> str:
    """Write an area in words: 1.25 km2."""
    return f"{area / 1e6:.3g} km2" if area >= 1e5 else f"{area:.0f} m2"
