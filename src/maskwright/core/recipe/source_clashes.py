"""Where sources of labelled items disagree with the task or with themselves, in words."""

from __future__ import annotations

from collections.abc import Iterator

from maskwright.core.errors import near
from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.sources import (
    CocoSource,
    FolderSource,
    MaskBlock,
    MergeSource,
    MinedSource,
    PlainSource,
    PolygonsSource,
    RleCsvSource,
    SceneSource,
    Source,
    TableSource,
    vector_clashes,
)

_USUAL_BORDER = MaskBlock.model_fields["border"].default


def source_clashes(name: str, source: Source, task: Task) -> list[str]:
    """List every place where data.train or data.test disagrees with the task or with itself.

    Args:
        name: train or test.
        source: its block.
        task: names the classes.
    """
    found = []
    for where, part in parts_of(f"data.{name}", source):
        labelled = is_labelled(part)
        if labelled:
            found += _of_part(where, part, task)
        elif name == "train":
            found.append(_unlabelled(where, part))
        if name == "test" and part.role == "train_only":
            found.append(f"{where}.role: train_only items are for data.train; test items are predicted and scored")
    if isinstance(source, MergeSource) and source.bare is not None and source.bare not in source.parts:
        hint = near(source.bare, source.parts)
        found.append(f"data.{name}.bare: no part '{source.bare}'{hint}; use one of: {', '.join(source.parts)}")
    labels = {is_labelled(part) for _, part in parts_of("", source)}
    if name == "test" and len(labels) > 1:
        listed = ", ".join(where for where, part in parts_of("data.test", source) if not is_labelled(part))
        found.append(f"{listed}: unlabelled beside labelled parts; a test set has labels for all parts, or for none")
    if name == "train" and all(part.role == "train_only" for _, part in parts_of("", source)):
        found.append("data.train.role: train_only leaves no item to score; let one source have role: full")
    return found


def parts_of(where: str, source: Source) -> Iterator[tuple[str, PlainSource]]:
    """Yield the plain sources of a source, each with its place in the recipe."""
    if isinstance(source, MergeSource):
        for name, part in source.parts.items():
            yield f"{where}.parts.{name}", part
    else:
        yield where, source


def is_labelled(source: PlainSource) -> bool:
    """Say whether a source has labels."""
    return source.labelled if isinstance(source, FolderSource | TableSource | SceneSource) else True


def _unlabelled(where: str, source: PlainSource) -> str:
    if isinstance(source, SceneSource):
        return f"{where}.labels is missing; name polygons, label rasters, or label_column of the table"
    if isinstance(source, TableSource):
        return f"{where}.mask_column is missing; name the column with the masks' paths"
    return f"{where}.masks is missing; name the folder of masks, or take unlabelled images out of data.train"


def _of_part(where: str, source: PlainSource, task: Task) -> list[str]:
    if isinstance(source, RleCsvSource):
        return _of_runs(where, source, task)
    if isinstance(source, CocoSource | PolygonsSource):
        return vector_clashes(where, source, task)
    if isinstance(source, SceneSource):
        return _of_scenes(where, source, task)
    if isinstance(source, MinedSource):
        return _of_mined(where, task)
    found = _of_table(where, source, task) if isinstance(source, TableSource) else []
    if (
        isinstance(source, FolderSource)
        and source.layout is not None
        and (source.encoding != "planes" and not (source.encoding == "soft" and task.kind != "binary"))
    ):
        found.append(f"{where}.layout: {source.layout} is for encoding: planes, this one is {source.encoding}")
    return found + _ENCODINGS[source.encoding](where, source, task) + _unused(where, source)


def _of_scenes(where: str, source: SceneSource, task: Task) -> list[str]:
    if (source.images is None) == (source.table is None):
        return [f"{where}: give either images (a GeoTIFF or a folder) or table (a CSV file)"]
    if source.label_column is not None and (source.table is None or source.labels is not None):
        return [f"{where}.label_column: it is a column of the table; give it without labels, or leave it out"]
    if source.chip == "whole" and source.chip_overlap:
        return [f"{where}.chip_overlap: whole scenes do not overlap; leave it out"]
    found = vector_clashes(where, source, task) if source.labelled else []
    if source.categories is not None and source.attribute is None:
        found.append(f"{where}.categories: values of an attribute are mapped; set attribute")
    return found + [
        f"{where}.values: {raw} is mapped to {value}, which is not one of {list(task.values)}"
        for raw, value in (source.values or {}).items()
        if value != "ignore" and value not in task.values
    ]


def _of_mined(where: str, task: Task) -> list[str]:
    if task.kind != "multiclass" or looks_background(task.classes[0]):
        return []
    return [f"{where}.format: mined windows are background, and the first class is '{task.classes[0]}'; leave it out"]


def _of_runs(where: str, source: RleCsvSource, task: Task) -> list[str]:
    if (task.kind == "binary") != (source.class_column is None):
        rest = "has one foreground class and takes no class_column" if task.kind == "binary" else "needs it"
        return [f"{where}.class_column: a {task.kind} task {rest}"]
    if source.overlap != "refuse" and task.kind != "multiclass":
        return [f"{where}.overlap: {source.overlap} is for multiclass tasks; in a {task.kind} task rows may overlap"]
    return []


