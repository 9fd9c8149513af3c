"""Votes on folders of probability maps or masks: items joined by name, one in memory at a time."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from maskwright.core import rle
from maskwright.core.errors import InputError
from maskwright.core.files import atomic_path
from maskwright.core.grid import Grid
from maskwright.core.pickles import LabelBook
from maskwright.core.progress import Reporter
from maskwright.core.recipe.map_votes import MapFormat, MapVote
from maskwright.core.recipe.votes import Group, named
from maskwright.core.stop import Stop
from maskwright.data.pixels.rasters import read_mask
from maskwright.ensembling import votes_maps
from maskwright.ensembling.votes_rules import exact_weights, needed, whole
from maskwright.output.pickled import write_dictionary
from maskwright.output.tiles import write_tile, write_tile_mask

MOST_PIXELS = 1 << 28
MOST_PLANES = 254
NPZ_SCALE = 10_000
Mask = NDArray[np.uint8]


class MapPlan(MapVote):
    """A vote on folders of maps."""

    version: Literal[1] = 1
    """Of the plan's format."""
    format: MapFormat
    """See MAP_FORMATS."""
    output: str
    """maps: folder of masks of 0 and 255; npz: CSV file of image_name,class,rle; joblib: such a file of 0 and 1."""
    members: dict[str, str] = Field(min_length=1)
    """Name -> folder; of joblib: file."""
    weights: dict[str, float] | str | None = None
    """For vote and mean: member -> weight, or a CSV file of member,weight or member,score."""
    thresholds: dict[str, float | tuple[float, ...]] | None = None
    """For soft: member -> its threshold, or one for each class."""
    classes: tuple[str, ...] = ()
    """For npz: a name for each plane, in order."""

    @field_validator("members", mode="before")
    @classmethod
    def _listed(cls, members: Any) -> Any:
        return named(members)

    @model_validator(mode="after")
    def _fits(self) -> MapPlan:
        if self.format == "npz" and not self.classes:
            raise ValueError("npz needs classes; write a name for each plane")
        fault = self.fault(self.format, weights=self.weights is not None, thresholds=self.thresholds is not None)
        if fault is not None:
            raise ValueError(fault)
        return self


def run_maps(plan: MapPlan, folder: Path, reporter: Reporter, stop: Stop | None = None) -> None:
    """Vote on maps and say what came of it.

    Args:
        plan: what to vote on.
        folder: what its paths are relative to.
        reporter: gets progress and one line.
        stop: looked at between items.

    Raises:
        InputError: a folder lacks an item, a map of another size or type.
        StorageError: disk full or no permission.
    """
    suffixes = (".npz",) if plan.format == "npz" else (".tif", ".tiff", ".png")
    if plan.format == "joblib":
        _vote_books(plan, folder, reporter, stop)
        return
    files = _joined({name: folder / where for name, where in plan.members.items()}, suffixes)
    judge, output = _Judge(plan, folder), folder / plan.output
    with reporter.task("vote", len(files)) as tick:
        if plan.format == "npz":
            with atomic_path(output) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
                stream.write("image_name,class,rle\n")
                for key, paths in files.items():
                    for name, mask in _npz_masks(key, paths, plan, judge):
                        stream.write(f"{key}.png,{name},{rle.encode(mask)}\n")
                    _between(stop, tick)
        else:
            for key, paths in files.items():
                _write(output / f"{key}{paths[0].suffix}", judge.of(_maps(paths), 0))
                _between(stop, tick)
    reporter.say(f"{output}: {len(files)} items of {len(plan.members)} members, rule {plan.rule_in(plan.format)}")


def _vote_books(plan: MapPlan, folder: Path, reporter: Reporter, stop: Stop | None) -> None:
    """Vote on dictionaries of masks; those of one name are in memory at a time."""
    books = {name: LabelBook(folder / where) for name, where in plan.members.items()}
    first, output, judge = next(iter(books.values())), folder / plan.output, _Judge(plan, folder)
    if any(output.resolve() == book.path.resolve() for book in books.values()):
        raise InputError("the output is one of the members", where=output, fix="write to another file")
    for book in books.values():
        odd = sorted(set(book.names) ^ set(first.names))
        if odd:
            lacks = book.path if odd[0] in first.names else first.path
            what = f"no mask of '{odd[0]}' ({len(odd)} names are not in both {first.path.name} and {book.path.name})"
            raise InputError(what, where=lacks, fix="vote on files of the same names")
    with reporter.task("vote", len(first.names)) as tick:

        def voted(name: str) -> Mask:
            masks = [book.read(name) for book in books.values()]
            for book, mask in zip(books.values(), masks, strict=True):
                if mask.shape != masks[0].shape or mask.ndim != 2:
                    what = f"'{name}' is {mask.shape}, in {first.path.name} {masks[0].shape}"
                    raise InputError(what, where=book.path, fix="vote on masks of one size")
            _between(stop, tick)
            return judge.of(masks, 0, 1)

        write_dictionary(output, first.names, voted)
    reporter.say(f"{output}: {len(first.names)} items of {len(books)} members, rule {plan.rule_in(plan.format)}")


def _between(stop: Stop | None, tick: Any) -> None:
    tick.advance()
    if stop is not None:
        stop.check("run it again")


