"""The set loss of mask transformers: each true mask is given to one query, the others learn to say nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from maskwright.core.labels import TaskKind
from maskwright.models.heads import Queries
from maskwright.training.losses.terms import Pixels, Sums, mean


@dataclass(frozen=True)
class SetWeights:
    """Weights and points of the set loss; the defaults are those of its paper and of SEEDS 000.4."""

    classes: float = 2.0
    masks: float = 5.0
    dice: float = 5.0
    nothing: float = 0.1
    """How much a query that should say nothing counts in the cross entropy of classes."""
    points: int = 12_544
    """Where masks are compared, on each."""
    oversample: float = 3.0
    """How many times as many are drawn, of which the least certain are kept."""
    importance: float = 0.75
    """Share of points that are kept for being uncertain; the others lie anywhere."""


class Truth(NamedTuple):
    """True masks of one image."""

    classes: Tensor
    """int64 (N,)."""
    masks: Tensor
    """float32 (N, H, W) of 0 and 1, on the padded image."""
    valid: Tensor
    """float32 (1, H, W) of 0 and 1; 0 where the image was padded."""


@dataclass(frozen=True)
class MaskSet:
    """Cross entropy of classes, and of mask points with Dice, after matching; summed over the decoder's layers.

    A class (or plane) that an image has is one mask. Queries and masks are matched so that the sum of the same costs
    on random points is least (Carion et al. 2020; points: Kirillov et al. 2020, PointRend; Cheng et al. 2022, 3.3).
    Pixels that are not valid are no part of it. Where the network gives its answer alone, as in validation, the
    loss is the cross entropy of that answer.

    Args:
        kind: of the task.
        weights: of its parts.
    """

    kind: TaskKind
    weights: SetWeights

    def sums(self, pixels: Pixels) -> Sums:
        """Return five vectors over layers: class entropy, its weight, point entropy, Dice loss, number of masks."""
        if not pixels.queries:
            return self._plain(pixels)
        truths = truths_of(pixels, self.kind)
        coordinates = [torch.rand(1, self.weights.points, 2, device=pixels.logits.device) for _ in truths]
        layers = [self._layer(said, truths, coordinates) for said in pixels.queries]
        return tuple(torch.stack(parts) for parts in zip(*layers, strict=True))

    def value(self, sums: Sums) -> Tensor:
        """Return the weighted sum over parts and layers."""
        if len(sums) == 2:
            return mean(*sums)
        entropy, weight, points, dice, number = (torch.as_tensor(each) for each in sums)
        parts = [
            self.weights.classes * mean(entropy, weight),
            self.weights.masks * mean(points, number),
            self.weights.dice * mean(dice, number),
        ]
        return torch.stack(parts).sum()

    def _plain(self, pixels: Pixels) -> Sums:
        if self.kind == "multiclass":
            loss = functional.cross_entropy(pixels.logits, pixels.label, reduction=pixels.reduction)
            return pixels.total(loss), pixels.number()
        loss = functional.binary_cross_entropy_with_logits(pixels.logits, pixels.label, reduction=pixels.reduction)
        return pixels.total(loss), pixels.number() * pixels.logits.shape[1]

    def _layer(self, said: Queries, truths: Sequence[Truth], coordinates: Sequence[Tensor]) -> tuple[Tensor, ...]:
        classes, masks = said.classes.float(), said.masks.float()
        nothing = classes.shape[2] - 1
        target = torch.full(classes.shape[:2], nothing, device=classes.device)
        owners, chosen, wanted, valid = [], [], [], []
        for image, (truth, points) in enumerate(zip(truths, coordinates, strict=True)):
            if not len(truth.classes):
                continue
            cost = self._cost(classes[image].detach(), masks[image].detach(), truth, points)
            queries, numbers = match(cost)
            target[image, queries] = truth.classes[numbers]
            owners.append(torch.full_like(queries, image))
            chosen.append(queries)
            wanted.append(truth.masks[numbers])
            valid.append(truth.valid.expand(len(numbers), -1, -1))
        scale = torch.ones(nothing + 1, device=classes.device)
        scale[nothing] = self.weights.nothing
        entropy = functional.cross_entropy(classes.flatten(0, 1), target.flatten(), scale, reduction="sum")
        weight = scale[target].sum()
        if not chosen:
            return entropy, weight, masks.sum() * 0, masks.sum() * 0, weight * 0
        picked = masks[torch.cat(owners), torch.cat(chosen)]
        points_loss, dice = self._compared(picked, torch.cat(wanted), torch.cat(valid))
        return entropy, weight, points_loss, dice, weight.new_tensor(float(len(picked)))

    @torch.no_grad()
    def _cost(self, classes: Tensor, masks: Tensor, truth: Truth, points: Tensor) -> Tensor:
        """Return float32 (Q, N): what giving each mask to each query costs."""
        logits = at_points(masks[None], points)[0]
        wanted = at_points(truth.masks[None], points)[0]
        counted = at_points(truth.valid[None], points)[0, 0]
        number = counted.sum().clamp_min(1.0)
        inside, outside = wanted * counted, (1 - wanted) * counted
        entropy = functional.softplus(-logits) @ inside.T + functional.softplus(logits) @ outside.T
        shares = logits.sigmoid() * counted
        overlap = 2 * shares @ wanted.T + 1
        dice = 1 - overlap / (shares.sum(1)[:, None] + inside.sum(1)[None] + 1)
        class_cost = -classes.softmax(-1)[:, truth.classes]
        return self.weights.classes * class_cost + self.weights.masks * entropy / number + self.weights.dice * dice

    def _compared(self, masks: Tensor, wanted: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums over masks (N, h, w) of mean point entropy and of Dice loss."""
        points = self._uncertain(masks.detach())
        logits = at_points(masks[:, None], points)[:, 0]
        truth = at_points(wanted[:, None], points)[:, 0]
        counted = at_points(valid[:, None], points)[:, 0]
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none") * counted
        shares, inside = logits.sigmoid() * counted, truth * counted
        dice = 1 - (2 * (shares * truth).sum(1) + 1) / (shares.sum(1) + inside.sum(1) + 1)
        return (entropy.sum(1) / counted.sum(1).clamp_min(1.0)).sum(), dice.sum()

    @torch.no_grad()
    def _uncertain(self, masks: Tensor) -> Tensor:
        """Return (N, points, 2) in 0..1: where masks are nearest to one half among many, and some anywhere."""
        number, count = len(masks), self.weights.points
        drawn = torch.rand(number, int(count * self.weights.oversample), 2, device=masks.device)
        kept = int(count * self.weights.importance)
        doubt = -at_points(masks[:, None], drawn)[:, 0].abs()
        places = doubt.topk(kept, 1).indices
        near = drawn.gather(1, places[..., None].expand(-1, -1, 2))
        return torch.cat([near, torch.rand(number, count - kept, 2, device=masks.device)], 1)


