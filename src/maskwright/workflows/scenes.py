"""The verb predict on rasters of any size: each becomes a probability raster and a class raster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import DataError, InputError, MemoryLimitError
from maskwright.core.files import read_json, safe_name, write_json
from maskwright.core.grid import Grid, Lattice
from maskwright.core.labels import Task
from maskwright.core.recipe.load import recipe_hash
from maskwright.core.recipe.scene_output import ScenesOutput
from maskwright.core.runs import RunFolder, plain_json
from maskwright.core.version import __version__
from maskwright.data.pixels.rasters import SUFFIXES
from maskwright.data.pixels.windows import Windows, opened_windows
from maskwright.inference.spool import NODATA, Spool
from maskwright.output.geotiff import Layer, write_geotiff
from maskwright.output.vector import check_format
from maskwright.workflows.scene_extras import Place, add_extras
from maskwright.workflows.scene_field import Field, field_of
from maskwright.workflows.scene_members import Lineup, Wishes, gather
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.inference.scene import Layout, Scenery

SHARE = 4
"""One part in so many of --memory is for what grows with the width of a raster; models and libraries take the rest."""


@dataclass(frozen=True)
class ScenePlan:
    """What is to be predicted, and where answers go."""

    input: Path
    """A raster, or a folder that is searched for rasters."""
    output: Path
    memory: int = 2 << 30
    """Bytes the whole process should stay below."""
    wishes: Wishes = field(default_factory=Wishes)
    extras: ScenesOutput = field(default_factory=ScenesOutput)
    """What is made beside the two rasters."""
    workers: int | None = None
    """On a cluster, how many pieces are made at once; None: as many as it has room for."""


@dataclass(frozen=True)
class Begun:
    """A raster whose answer is to be made."""

    name: str
    path: Path
    place: Place
    grid: Grid
    lattice: Lattice
    made_from: dict[str, Any]
    """What bands and answer depend on."""
    field: Field | None
    """What smooths its labels at the end."""


class Faults:
    """What is wrong with rasters, told when all others are made."""

    def __init__(self, session: Session, rasters: Mapping[str, Path]) -> None:
        self._reporter, self._several = session.reporter, len(rasters) > 1
        self._found: list[InputError] = []

    def add(self, fault: InputError) -> None:
        """Leave a raster out."""
        self._found.append(fault)
        if self._several:
            self._reporter.warn(f"left out: {fault}")

    def tell(self) -> None:
        """Raise what was found, if anything was."""
        if self._found:
            raise self._found[0] if len(self._found) == 1 else DataError(self._found)


def predict_scenes(session: Session, plan: ScenePlan) -> None:
    """Predict each raster that is not there yet; goes on where a killed command stopped.

    Args:
        session: an opened recipe, trained; its data set need not be there.
        plan: what, where and how.

    Raises:
        InputError: a raster cannot be read, or is not like those of the training. Others of a folder are made.
        StorageError: disk full; finished row bands are kept, and no file has a final name before it is whole.
        MemoryLimitError: rows of that width do not fit.
        Interrupted: a signal asked to stop; finished row bands are kept.
    """
    rasters = find_rasters(plan.input, plan.output)
    with session.stop.listening(), RunFolder(plan.output).lock():
        predict_rasters(session, plan, rasters)


def predict_rasters(session: Session, plan: ScenePlan, rasters: Mapping[str, Path]) -> None:
    """Predict named rasters into a folder that nobody else works in; see predict_scenes.

    Args:
        session: an opened recipe, trained.
        plan: where and how; its input is not looked at.
        rasters: name -> file; names may have folders.
    """
    from maskwright.inference.forward import Machine

    lineup = gather(session, plan.wishes, Machine().resolve().type)
    for note in lineup.notes:
        session.reporter.say(f"note: {note}")
    scenery, faults = lineup.scenery(), Faults(session, rasters)
    for name, path in rasters.items():
        try:
            with opened_windows(path, session.recipe.data.max_pixels) as raster:
                begun = begin(session, plan, lineup, raster, name)
                if begun is None:
                    continue
                with opened_spool(session, lineup, begun) as spool:
                    _fill(session, scenery, raster, spool, begun)
                    finish(session, plan, lineup, begun, spool)
        except InputError as error:
            faults.add(error)
    faults.tell()


def find_rasters(path: Path, output: Path) -> dict[str, Path]:
    """Return name -> file, names being paths below the folder without suffix; answers in `output` are none.

    Raises:
        InputError: there is no such file, a folder holds none, or two have one name.
    """
    if path.is_file():
        return {path.stem: path}
    if not path.is_dir():
        raise InputError("no such file or folder", where=path, fix="check --input")
    found: dict[str, Path] = {}
    inner = output.resolve()
    for file in sorted(path.rglob("*")):
        hidden = any(part.startswith(".") for part in file.relative_to(path).parts)
        if file.suffix.lower() not in SUFFIXES or hidden or not file.is_file():
            continue
        if inner != path.resolve() and file.resolve().is_relative_to(inner):
            continue
        name = file.relative_to(path).as_posix()[: -len(file.suffix)]
        if name in found:
            what = f"differs from {found[name].name} in its suffix alone, and both would give {name}_classes.tif"
            raise InputError(what, where=file, fix="rename one")
        found[name] = file
    if not found:
        raise InputError("holds no raster", where=path, fix=f"give files ending in {', '.join(SUFFIXES)}")
    if inner == path.resolve():
        raise InputError("is the folder of the input", where=output, fix="choose another --output")
    return found


def place_of(output: Path, name: str) -> Place:
    """Return the files of the answer to a raster."""
    *folders, last = name.split("/")
    return Place(output.joinpath(*map(safe_name, folders)), safe_name(last))


def begin(session: Session, plan: ScenePlan, lineup: Lineup, raster: Windows, name: str) -> Begun | None:
    """Check a raster before it is predicted; None: it was already, and at most extras were missing.

    Raises:
        InputError: polygons of that format cannot be.
        MemoryLimitError: rows of that width do not fit, or what a random field looks at.
    """
    place, lattice = place_of(plan.output, name), lineup.layout.lattice(raster.shape)
    _refuse_width(lineup.layout, lattice, plan, raster.path)
    smoothing = None if lineup.crf is None else field_of(session, lineup.crf, raster, plan.memory // SHARE)
    made_from = plain_json({"maskwright": __version__, "raster": raster.identity(), **lineup.facts})
    if plan.extras.polygons is not None:
        check_format(plan.extras.polygons.format, raster.grid.crs, raster.path)
    if not _is_made(place, made_from):
        return Begun(name, raster.path, place, raster.grid, lattice, made_from, smoothing)
    if not _add(session, plan, place, raster.grid):
        session.reporter.say(f"predict {name}: nothing to do")
    return None


@contextmanager
def opened_spool(session: Session, lineup: Lineup, begun: Begun) -> Iterator[Spool]:
    """Open the bands of a raster, and say how many are there."""
    with Spool(begun.place.work, begun.lattice, lineup.layout.layers, begun.made_from) as spool:
        if spool.renewed:
            what = "again, since raster, members or settings are others than before"
            session.reporter.say(f"predict {begun.name}: {what}")
        if spool.bands:
            what = f"{spool.bands} of {len(begun.lattice.rows)} row bands were there already"
            session.reporter.say(f"predict {begun.name}: {what}")
        yield spool


def finish(session: Session, plan: ScenePlan, lineup: Lineup, begun: Begun, spool: Spool) -> None:
    """Make the final files of a raster whose bands are all whole."""
    place, lattice = begun.place, begun.lattice
    _write(session, lineup, begun, spool)
    write_json(place.facts, {**begun.made_from, "recipe": recipe_hash(session.recipe), "notes": list(lineup.notes)})
    spool.remove()
    size, count = f"{lattice.shape[0]} x {lattice.shape[1]} pixels", len(lattice.rows) * len(lattice.cols)
    written = f"written as {place.classes.name} and {place.probability.name}"
    session.reporter.say(f"predict {begun.name}: {size} in {count} window{'s' if count > 1 else ''}, {written}")
    _add(session, plan, place, begun.grid)


def _add(session: Session, plan: ScenePlan, place: Place, grid: Grid) -> bool:
    """Make what is wanted beside the rasters and is not there; say whether there was any."""
    task, extras = session.recipe.task, plan.extras
    return add_extras(place, grid, task, extras.polygons, session.reporter.say, uncertainty=extras.uncertainty)


def _fill(session: Session, scenery: Scenery, raster: Windows, spool: Spool, begun: Begun) -> None:
    from maskwright.inference.scene import predict_scene

    rows, cols = len(begun.lattice.rows), len(begun.lattice.cols)
    with session.reporter.task(f"predict {begun.name}", rows * cols, spool.bands * cols) as tick:
        predict_scene(scenery, raster, spool, tick, session.stop)


def _refuse_width(layout: Layout, lattice: Lattice, plan: ScenePlan, path: Path) -> None:
    """Refuse a raster whose rows are too wide for the memory that was allowed."""
    held = layout.bytes_held(lattice)
    if held > plan.memory // SHARE:
        what = f"rows of {lattice.shape[1]} pixels hold {held / 2**20:.0f} MiB, and a quarter of --memory is "
        what += f"{plan.memory / SHARE / 2**20:.0f} MiB"
        fix = "lower --overlap or --window, or allow more --memory"
        raise MemoryLimitError(what, where=path, fix=fix)


def _is_made(place: Place, made_from: Mapping[str, Any]) -> bool:
    if not all(path.exists() for path in (place.facts, place.probability, place.classes)):
        return False
    known = read_json(place.facts)
    return isinstance(known, dict) and all(known.get(key) == value for key, value in made_from.items())


def _write(session: Session, lineup: Lineup, begun: Begun, spool: Spool) -> None:
    """Make the final rasters from finished bands."""
    from maskwright.inference.scene import CLASSES, PROBABILITY, SCALE

    task, place, grid = session.recipe.task, begun.place, begun.grid
    tags = {"SOFTWARE": f"maskwright {__version__}", "RECIPE": session.recipe.name}
    tags["MEMBERS"] = ", ".join(lineup.facts["members"])
    scaled = {**tags, "PROBABILITY_SCALE": str(SCALE), "PROBABILITY": f"value / {SCALE}; {NODATA} is no data"}
    probability = Layer(grid, task.plane_names, NODATA, scaled, scale=1 / SCALE)
    place.forget()
    write_geotiff(place.probability, probability, partial(spool.read, PROBABILITY))
    session.stop.check(f"all row bands of {place.name} are finished")
    labels = partial(spool.read, CLASSES)
    if begun.field is not None:
        labels = partial(begun.field.rows, session, begun.name, begun.path, labels)
    write_geotiff(place.classes, _class_layer(task, grid, tags), labels)


def _class_layer(task: Task, grid: Grid, tags: Mapping[str, str]) -> Layer:
    if task.kind == "multilabel":
        return Layer(grid, task.plane_names, NODATA, tags, overviews="mode")
    colours = [(int(red), int(green), int(blue)) for red, green, blue in task.palette]
    if task.kind == "binary":
        colours = [(0, 0, 0), *colours]
    palette = dict(enumerate(colours))
    return Layer(grid, ("class",), NODATA, tags, palette=palette, value_names=task.value_names, overviews="mode")
