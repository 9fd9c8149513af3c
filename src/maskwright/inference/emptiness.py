"""How much models see in each window of an image: in its likeliest pixel, and by what image-level heads say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from maskwright.core.grid import Window
from maskwright.core.labels import Task
from maskwright.core.recipe.predicting import Predict
from maskwright.data.preprocess import Preprocess
from maskwright.inference.forward import Forward
from maskwright.inference.predict import answer_image
from maskwright.models.adapt import SegModel

Floats = NDArray[np.float32]


class Told(NamedTuple):
    """What models say of one window."""

    window: Window
    highest: float
    """The highest probability of something in any pixel with data; 1 where there is none, which is no negative."""
    presence: float | None
    """Probability of something by image-level heads; None: no model has one."""


@dataclass(frozen=True)
class Voice:
    """The models of one member and one fold."""

    models: Sequence[SegModel]
    forward: Forward
    predict: Predict
    preprocess: Preprocess
    share: int
    """Its whole share in the blend."""

    @property
    def heads(self) -> tuple[str, ...]:
        """Names of its image-level heads."""
        return tuple(name for name in self.models[0].head_names if name in IMAGE_HEADS)


def something(probability: Floats, task: Task) -> Floats:
    """Return the probability of something in each pixel, (H, W), from that of planes, (K, H, W).

    In a multiclass task that is what the background leaves, in a multilabel task the likeliest plane.
    """
    if task.kind == "multiclass":
        rest: Floats = 1 - probability[0]
        return rest
    most: Floats = probability.max(0)
    return most


def blended(voices: Sequence[Voice], image: NDArray[np.generic], seen: NDArray[np.bool_], name: str) -> Floats:
    """Return the mean of what all voices answer, by their shares, (K, H, W).

    Args:
        voices: at least one.
        image: (H, W, B) as read.
        seen: bool (H, W), where the image has data.
        name: of the file, for messages.
    """
    total: Floats | None = None
    for voice in voices:
        part = voice.share * answer_image(voice.forward, voice.preprocess(image, seen, name), voice.predict, name)
        total = part if total is None else total + part
    assert total is not None, "no voice"
    return total / np.float32(sum(voice.share for voice in voices))


def tell(
    voices: Sequence[Voice],
    image: NDArray[np.generic],
    seen: NDArray[np.bool_],
    windows: Sequence[Window],
    task: Task,
    name: str,
) -> tuple[Told, ...]:
    """Return how much there is in each window.

    Args:
        voices: see blended.
        image: (H, W, B) as read.
        seen: bool (H, W).
        windows: inside the image.
        task: what is predicted.
        name: of the file, for messages.
    """
    there = np.where(seen, something(blended(voices, image, seen, name), task), np.float32(0))
    spoken = [voice for voice in voices if voice.heads]
    parts = [(voice, voice.preprocess(image, seen, name)) for voice in spoken]
    found = []
    for window in windows:
        heads = [(voice.share, present(voice, whole[(slice(None), *window.slices)], task)) for voice, whole in parts]
        weight = sum(share for share, _ in heads)
        presence = sum(share * value for share, value in heads) / weight if weight else None
        highest = float(there[window.slices].max()) if seen[window.slices].any() else 1.0
        found.append(Told(window, highest, presence))
    return tuple(found)


@torch.inference_mode()
def present(voice: Voice, image: Floats, task: Task) -> float:
    """Return the mean probability of something by the image-level heads of a member's models.

    Args:
        voice: has such heads.
        image: float32 (B, h, w), prepared as in training.
        task: what is predicted.
    """
    batch = torch.from_numpy(np.ascontiguousarray(image)[None]).to(voice.forward.device)
    values = []
    for model in voice.models:
        heads = model.outputs(batch).heads
        values += [float(IMAGE_HEADS[name](heads[name].float(), task)) for name in voice.heads]
    return float(np.mean(values))


def _presence(logits: Tensor, task: Task) -> Tensor:
    """Of nothing and something."""
    del task
    return logits.softmax(1)[0, 1]


def _classify(logits: Tensor, task: Task) -> Tensor:
    """Of the presence of each plane; a background is nothing."""
    chances = logits.sigmoid()[0]
    return (chances[1:] if task.kind == "multiclass" else chances).max()


IMAGE_HEADS: Mapping[str, Callable[[Tensor, Task], Tensor]] = {"classify": _classify, "presence": _presence}
"""Name in `model.aux` of a head that speaks of a whole window -> the probability of something, from (1, n) logits."""
