"""The scenes of data.test answered whole, below output/scenes, where the recipe asks for it."""

from __future__ import annotations

from pathlib import Path

from maskwright.core.recipe.scene_output import ScenesOutput
from maskwright.workflows.scenes import ScenePlan, place_of, predict_rasters
from maskwright.workflows.session import Session

FOLDER = "scenes"


def export_scenes(session: Session, block: ScenesOutput) -> None:
    """Predict each scene of data.test that is not there yet; goes on where a killed command stopped.

    Raises:
        InputError: a scene cannot be read, or a member is not trained.
        StorageError: disk full; finished row bands are kept.
        Interrupted: a signal asked to stop; finished row bands are kept.
    """
    rasters = _rasters(session)
    if not rasters:
        session.reporter.say("export scenes: data.test names none; maskwright predict --input answers to others")
        return
    folder = session.run.output / FOLDER
    predict_rasters(session, ScenePlan(folder, folder, extras=block), rasters)


def scene_files(session: Session, block: ScenesOutput) -> list[Path]:
    """Return every file that export_scenes is to write."""
    files: list[Path] = []
    for name in _rasters(session):
        place = place_of(session.run.output / FOLDER, name)
        files += [place.probability, place.classes, place.facts]
        files += [place.uncertainty] if block.uncertainty else []
        files += [place.polygons(block.polygons.format)] if block.polygons else []
    return files


def _rasters(session: Session) -> dict[str, Path]:
    """Return name -> file of the scenes whose chips are test items."""
    source = session.test_source
    if source is None:
        return {}
    return {source.attributes(key)["scene"]: source.image_path(key) for key in source.keys}