def _joined(folders: Mapping[str, Path], suffixes: Sequence[str]) -> dict[str, list[Path]]:
    """Return key -> the file of each member; keys are paths below a member's folder, without suffix."""
    found: list[dict[str, Path]] = []
    for where in folders.values():
        if not where.is_dir():
            raise InputError("no such folder", where=where, fix="check the path")
        files = sorted(path for path in where.rglob("*") if path.suffix.lower() in suffixes)
        found.append({path.relative_to(where).with_suffix("").as_posix(): path for path in files})
        if not files or len(found[-1]) < len(files):
            what = f"two files differ by suffix alone, or there is none that ends in {', '.join(suffixes)}"
            raise InputError(what, where=where, fix="give a folder with one file for each item")
    first, keys = next(iter(folders.values())), list(found[0])
    for where, files_of in zip(folders.values(), found, strict=True):
        odd = sorted(set(keys) ^ set(files_of))
        if odd:
            lacks = where if odd[0] in found[0] else first
            what = f"no file for '{odd[0]}' ({len(odd)} items are not in both {first} and {where})"
            raise InputError(what, where=lacks, fix="vote on folders of the same items")
    return {key: [files_of[key] for files_of in found] for key in keys}


class _Judge:
    """A plan's rule on the maps of one item."""

    def __init__(self, plan: MapPlan, folder: Path) -> None:
        self.plan = plan
        self.weights = list(exact_weights(plan.weights, plan.members, "vote", folder).values())
        self.thresholds: list[tuple[float, ...]] = []
        self.rule = plan.rule_in(plan.format)
        if self.rule == "vote":
            self.shares, self.need = _hard(plan, self.weights)
        if plan.thresholds is not None:
            odd = sorted(set(plan.thresholds) ^ set(plan.members))
            if odd:
                what = f"'{odd[0]}' is not both in members and in thresholds"
                raise InputError(what, where="thresholds", fix="give one for each member")
            planes = max(len(plan.classes), 1)
            for name in plan.members:
                given = plan.thresholds[name]
                each = given if isinstance(given, tuple) else (given,) * planes
                if len(each) != planes or not all(math.isfinite(value) for value in each):
                    what = f"{len(each)} thresholds of '{name}' for {planes} classes"
                    raise InputError(what, where="thresholds", fix="give one, or one for each class")
                self.thresholds.append(each)

    def of(self, maps: Sequence[NDArray[Any]], plane: int, scale: int | None = None) -> Mask:
        """Return the answer, uint8 (H, W) of 0/1."""
        plan, scale = self.plan, scale or int(np.iinfo(maps[0].dtype).max)
        if self.rule == "vote":
            return votes_maps.hard(maps, self.shares, self.need)
        if self.rule == "soft":
            return votes_maps.soft(maps, [each[plane] for each in self.thresholds], scale)
        assert plan.threshold is not None
        if self.rule == "mean":
            return votes_maps.mean(maps, self.weights, plan.threshold, scale)
        return votes_maps.low_variance(maps, plan.threshold, scale, plan.resize)


def _hard(plan: MapPlan, weights: Sequence[Fraction]) -> tuple[list[int], int]:
    group = Group(members=dict(plan.members), at_least=plan.at_least, threshold=plan.threshold, weights=plan.weights)
    shares = whole(weights)
    return shares, needed(group, "vote", shares)


def _maps(paths: Sequence[Path]) -> list[NDArray[Any]]:
    """Read one item's map of every member."""
    maps = [read_mask(path, MOST_PIXELS) for path in paths]
    for path, each in zip(paths, maps, strict=True):
        if each.dtype not in (np.uint8, np.uint16) or (each.shape, each.dtype) != (maps[0].shape, maps[0].dtype):
            what = f"{each.shape[0]} x {each.shape[1]} of {each.dtype}, but {paths[0]} has "
            what += f"{maps[0].shape[0]} x {maps[0].shape[1]} of {maps[0].dtype}"
            raise InputError(what, where=path, fix="vote on maps of one size, all uint8 or all uint16")
    return maps


def _write(path: Path, mask: Mask) -> None:
    label = mask * np.uint8(255)
    if path.suffix.lower() == ".png":
        write_tile_mask(path, label)
    else:
        where = Grid.nowhere(label.shape)
        write_tile(path.with_suffix(".tif"), label[:, :, None], np.ones(label.shape, bool), where)


def _npz_masks(key: str, paths: Sequence[Path], plan: MapPlan, judge: _Judge) -> Iterator[tuple[str, Mask]]:
    """Give name and answer of each plane; one plane of each member is in memory."""
    with ExitStack() as stack:
        streams = [_planes(path, stack) for path in paths]
        shapes = [shape for _, shape in streams]
        for path, shape in zip(paths, shapes, strict=True):
            if shape != shapes[0] or shape[0] != len(plan.classes):
                what = f"logits of shape {shape}, for {len(plan.classes)} classes and {shapes[0]} in {paths[0].name}"
                raise InputError(what, where=path, fix="give arrays of (classes, H, W), all alike")
        size = 2 * shapes[0][1] * shapes[0][2]
        for plane, name in enumerate(plan.classes):
            maps = []
            for path, (stream, shape) in zip(paths, streams, strict=True):
                data = stream.read(size)
                if len(data) != size:
                    raise InputError("the array is cut off", where=path, fix="write it again")
                maps.append(np.frombuffer(data, "<u2").reshape(shape[1:]))
            yield name, judge.of(maps, plane, NPZ_SCALE)


def _planes(path: Path, stack: ExitStack) -> tuple[IO[bytes], tuple[int, ...]]:
    """Open the array of a file; its header alone is read, nothing in it can run code."""
    try:
        stream = stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open("logits.npy"))
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"no npz with an array 'logits' ({error})", where=path, fix="write it again") from None
    pixels = math.prod(shape[1:])
    if (
        dtype != np.dtype("<u2")
        or fortran
        or len(shape) != 3
        or not 0 < pixels <= MOST_PIXELS
        or shape[0] > MOST_PLANES
    ):
        what = f"'logits' is {dtype} of shape {shape}"
        raise InputError(what, where=path, fix="give uint16 of (classes, H, W), probability times 10,000")
    return stream, tuple(shape)
