"""What finished units were made from, as the manifest compares it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError
from maskwright.core.files import inside
from maskwright.core.recipe.load import digest
from maskwright.ensembling.decide import measure_of
from maskwright.workflows.avoiding import avoiding_inputs
from maskwright.workflows.lessons import lesson_inputs
from maskwright.workflows.session import Session

AUDITED = ("train", "bands", "band_names", "divide", "stretch", "max_pixels", "limit")
"""Keys of data that the fingerprint of the labelled items depends on."""
YOUNG = ("band_names", "stretch")
"""Those that came after runs were made that should stay valid; left out where nothing is asked for."""

YOUNG_VIEWS = ("scales", "sizes", "votes", "model_votes", "keep_folds")
"""Keys of predict that came later, likewise."""


def inspect_inputs(session: Session) -> dict[str, Any]:
    """Return what the fingerprint of the labelled items depends on."""
    plain = session.plain
    return {
        "task": plain["task"],
        "data": {key: plain["data"][key] for key in AUDITED if key not in YOUNG or plain["data"][key]},
        "files": session.train_files,
    }


def split_inputs(session: Session) -> dict[str, Any]:
    """Return what the folds depend on."""
    inputs = {"folds": session.plain["folds"], "data": digest(inspect_inputs(session))}
    file = session.recipe.folds.file
    if file is not None:
        path = inside(Path(session.recipe.data.root), file, "folds.file")
        inputs["file"] = digest(path.read_text(encoding="utf-8", errors="replace")) if path.is_file() else ""
    return inputs


def train_inputs(session: Session, name: str) -> dict[str, Any]:
    """Return what a trained fold depends on, key by key as in the recipe."""
    member, derived = session.recipe.members[name].trained_by(), session.plain["data"]["derived"]
    return {
        **_first_weights(session, name),
        **_first_stage(session, name),
        "seed": session.recipe.seed,
        "members": {name: member},
        "best_by": best_by(session, name),
        "data": {"normalize": session.recipe.data.normalize, **({"derived": derived} if derived else {})},
        "split": digest(split_inputs(session)),
        **avoiding_inputs(session),
        **lesson_inputs(session.run),
    }


def _first_stage(session: Session, name: str) -> dict[str, Any]:
    """Return what the member is trained by that this one starts from, if it does."""
    other = session.recipe.members[name].model.other
    return {} if other is None else {"first_stage": {other: digest(train_inputs(session, other))}}


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


def predict_inputs(session: Session, name: str) -> dict[str, Any]:
    """Return what a member's stored probabilities depend on."""
    plain = session.plain
    settings = dict(plain["members"][name]["predict"])
    mixed = settings["weights"] == "soup"
    if not mixed:  # younger than the first runs, and of no matter
        settings.pop("soup")
    for key in YOUNG_VIEWS:
        if not settings[key]:
            settings.pop(key)
    return {
        **({"soup_by": measure_of(session.recipe.decision, session.recipe.task).metric} if mixed else {}),
        "members": {name: {"predict": settings}},
        "data": {"test": plain["data"]["test"]},
        "test_files": session.test_files,
        "trained": digest(train_inputs(session, name)),
    }


def trained(session: Session, name: str, fold: int) -> bool:
    """Say whether a member's fold is trained, and by what the recipe says now."""
    return session.run.check(f"train/{name}/fold{fold}", train_inputs(session, name)).done


def refuse_untrained(session: Session, name: str, wanted: Sequence[int]) -> None:
    """Refuse a member of which a fold is not trained."""
    untrained = [fold for fold in wanted if not session.run.folds.exists() or not trained(session, name, fold)]
    if untrained:
        raise InputError(
            f"{name} is not trained yet for folds {untrained}", where=session.run.root, fix="run maskwright train first"
        )


def check_fold(fold: int | None, count: int) -> None:
    """Refuse a fold that is not there."""
    if fold is not None and not 0 <= fold < count:
        raise InputError(f"fold {fold} of {count}", where="--fold", fix=f"give 0 to {count - 1}")
