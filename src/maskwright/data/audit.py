"""Find every fault of a data set in one run, each with its file and what to do; refuse the set if there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from maskwright.core.errors import DataError
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.recipe.blocks import Data
from maskwright.core.recipe.sources import Source as SourceUnion
from maskwright.core.stop import Stop
from maskwright.data.fingerprint import Fingerprint, take
from maskwright.data.sources.base import Source
from maskwright.data.sources.open import join_source, limit_keys, limited


def refuse_faults(faults: Sequence[str]) -> None:
    """Raise DataError with all faults, if there are any."""
    if faults:
        raise DataError(faults)


def check(
    source: Source,
    task: Task,
    data: Data,
    reporter: Reporter,
    stop: Stop | None = None,
    like: Fingerprint | None = None,
) -> Fingerprint:
    """Decode a whole set, and refuse it with everything that is wrong.

    Args:
        source: labelled or not.
        task: gives classes, values and ignore.
        data: bands, divide, normalize, max_pixels.
        reporter: gets one progress bar.
        stop: looked at after each item.
        like: the fingerprint of the training items, if this set is to be predicted by their models.

    Raises:
        DataError: with every fault: images and labels that cannot be read or do not fit each other,
            undeclared label values, run lengths that leave the image, bands or dtypes that differ.
        Interrupted: a stop was asked for.
    """
    fingerprint, faults = take(source, task, data, reporter, stop=stop)
    refuse_faults([*faults, *misfits(source, fingerprint, data), *_unlike(fingerprint, like)])
    return fingerprint


def all_faults(block: SourceUnion, task: Task, data: Data, reporter: Reporter, stop: Stop | None = None) -> list[str]:
    """Return the faults of the join and of all that joins, so that one run names both.

    Args:
        block: data.train or data.test.
        task: gives classes, values and ignore.
        data: root and all that `check` looks at.
        reporter: gets one progress bar.
        stop: looked at after each item.
    """
    source, faults = join_source(block, Path(data.root), task)
    if source is None:
        return faults
    if data.limit is not None:
        source = limited(source, limit_keys(source.keys, data.limit))
    fingerprint, found = take(source, task, data, reporter, stop=stop)
    return [*faults, *found, *misfits(source, fingerprint, data)]


def misfits(source: Source, fingerprint: Fingerprint, data: Data) -> Iterator[str]:
    """Name images that differ from most others in bands or dtype, and bands the recipe asks for in vain."""
    wanted = max(data.bands or (fingerprint.bands,))
    used = len(data.bands or range(fingerprint.bands))
    if data.normalize == "imagenet" and fingerprint.items and used != 3:
        yield f"data.normalize: imagenet is for 3 bands, {used} are used; set data.bands, or normalize: dataset"
    for record in fingerprint.items:
        path, bands = source.image_path(record.key), record.bands
        if bands == 1 and fingerprint.bands == 3:
            bands = 3
        if data.bands is not None and bands < wanted:
            yield f"{path}: has {record.bands} bands, but data.bands names {wanted}; name bands that all images have"
        elif data.bands is None and bands != fingerprint.bands:
            yield (
                f"{path}: has {record.bands} bands, most images {fingerprint.bands}; "
                "take it out, or set data.bands to what all have"
            )
        if record.dtype != fingerprint.dtype:
            yield f"{path}: holds {record.dtype} values, most images {fingerprint.dtype}; convert it to the same scale"


def _unlike(found: Fingerprint, like: Fingerprint | None) -> Iterator[str]:
    """Name in what a set differs from the one that models are trained on."""
    if like is None or not found.items:
        return
    if found.dtype != like.dtype:
        yield f"data.test: holds {found.dtype} values, the training images {like.dtype}; convert them to the same scale"
    if found.bands != like.bands and not (found.bands == 1 and like.bands == 3):
        yield f"data.test: images have {found.bands} bands, the training images {like.bands}; give the same bands"
