"""The verb init, and inspect without a recipe: what was guessed of a set becomes a commented recipe."""

from __future__ import annotations

import datetime
import json
import os
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from maskwright.core.errors import InputError
from maskwright.core.files import write_text
from maskwright.core.progress import Reporter
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import build
from maskwright.core.runs import RunFolder
from maskwright.core.stop import Stop
from maskwright.data.guess.guess import Guess, guess_folder, guess_labels
from maskwright.workflows.session import Session, packaged_recipes

WIDTH = 116
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_/.-]*( [A-Za-z0-9_/.-]+)*")
WORDS = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Texts that some YAML readers take for something else."""
LARGE_BATCH, SMALL_BATCH = 8, 4


@dataclass(frozen=True)
class Proposal:
    """A recipe that was guessed."""

    recipe: Recipe
    text: str
    """The same as commented YAML."""
    said: tuple[str, ...]
    """What was guessed from what."""


def init(folder: Path, out: Path) -> Proposal:
    """Guess layout and task of a set from its folder, and write a commented recipe.

    Args:
        folder: data.root of the recipe.
        out: the YAML file; it must not be there yet.

    Raises:
        InputError: nothing could be guessed, or `out` is there.
    """
    if out.exists():
        raise InputError("is there already", where=out, fix="give another -o, or move it away")
    proposal = propose(guess_folder(folder), str(folder), "maskwright init")
    write_text(out, proposal.text)
    return proposal


def session_without_recipe(
    form: str, images: Path, labels: Path, classes: int | None, reporter: Reporter, out: Path | None
) -> tuple[Session, Proposal]:
    """Open what a pair of images and labels seems to be, as if a recipe had been written.

    Args:
        form: folder, coco, rle-csv or polygons.
        images: folder of images.
        labels: folder or file of labels.
        classes: how many there are; None: told from the labels.
        reporter: where messages go.
        out: run folder.
    """
    guessed = guess_labels(form, images, labels, classes)
    root = os.path.relpath(guessed.root)
    proposal = propose(guessed, str(guessed.root) if root.startswith("..") else root, "maskwright inspect")
    folder = out or Path("runs") / proposal.recipe.name
    return Session(proposal.recipe, Path(), RunFolder(folder), reporter, Stop()), proposal


def propose(guess: Guess, root: str, made_by: str) -> Proposal:
    """Turn a guess into a recipe.

    Args:
        guess: of a set.
        root: data.root as it is to be written.
        made_by: the command, for the recipe's head.
    """
    parts = [
        _head(guess, root, made_by),
        _task(guess),
        _data(guess, root),
        _folds(guess),
        _members(guess),
        _output(guess),
    ]
    text = "\n".join(parts) + "\n"
    plain = YAML(typ="safe", pure=True).load(text)
    return Proposal(build(plain, where="the guessed recipe"), text, guess.said)


def _head(guess: Guess, root: str, made_by: str) -> str:
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", guess.root.resolve().name).lstrip("_.-")[:60] or "my_masks"
    lines = [
        f"# Guessed by {made_by} on {today} from {_printable(root)}.",
        "# Look at each line that says 'guessed', mend it, then",
        "#   maskwright inspect THIS.yaml --augment   # every fault, and pictures of what a model will see",
        "#   maskwright run THIS.yaml",
        "# What was guessed, and from what:",
    ]
    for line in guess.said:
        lines += textwrap.wrap(_printable(line), WIDTH - 6, initial_indent="#   - ", subsequent_indent="#     ")
    return "\n".join([*lines, "version: 1", f"name: {flow(name)}"])


def _task(guess: Guess) -> str:
    task = guess.task
    lines = [
        "task:",
        f"  kind: {task['kind']}   # guessed; binary, multiclass (one class a pixel) or multilabel (overlapping)",
    ]
    unnamed = all(re.fullmatch(r"class_\d+|foreground|object", name) for name in task["classes"])
    lines += _wrapped(
        "  classes: ", task["classes"], "   # guessed: give them their names" if unnamed else "   # guessed"
    )
    if "ignore" in task:
        lines.append(f"  ignore: {task['ignore']}   # guessed: pixels of this value do not count")
    elif task["kind"] == "multiclass" and unnamed and "colours" not in task:
        last = len(task["classes"]) - 1
        lines.append(f"  # if {last} (or 0) stands for 'unlabelled', take that class out and say ignore: {last}")
    if "colours" in task:
        lines += _wrapped("  colours: ", task["colours"], "")
    return "\n".join(lines)


def _data(guess: Guess, root: str) -> str:
    lines = ["data:", f"  root: {flow(root)}"]
    lines += _block("train", guess.train)
    for other in guess.others:
        lines.append("  # the same labels may be read by train:")
        lines += textwrap.wrap(flow(other), WIDTH - 8, initial_indent="  #   ", subsequent_indent="  #     ")
    if guess.test is not None:
        lines += _block("test", guess.test)
    else:
        lines.append("  # test: {format: folder, images: FOLDER}   # items to predict")
    if guess.bands not in (1, 3):
        lines.append(f"  # bands: [1, 2, 3]   # of {guess.bands}; all are used")
    return "\n".join(lines)


def _block(name: str, block: Mapping[str, Any]) -> list[str]:
    lines = [f"  {name}:   # guessed"]
    for key, value in block.items():
        wrapped = _wrapped(f"    {key}: ", value, "") if isinstance(value, list) else [f"    {key}: {flow(value)}"]
        lines += wrapped
    return lines


def _folds(guess: Guess) -> str:
    lines = [f"folds: {flow(guess.folds)}   # guessed"]
    if guess.group is not None and guess.folds["kind"] != "spatial":
        doubt = {"kind": "grouped", "count": guess.folds["count"], "group": guess.group}
        lines.append("# if keys begin with the name of a patient, place or sequence, keep its items together:")
        lines.append(f"# folds: {flow(doubt)}")
    elif guess.folds["kind"] not in ("grouped", "spatial"):
        lines.append(
            "# items of one patient, place or sequence must share a fold: {kind: grouped, group: REGEX} on the key"
        )
    return "\n".join(lines)


def _members(guess: Guess) -> str:
    """Return the starter recipe's members, with windows that fit the images."""
    starter = packaged_recipes()[f"starter_{guess.task['kind']}"].read_text(encoding="utf-8")
    text = starter[starter.index("members:") : starter.index("decision:")]
    batch = SMALL_BATCH if guess.crop > 256 else LARGE_BATCH
    text = re.sub(r"crop: \d+", f"crop: {guess.crop}", re.sub(r"batch_size: \d+", f"batch_size: {batch}", text))
    window = "whole" if guess.whole else str(max(512, guess.crop))
    text = re.sub(r"window: (\d+|whole)", f"window: {window}", text)
    size = f"{guess.sizes[0]} x {guess.sizes[1]} pixels (height x width, median)"
    return f"# The member of starter_{guess.task['kind']}; images have {size}\n{text.rstrip()}"