def _of_table(where: str, source: TableSource, task: Task) -> list[str]:
    if source.mask_column is not None and source.mask_columns is not None:
        return [f"{where}: mask_column and mask_columns exclude each other; keep one"]
    if (source.encoding == "planes") != (source.mask_columns is not None):
        return [f"{where}.mask_columns: encoding: planes and mask_columns go together; give both or neither"]
    if source.mask_columns is not None and set(source.mask_columns) != set(task.classes):
        odd = sorted(set(source.mask_columns) ^ set(task.classes))[0]
        return [f"{where}.mask_columns: name a column for each of {', '.join(task.classes)}; '{odd}' does not fit"]
    return []


def _unused(where: str, source: MaskBlock) -> list[str]:
    """Name settings that the encoding does not look at."""
    found = []
    if source.palette is not None and source.encoding != "rgb":
        found.append(f"{where}.palette: colours are for encoding: rgb, this one is {source.encoding}")
    if source.values is not None and source.encoding in ("rgb", "instances"):
        instead = "colours are named by palette" if source.encoding == "rgb" else "every value above 0 is an object"
        found.append(f"{where}.values: not for encoding: {source.encoding}; {instead}")
    if source.target != "binary" and source.encoding != "instances":
        found.append(f"{where}.target: {source.target} is for encoding: instances, this one is {source.encoding}")
    if source.border != _USUAL_BORDER and (source.encoding != "instances" or source.target != "border"):
        found.append(f"{where}.border: a width is for encoding: instances with target: border")
    return found


def _of_index(where: str, source: MaskBlock, task: Task) -> list[str]:
    if task.kind == "multilabel":
        return [
            f"{where}.encoding: an index mask gives one class a pixel; the task is multilabel, use encoding: planes"
        ]
    return _of_values(where, source, task)


def _of_values(where: str, source: MaskBlock, task: Task) -> list[str]:
    return [
        f"{where}.values: {raw} is mapped to {value}, which is not one of {list(task.values)}"
        for raw, value in (source.values or {}).items()
        if value != "ignore" and value not in task.values
    ]


def _of_planes(where: str, source: MaskBlock, task: Task) -> list[str]:
    if task.kind != "multilabel":
        return [f"{where}.encoding: planes give a pixel any number of classes; the task is {task.kind}"]
    if source.values is None and task.ignore in (0, 1, 255):
        return [
            f"{where}.values: planes hold 0 and 1 or 255, but task.ignore is {task.ignore}; "
            "say what the values mean, e.g. {0: 0, 255: 1}"
        ]
    return _of_values(where, source, task)


def _of_colours(where: str, source: MaskBlock, task: Task) -> list[str]:
    if task.kind == "multilabel":
        return [f"{where}.encoding: a colour mask gives one class a pixel; the task is multilabel"]
    if source.palette is None and task.colours is None:
        return [f"{where}.palette: encoding: rgb needs the colour of each class; set palette, or task.colours"]
    names = [*task.value_names, "ignore"]
    found = [
        f"{where}.palette: '{name}' is no class{near(name, names)}; use one of: {', '.join(names)}"
        for name in source.palette or {}
        if name not in names
    ]
    first: dict[tuple[int, int, int], str] = {}
    for name, colours in colours_of(source, task).items():
        for colour in colours:
            other = first.setdefault(colour, name)
            if other != name:
                found.append(
                    f"{where}.palette: '{other}' and '{name}' have one colour {list(colour)}; give each its own"
                )
    return found


def colours_of(source: MaskBlock, task: Task) -> dict[str, tuple[tuple[int, int, int], ...]]:
    """Return class name (or background or ignore) -> its colours, from palette or else from task.colours.

    task.colours of a binary task with one class say nothing of the background, which is black then.
    """
    if source.palette is not None:
        return {name: given if isinstance(given[0], tuple) else (given,) for name, given in source.palette.items()}
    names, colours = list(task.value_names), list(task.colours or ())
    if task.kind == "binary" and len(colours) == 1:
        colours.insert(0, (0, 0, 0))
    return {name: (colour,) for name, colour in zip(names, colours, strict=True)}


def _of_instances(where: str, source: MaskBlock, task: Task) -> list[str]:
    if source.target == "binary":
        fits, needs = len(task.values) == 2 and task.kind != "multilabel", "a binary task, or background and one class"
    elif source.target == "border":
        fits, needs = task.kind == "multiclass" and len(task.classes) == 3, "classes background, inside and border"
    else:
        fits, needs = task.kind == "multiclass", "a multiclass task: background and one class for each level"
    got = f"{task.kind} with {len(task.classes)} classes" if len(task.classes) > 1 else f"{task.kind} with one class"
    return [] if fits else [f"{where}.target: {source.target} needs {needs}; the task is {got}"]


def _of_soft(where: str, source: MaskBlock, task: Task) -> list[str]:
    del task
    found = []
    if not isinstance(source, FolderSource):
        found.append(f"{where}.encoding: soft is for format: folder; put the masks into one folder")
    if source.values is not None:
        found.append(f"{where}.values: not for encoding: soft; the mask is the probability, 255 or 65535 being 1")
    return found


def is_soft(source: Source) -> bool:
    """Say whether labels (of a part) are probabilities."""
    return any(isinstance(part, MaskBlock) and part.encoding == "soft" for _, part in parts_of("", source))


_ENCODINGS = {
    "index": _of_index,
    "rgb": _of_colours,
    "instances": _of_instances,
    "planes": _of_planes,
    "soft": _of_soft,
}
"""Encoding -> what may not fit the task."""