def at_points(maps: Tensor, points: Tensor) -> Tensor:
    """Return what maps are at points, between their positions bilinearly, 0 beyond the border.

    Args:
        maps: (N, C, h, w).
        points: (N, P, 2), x and y from 0 to 1.

    Returns:
        (N, C, P).
    """
    return functional.grid_sample(maps, 2 * points[:, :, None] - 1, align_corners=False).squeeze(3)


@torch.no_grad()
def match(cost: Tensor) -> tuple[Tensor, Tensor]:
    """Return which queries are given which masks so that the sum of costs is least (Kuhn 1955).

    Args:
        cost: (Q, N).

    Returns:
        int64 indices of queries and of masks, min(Q, N) each, in the order of masks.
    """
    from scipy.optimize import linear_sum_assignment

    finite = torch.nan_to_num(cost, nan=1e6, posinf=1e6, neginf=-1e6).cpu().numpy()
    queries, masks = linear_sum_assignment(finite)
    order = masks.argsort()
    return torch.as_tensor(queries[order], device=cost.device), torch.as_tensor(masks[order], device=cost.device)


@torch.no_grad()
def truths_of(pixels: Pixels, kind: TaskKind) -> list[Truth]:
    """Return each image's true masks: one for every class, or plane, that it has a valid pixel of.

    Args:
        pixels: a batch; its extent says what the image was padded to.
        kind: of the task; a binary one has two classes, background and foreground.
    """
    batch, _, height, width = pixels.logits.shape
    high, wide = pixels.extent or (height, width)
    room = (0, wide - width, 0, high - height)
    valid = pixels.logits.new_ones(batch, height, width) if pixels.mask is None else pixels.mask
    planes = pixels.label
    if kind == "binary":
        planes = torch.cat([1 - planes, planes], 1)
    elif kind == "multiclass":
        planes = functional.one_hot(planes, pixels.logits.shape[1]).movedim(-1, 1).to(pixels.logits.dtype)
    planes = planes.round() * valid[:, None]
    present = planes.flatten(2).any(2)
    found = []
    for image in range(batch):
        classes = present[image].nonzero().flatten()
        masks = functional.pad(planes[image, classes], room)
        found.append(Truth(classes, masks, functional.pad(valid[image][None], room)))
    return found