def _output(guess: Guess) -> str:
    task, train = guess.task, guess.train
    masks: dict[str, Any] = {"format": "masks"}
    values = train.get("values") if train.get("encoding", "index") == "index" else None
    if task["kind"] == "binary" and values:
        masks["values"] = {to: raw for raw, to in values.items() if isinstance(to, int)}
    lines = ["output:", f"  - {flow(masks)}"]
    if train["format"] == "rle_csv":
        kept = ("format", "key_column", "rle_column", "class_column", "order")
        table = {key: train[key] for key in kept if key in train}
        if task["kind"] == "binary" and train.get("rows") == "instance":
            table["rows"] = "instance"
        lines.append(f"  - {flow(table)}")
    return "\n".join([*lines, "  - {format: report}"])


def _wrapped(start: str, items: Sequence[Any], end: str) -> list[str]:
    """Write a list after `start`, over several lines if need be."""
    body = f"[{', '.join(flow(item) for item in items)}]"
    if len(start) + len(body) + len(end) <= WIDTH:
        return [f"{start}{body}{end}"]
    pad = " " * (len(start) + 1)
    lines, line = [], start + "["
    for place, item in enumerate(items):
        word = flow(item) + ("]" if place == len(items) - 1 else ",")
        if len(line) + len(word) > WIDTH and line.strip() not in ("", start.strip() + " ["):
            lines.append(line.rstrip())
            line = pad
        line += word + " "
    return [*lines, line.rstrip() + end]


def flow(value: Any) -> str:
    """Write plain data as YAML on one line, texts quoted where a reader could take them for something else."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str) and PLAIN.fullmatch(value) and value.lower() not in WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)
