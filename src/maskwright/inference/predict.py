"""Trained models and images become stored probabilities at native size; a rerun makes only what is missing.

Images (or windows) that share a forward pass can differ in the last bit from ones that went alone.
So the whole list of keys is grouped in one fixed way; where one item of a group is missing the group
is computed again and only what is missing is written: bytes never depend on when a run was stopped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.grid import Shape, sliding
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe.predicting import Predict
from maskwright.core.stop import Stop
from maskwright.data.preprocess import Preprocess
from maskwright.data.sources.base import Source
from maskwright.inference.forward import Forward, Machine
from maskwright.inference.store import Quantised, Store, quantise
from maskwright.inference.tiles import Accumulator, seam_weights
from maskwright.inference.views import Views
from maskwright.models.adapt import SegModel

BACKLOG = 4
"""Items that may wait for the disk; more would only fill the memory."""
Floats = NDArray[np.float32]
Pause = Callable[[], None]


@dataclass(frozen=True)
class PredictJob:
    """What is to be predicted, and how."""

    predict: Predict
    task: Task
    source: Source
    keys: tuple[str, ...]
    preprocess: Preprocess
    max_pixels: int
    facts: Mapping[str, Any]
    """Stored with every item; `member` and `split` also name the progress bar."""
    machine: Machine = field(default_factory=Machine)


class _Loaded(NamedTuple):
    image: Floats
    valid: NDArray[np.bool_]


def predict_items(models: Sequence[SegModel], job: PredictJob, store: Store, reporter: Reporter, stop: Stop) -> int:
    """Store the averaged probabilities of all items that the store does not hold yet.

    Reading, computing and writing run side by side. Validity is the image's own (alpha, nodata):
    what a label ignores is nothing that a prediction may know.

    Args:
        models: averaged in one pass, e.g. one fold's for out-of-fold items, all folds' for test items.
        job: items and settings.
        store: where they go.
        reporter: gets one progress bar.
        stop: looked at between batches.

    Returns:
        number of items made.

    Raises:
        InputError: an image cannot be read, or a model answers with nan.
        StorageError: disk full or no permission; items written so far stay.
        Interrupted: a signal asked to stop; the items of finished batches are on disk.
    """
    missing = frozenset(key for key in job.keys if not store.has(key))
    if not missing:
        return 0
    forward = Forward(models, job.task, job.predict.tta, job.machine, Views.of(job.predict))
    groups = [group for group in group_keys(job, forward) if not missing.isdisjoint(group)]
    name = " ".join(["predict", *(str(job.facts[word]) for word in ("member", "split") if word in job.facts)])
    made = 0

    writing: deque[Future[None]] = deque()

    def pause() -> None:
        if stop.requested:
            for future in writing:
                future.result()
        stop.check(f"{len(job.keys) - len(missing) + made} of {len(job.keys)} items are predicted")

    with (
        reporter.task(name, len(job.keys), len(job.keys) - len(missing)) as tick,
        ThreadPoolExecutor(1) as reader,
        ThreadPoolExecutor(1) as writer,
    ):
        ahead = reader.submit(_load, job, groups[0])
        for index, group in enumerate(groups):
            loaded = ahead.result()
            if index + 1 < len(groups):
                ahead = reader.submit(_load, job, groups[index + 1])
            for key, item, stored in zip(
                group, loaded, _predict_group(forward, job, group, loaded, pause), strict=True
            ):
                if key in missing:
                    writing.append(writer.submit(store.write_quantised, key, stored, item.valid, job.facts))
                    made += 1
                    tick.advance()
            while len(writing) > BACKLOG or (writing and index + 1 == len(groups)):
                writing.popleft().result()
            pause()
    return made


def average(stores: Sequence[Store], keys: Sequence[str], target: Store, facts: Mapping[str, Any], stop: Stop) -> None:
    """Store the mean of what several stores hold of each item, as exact as the numbers stored there.

    Args:
        stores: of the same items, all of one number of bits.
        keys: items; what the target has already is left.
        target: where the means go; a mean between two numbers becomes the lower one.
        facts: stored with every item.
        stop: looked at between items.
    """
    for key in keys:
        if target.has(key):
            continue
        total, valid, _ = stores[0].read_item(key)
        kind, wide = total.dtype, total.astype(np.uint32)
        for store in stores[1:]:
            wide += store.read_item(key)[0]
        count = len(stores)
        target.write_quantised(key, ((2 * wide + count - 1) // (2 * count)).astype(kind), valid, facts)
        stop.check("the means of folds are made of what is stored")


def predict_image(
    models: Sequence[SegModel], image: Floats, predict: Predict, task: Task, device: str = "auto"
) -> Floats:
    """Return the averaged probabilities of one image at its own size.

    Args:
        models: at least one.
        image: float32 (B bands, H, W), prepared as in training.
        predict: window, overlap, seam, tta, scales, sizes, batch_size.
        task: decides between softmax and sigmoid.
        device: a torch device, or auto.

    Returns:
        float32 (K, H, W) in [0, 1].
    """
    return answer_image(Forward(models, task, predict.tta, Machine(device), Views.of(predict)), image, predict)


def answer_image(forward: Forward, image: Floats, predict: Predict, name: str = "") -> Floats:
    """Return the averaged probabilities of one image at its own size, float32 (K, H, W) in [0, 1].

    Args:
        forward: the models.
        image: float32 (B bands, H, W), prepared as in training.
        predict: window, overlap, seam, batch_size.
        name: of the item, for messages.
    """
    if predict.window_shape is None:
        whole: Floats = forward(image[None], [name] if name else [])[0]
        return whole
    bands = _sliding(forward, image, predict, predict.window_shape, name)
    return np.concatenate(list(bands), axis=1)


def group_keys(job: PredictJob, forward: Forward) -> list[tuple[str, ...]]:
    """Return all keys in the groups that are computed together, whatever is there already.

    With windows each item is a group; whole images are grouped by size, in the order of keys.
    """
    if job.predict.window_shape is not None:
        return [(key,) for key in job.keys]
    by_shape: dict[Shape, list[str]] = {}
    for key in job.keys:
        header = job.source.read_header(key, job.max_pixels)
        by_shape.setdefault((header.height, header.width), []).append(key)
    groups = []
    for shape, keys in by_shape.items():
        size = forward.batch_size(shape, job.predict.batch_size)
        groups += [tuple(keys[start : start + size]) for start in range(0, len(keys), size)]
    return groups


def _load(job: PredictJob, group: Sequence[str]) -> list[_Loaded]:
    loaded = []
    for key in group:
        image, valid = job.source.read_image(key, job.max_pixels)
        path = job.source.image_path(key)
        loaded.append(_Loaded(job.preprocess.of_scene(path)(image, valid, str(path)), valid))
    return loaded


def _predict_group(
    forward: Forward, job: PredictJob, group: Sequence[str], loaded: Sequence[_Loaded], pause: Pause
) -> list[Quantised]:
    window = job.predict.window_shape
    if window is None:
        probabilities = forward(np.stack([item.image for item in loaded]), group)
        return [quantise(item, job.predict.bits) for item in probabilities]
    done = []
    for key, item in zip(group, loaded, strict=True):
        bands = _sliding(forward, item.image, job.predict, window, key, pause)
        done.append(np.concatenate([quantise(band, job.predict.bits) for band in bands], axis=1))
    return done


def _sliding(
    forward: Forward, image: Floats, predict: Predict, size: Shape, name: str, pause: Pause = lambda: None
) -> Iterator[Floats]:
    """Give the probabilities of an image in bands of finished rows, from the top; no more than one band is held.

    Args:
        forward: the models.
        image: float32 (C, H, W).
        predict: overlap, seam, batch_size.
        size: window (height, width); where the image is smaller it is mirrored to that size.
        name: of the item, for messages.
        pause: called between batches.

    Returns:
        float32 (K, rows, W), rows of all bands add up to H.
    """
    shape: Shape = (image.shape[1], image.shape[2])
    padding = [(0, 0), *((0, max(0, side - have)) for side, have in zip(size, shape, strict=True))]
    padded = np.pad(image, padding, mode="reflect") if any(after for _, after in padding) else image
    windows, weights = sliding(shape, size, predict.overlap), seam_weights(predict.seam, size)
    step = forward.batch_size(size, predict.batch_size)
    total: Accumulator | None = None
    for start in range(0, len(windows), step):
        if start:
            pause()
        batch = windows[start : start + step]
        pixels = np.stack([padded[(slice(None), *window.slices)] for window in batch])
        answers = forward(pixels, [name] * len(batch))
        if total is None:
            total = Accumulator(shape, answers.shape[1], band=size[0])
        for window, answer in zip(batch, answers, strict=True):
            if window.row > total.top:
                yield total.finish(window.row)
            total.add(window, answer, weights)
    assert total is not None
    yield total.result()
