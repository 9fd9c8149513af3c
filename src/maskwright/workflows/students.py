"""A student's recipe and run folder: its teacher's, made harder, with the same items, folds and fingerprint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.files import atomic_path
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import build, to_plain
from maskwright.core.recipe.members import Model
from maskwright.core.recipe.plain import merge
from maskwright.core.recipe.selftrain import SelfTrain
from maskwright.core.runs import RunFolder
from maskwright.workflows.lessons import batch_of
from maskwright.workflows.session import Session, check_names

FIRST = ("inspect/train", "inspect/test", "split")
"""Units that a student takes over from its teacher."""


def student_recipe(recipe: Recipe, settings: SelfTrain, number: int) -> Recipe:
    """Return the recipe of a round's students: the teachers', with noise in the networks.

    Args:
        recipe: the teachers'.
        settings: its block selftrain, or the default.
        number: of the round.

    Raises:
        InputError: an encoder has no stochastic depth, or an option is not one of the network's.
    """
    plain = to_plain(recipe)
    plain["name"] = f"{recipe.name[:55]}-round{number}"
    plain["selftrain"] = {**settings.of_round(number).model_dump(mode="json"), "rounds": 1}  # whatever follows
    noise = settings.noise
    for name, member in recipe.members.items():
        where = f"members.{name}.model"
        options = {} if noise.drop_path is None else depth_options(member.model, noise.drop_path, where)
        given = plain["members"][name]["model"]
        given["options"] = merge(merge(given["options"], options), noise.options)
    return build(plain, where="selftrain.noise")


def depth_options(model: Model, rate: float, where: str) -> dict[str, Any]:
    """Return the options with which a network's encoder has stochastic depth.

    Args:
        model: the member's block.
        rate: of the last block.
        where: recipe key for messages.

    Raises:
        InputError: it has none.
    """
    from maskwright.models.build import ARCHITECTURES
    from maskwright.models.smp import Smp
    from maskwright.models.zoo.encoders import ENCODERS

    smp = isinstance(ARCHITECTURES.get(model.architecture), Smp)
    if model.encoder.startswith("tu-"):
        found: dict[str, Any] = {"drop_path_rate": rate}
        return found if smp else {"encoder": found}
    known = type(ENCODERS[model.encoder].defaults).model_fields if model.encoder in ENCODERS and not smp else {}
    for key in ("drop_path", "drop_connect"):
        if key in known:
            return {"encoder": {key: rate}}
    raise InputError(
        f"encoder {model.encoder} has no stochastic depth that selftrain.noise.drop_path could set",
        where=f"{where}.encoder",
        fix=f"leave drop_path out, or use a timm encoder such as tu-{model.encoder.removeprefix('tu-')}",
    )


def check(recipe: Recipe, settings: SelfTrain, path: Path) -> None:
    """Refuse before any work what students could not be trained with.

    Args:
        recipe: the teachers'.
        settings: how students are made.
        path: of the recipe, for messages.

    Raises:
        RecipeError, InputError: naming the key.
    """
    from maskwright.data.augment import base, table
    from maskwright.training.losses import table as losses

    where = f"{path}:selftrain"
    bands = len(recipe.data.bands) if recipe.data.bands else None
    setting = base.Setting(recipe.task, bands, soft=settings.labels == "soft")
    table.check(settings.noise.augment, f"{where}.noise.augment", setting)
    for name, member in recipe.members.items():
        names = settings.loss_of(member.loss)
        key = f"{where}.loss" if settings.loss or settings.labels == "soft" else f"{path}:members.{name}.loss"
        losses.check(names, recipe.task, key)
        for each in names:
            if losses.LOSSES[each].learns:
                raise RecipeError(
                    f"loss '{each}' learns from validations, which teachers' labels have none of",
                    where=f"{key}.{each}",
                    fix="name another loss in selftrain.loss",
                )
        batch_of(settings, member.train)
    check_names(student_recipe(recipe, settings, 1), path)


def open_student(session: Session, settings: SelfTrain, number: int) -> Session:
    """Return the session of a round's students, in a folder below the first teachers' run.

    Args:
        session: of the first teachers.
        settings: how students are made.
        number: of the round.
    """
    run = RunFolder(session.run.root / "selftrain" / f"round{number}")
    recipe = student_recipe(session.recipe, settings, number)
    return Session(recipe, session.recipe_dir, run, session.reporter, session.stop, session.redo)


def take_over(session: Session, run: RunFolder) -> None:
    """Copy what inspect and split wrote into a student's run folder, and their entries of the manifest."""
    ours = session.run
    for unit in FIRST:
        inputs = ours.inputs(unit)
        if inputs is None:
            run.forget(unit)
        elif not run.check(unit, inputs).done:
            run.forget(unit)
    for name in ("fingerprint", "fingerprint_test", "audit", "files", "folds", "ground"):
        path: Path = getattr(ours, name)
        _copy(path, run.root / path.name)
    for unit in FIRST:
        inputs = ours.inputs(unit)
        if inputs is not None:
            run.finish(unit, inputs)


def _copy(source: Path, target: Path) -> None:
    """Copy a file, unless the same bytes are there; one that is not there any more goes from the copy too."""
    if not source.exists():
        target.unlink(missing_ok=True)
        return
    if target.exists() and target.read_bytes() == source.read_bytes():
        return
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
