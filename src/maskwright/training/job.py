"""What one fold's training is made from, and the advice when it does not fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from maskwright.core.errors import MemoryLimitError
from maskwright.core.labels import Task
from maskwright.core.recipe.load import digest
from maskwright.core.recipe.members import Member
from maskwright.data.cache.cache import CacheSpec
from maskwright.data.dataset import Preprocess
from maskwright.data.places import Spots, drawn_classes
from maskwright.data.sampling import Lots
from maskwright.data.sources.base import Source
from maskwright.scoring.counts import Counts
from maskwright.training.beside import Beside, plan_of
from maskwright.training.losses.options import Frequency
from maskwright.training.plan import Plan
from maskwright.training.trackers.follow import Tracking


@dataclass(frozen=True)
class FoldJob:
    """Everything that one fold's weights depend on."""

    member: Member
    task: Task
    source: Source
    train_keys: tuple[str, ...]
    valid_keys: tuple[str, ...]
    preprocess: Preprocess
    max_pixels: int
    seed: int
    metric: str
    """A name from scoring/scores.py; decides which weights are the best."""
    frequency: Frequency | None = None
    """How often classes occur in the training items, for losses whose class weights follow from it."""
    weights: tuple[float, ...] | None = None
    """How often each training item is drawn relative to others; None: all alike."""
    pixels: NDArray[np.int64] | None = field(default=None, compare=False)
    """(training items, classes) valid pixels of each value of the task, or of each plane for multilabel; needed
    where classes or objects are drawn."""
    spots: Mapping[str, Spots] = field(default_factory=dict)
    """Key -> where windows of this item are drawn more often."""
    cache: CacheSpec = field(default_factory=CacheSpec)
    """Where decoded items are kept."""
    recipe_dir: Path | None = None
    """Folder that a local weights file is relative to."""
    first: Path | None = None
    """Weights of another member, trained on the same fold, that this one starts from."""
    first_job: str | None = None
    """Digest of what those were trained by."""
    beside: Beside | None = None
    """Other items that some batches are of, such as those that teachers labelled."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """Kept with the weights."""
    tracking: Tracking | None = field(default=None, compare=False)
    """Who is told how it goes."""
    witness: Callable[[int, int, Counts], None] | None = field(default=None, compare=False)
    """Called after each validation with the steps done, all steps, and the counts over held-out windows; what it raises
    ends the training."""

    @property
    def digest(self) -> str:
        """16 hex digits over all that decides the weights; speed and prediction settings do not."""
        member = self.member.trained_by()
        plain = [member, self.task.model_dump(mode="json"), self.train_keys, self.valid_keys, self.seed, self.metric]
        weights = [] if self.weights is None else [self.weights]
        first = [] if self.first_job is None else [self.first_job]
        beside = [] if self.beside is None else [self.beside.digest]
        spots = [sorted(self.spots.items())] if self.spots else []
        return digest([*plain, self.preprocess.to_plain(), *weights, *first, *beside, *spots])

    @property
    def plan(self) -> Plan:
        """Its steps."""
        return plan_of(self.member.train, len(self.train_keys), self.seed, self.beside)

    def where(self, block: str) -> str:
        """Return the recipe key of one of the member's blocks, for messages."""
        return f"members.{self.facts.get('member', '?')}.{block}"

    @property
    def drawn_classes(self) -> tuple[int, ...]:
        """Label values (planes, for multilabel) that the rules balanced and objects draw."""
        return drawn_classes(self.member.sampling, self.task)

    def lots(self, draws: int) -> Lots:
        """Return which item each draw takes; `draws` of them are an epoch."""
        return Lots(
            self.seed,
            len(self.train_keys),
            draws,
            weights=self.weights,
            sampling=self.member.sampling,
            pixels=self.pixels,
            classes=self.drawn_classes,
        )


@contextmanager
def memory_explained(job: FoldJob, folder: Path) -> Iterator[None]:
    """Turn out-of-memory errors of the host and the device into advice."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise _too_large(job, folder) from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error) or "DataLoader worker" in str(error):
            raise _too_large(job, folder) from error
        raise


def _too_large(job: FoldJob, folder: Path) -> MemoryLimitError:
    train = job.member.train
    return MemoryLimitError(
        f"a step with train.batch_size {train.batch_size} and train.crop {train.crop} does not fit into memory",
        where=folder,
        fix="lower train.batch_size (train.accumulate keeps the step as large), train.crop or train.workers",
    )
