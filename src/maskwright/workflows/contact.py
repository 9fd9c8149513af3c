"""What the members will see in training: items and augmented versions of them, drawn by the very training set."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.load import digest
from maskwright.core.recipe.members import Member
from maskwright.data.audit.fingerprint import ItemRecord
from maskwright.data.items import Item, read_item
from maskwright.data.labels.soft import ONE, harden
from maskwright.data.places import drawn_classes
from maskwright.data.preprocess import Preprocess
from maskwright.data.sampling import Lots, sample_seed
from maskwright.data.sources.base import limit_keys
from maskwright.output.report.data_facts import Album, Strip
from maskwright.output.report.data_pictures import label_pictures, seen_picture
from maskwright.output.report.facts import Rgb
from maskwright.output.report.pictures import shrink
from maskwright.workflows import reading
from maskwright.workflows.session import Session

ITEMS, VERSIONS, LAPS = 5, 5, 4
"""Rows, versions in a row, and how many times more samples are drawn than needed, for rules that draw unevenly."""
SIDE = 320
"""Longest side of a picture."""


def draw_albums(session: Session) -> tuple[Album, ...]:
    """Draw, for each member (or for the default one), what a training of it would be given.

    Raises:
        InputError: the labelled set is unlabelled, or an item cannot be read.
    """
    if not session.train_source.labelled:
        raise InputError("there are no labels to augment", where="data.train", fix="leave --augment out")
    members: Mapping[str, Member] = session.recipe.members or {"default": Member()}
    return tuple(_album(session, name, member) for name, member in members.items())


def _album(session: Session, name: str, member: Member) -> Album:
    from maskwright.data.dataset import TrainSet, TrainSpec, preprocess_for

    print_, task, source = session.fingerprint(), session.recipe.task, session.train_source
    keys = _keys(print_.items)
    preprocess = preprocess_for(session.recipe.data, print_)
    drawn = drawn_classes(member.sampling, task)
    seed = sample_seed(session.recipe.seed, int(digest(name), 16) % 2**31, 0)
    pixels = reading.pixels_of(print_, keys)
    draws = len(keys)
    spec = TrainSpec(
        source=source,
        keys=keys,
        task=task,
        preprocess=preprocess,
        crop_shape=member.train.crop_shape,
        augment=member.augment,
        max_pixels=session.recipe.data.max_pixels,
        seed=seed,
        draws=draws,
        lots=Lots(seed, draws, draws, sampling=member.sampling, pixels=pixels, classes=drawn),
        classes=drawn,
        pixels=tuple(pixels.sum(0).tolist()),
        resize=member.train.resize_shape,
    )
    samples, found = TrainSet(spec), defaultdict[int, list[Any]](list)
    for epoch in range(VERSIONS * LAPS):
        for index in range(draws):
            session.stop.check("audit.html is not written yet")
            sample = samples[epoch, index]
            if len(found[sample["index"]]) < VERSIONS:
                found[sample["index"]].append(sample)
        if all(len(found[place]) == VERSIONS for place in range(draws)):
            break
    strips = []
    for place, key in enumerate(keys):
        item = read_item(source, key, task, session.recipe.data.max_pixels)
        strips.append(_strip(session, item, found[place], preprocess))
    crop = member.train.crop_shape
    return Album(name, _steps(member), "the whole item" if crop is None else f"{crop[0]} × {crop[1]}", tuple(strips))


def _keys(items: tuple[ItemRecord, ...]) -> tuple[str, ...]:
    """Pick items spread over the set, of those that hold most classes where there is a choice."""
    kinds = {record.key: sum(count > 0 for count in record.pixels) for record in items}
    usual = float(np.median(list(kinds.values())))
    rich = [key for key, number in kinds.items() if number >= usual]
    return limit_keys(rich, min(ITEMS, len(rich)))


def _steps(member: Member) -> tuple[str, ...]:
    said = []
    for entry in member.augment:
        for name, params in entry.items():
            listed = ", ".join(f"{key} {json.dumps(value)}" for key, value in params.items())
            said.append(f"{name} {listed}"[:80].strip())
    return tuple(said) or ("nothing",)


def _strip(session: Session, item: Item, samples: list[Any], preprocess: Preprocess) -> Strip:
    task = session.recipe.task
    bands = [min(band, item.image.shape[2] - 1) for band in preprocess.bands]
    shown = item.image[..., bands]
    base, over = label_pictures(shown, item.label, item.valid, task, SIDE)
    limits = _limits(shown, item.valid)
    versions = []
    for sample in samples:
        image, label = sample["image"].numpy(), _plain(sample["label"].numpy(), task)
        versions.append(
            shrink(seen_picture(_shown(image, preprocess, limits), label, sample["valid"].numpy(), task), SIDE)
        )
    return Strip(item.key, base if over is None else over, tuple(versions))


def _plain(label: NDArray[Any], task: Task) -> NDArray[np.uint8]:
    """Return a sample's label as uint8, of probabilities the likeliest one."""
    if label.dtype == np.float32:
        return harden((label * ONE).round().astype(np.uint8), task)
    return label.astype(np.uint8)


def _limits(image: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[float, float]:
    """Return which values are black and white in a picture of an item, in the file's numbers."""
    if image.dtype == np.uint8:
        return 0.0, 255.0
    seen = image[valid][:, :3].astype(np.float32)
    if not seen.size:
        return 0.0, 1.0
    low, high = np.percentile(seen[:: max(1, len(seen) // 100_000)], (2, 98))
    return float(low), float(max(high, low + 1e-9))


def _shown(image: NDArray[np.float32], preprocess: Preprocess, limits: tuple[float, float]) -> Rgb:
    """Turn what a model is given back into a picture: (B, h, w) -> uint8 (h, w, 3)."""
    bands = [0, 1, 2] if len(image) >= 3 else [0, 0, 0]
    mean, std = (np.array(values, np.float32)[bands, None, None] for values in (preprocess.mean, preprocess.std))
    values = (image[bands] * std + mean) * preprocess.divide
    low, high = limits if preprocess.stretch is None else (0.0, 1.0)
    return np.ascontiguousarray(
        ((values - low) / (high - low) * 255).clip(0, 255).round().astype(np.uint8).transpose(1, 2, 0)
    )
