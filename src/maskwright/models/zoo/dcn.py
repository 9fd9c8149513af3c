"""DCNv3, InternImage's deformable convolution: bilinear samples at learned places, weighed by a learned softmax."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 3
"""Of the kernel, in points."""
POINTS = SIDE * SIDE
EPS = 1e-6
"""Of InternImage's layer norms."""
AT_ONCE = 1 << 22
"""Samples (values of one channel) taken in one go; more at once are faster only as long as they stay in fast memory."""


def last_layer_norm(channels: int) -> nn.LayerNorm:
    """Return a layer norm of what has its channels last."""
    return nn.LayerNorm(channels, eps=EPS)


class Guide(NamedTuple):
    """What offsets and weights are made from: a convolution of each channel, a norm, an activation."""

    side: int = SIDE
    """Of its kernel, odd."""
    norm: Callable[[int], nn.Module] = last_layer_norm
    """From channels to the norm of (B, H, W, C)."""
    activate: Callable[[Tensor], Tensor] = functional.gelu


class Deform(nn.Module):
    """DCNv3 (Wang et al. 2023, InternImage, section 3.1) with a kernel of 3 x 3 points, stride 1.

    Args:
        channels: C.
        groups: of channels that share places and weights; they divide C.
        offset_scale: what both the regular grid and the learned offsets are multiplied by.
        guide: what offsets and weights are made from.
        centre: whether each group learns how much of its own pixel passes unsampled.
    """

    def __init__(
        self,
        channels: int,
        groups: int,
        offset_scale: float = 1.0,
        guide: Guide | None = None,
        *,
        centre: bool = False,
    ) -> None:
        super().__init__()
        assert channels % groups == 0, (channels, groups)
        self.groups, self.offset_scale = groups, offset_scale
        guide = guide or Guide()
        self.depthwise = nn.Conv2d(channels, channels, guide.side, padding=guide.side // 2, groups=channels)
        self.norm, self.activate = guide.norm(channels), guide.activate
        self.offset = nn.Linear(channels, groups * POINTS * 2)
        self.mask = nn.Linear(channels, groups * POINTS)
        self.input_proj = nn.Linear(channels, channels)
        self.output_proj = nn.Linear(channels, channels)
        self.centre = nn.Linear(channels, groups) if centre else None
        if self.centre is not None:
            nn.init.zeros_(self.centre.weight)
            nn.init.zeros_(self.centre.bias)
        for layer in (self.offset, self.mask):  # begins as a mean over the regular grid
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.input_proj, self.output_proj):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, H, W, C) for (B, H, W, C)."""
        batch, height, width, channels = x.shape
        # by planes, W last: that is what grid_sample is fast on
        value = self.input_proj(x).movedim(3, 1).reshape(batch * self.groups, -1, height, width)
        guide = self.depthwise(x.movedim(3, 1)).movedim(1, 3)
        guide = self.activate(self.norm(guide))
        offset = self.offset(guide).view(batch, height, width, self.groups, POINTS, 2)
        mask = self.mask(guide).view(batch, height, width, self.groups, POINTS).softmax(-1)
        grid = places(offset, self.offset_scale)
        mask = mask.permute(0, 3, 4, 1, 2).reshape(batch * self.groups, POINTS, height, width)
        found = weigh(value, grid, mask)
        if self.centre is not None:
            own = self.centre(guide).sigmoid().movedim(3, 1).reshape(batch * self.groups, 1, height, width)
            found = found * (1 - own) + value * own
        out: Tensor = self.output_proj(found.reshape(batch, channels, height, width).movedim(1, 3))
        return out


def places(offset: Tensor, scale: float) -> Tensor:
    """Return where each point is looked for, as grid_sample counts: -1 to 1 over the map, pixels' edges included.

    Half precision would misplace points by whole pixels, so places are float32 at least.

    Args:
        offset: (B, H, W, G, 9, 2) in (x, y) pixels; points go down first, then right.
        scale: of regular grid and offsets.

    Returns:
        (B * G, 9, H, W, 2).
    """
    batch, height, width, groups = offset.shape[:4]
    kind = torch.promote_types(offset.dtype, torch.float32)
    size = torch.tensor([width, height], dtype=kind, device=offset.device)
    steps = torch.arange(SIDE, dtype=kind, device=offset.device) - SIDE // 2
    kernel = torch.stack([steps.repeat_interleave(SIDE), steps.repeat(SIDE)], 1) * scale
    across = torch.arange(width, dtype=kind, device=offset.device)
    down = torch.arange(height, dtype=kind, device=offset.device)
    pixel = torch.stack([across.expand(height, width), down[:, None].expand(height, width)], 2)
    regular = (2 * (pixel + kernel[:, None, None]) + 1) / size - 1
    moved = offset.to(kind).permute(0, 3, 4, 1, 2, 5).contiguous()
    # a fresh copy, of which nothing before needs the values: in place
    return moved.mul_(2 * scale / size).add_(regular).view(batch * groups, POINTS, height, width, 2)


def weigh(value: Tensor, grid: Tensor, mask: Tensor) -> Tensor:
    """Return the weighted sum over points of bilinear samples; what lies outside the map is 0.

    Args:
        value: (N, c, H, W).
        grid: (N, P, H, W, 2), see `places`.
        mask: (N, P, H, W).

    Returns:
        (N, c, H, W) of the value's type; computed in that of the grid.
    """
    kind = grid.dtype
    found: Tensor = Weighed.apply(value.to(kind), grid, mask.to(kind))
    return found.to(value.dtype)


class Weighed(torch.autograd.Function):
    """Keeps value, places and weights for the gradient and takes the samples again: a ninth of the memory."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, grid: Tensor, mask: Tensor) -> Tensor:
        """Add samples up, some points at a time."""
        ctx.save_for_backward(value, grid, mask)
        found: Tensor | None = None
        for some in _portions(value):
            samples = _samples(value, grid[:, some])
            part = samples.mul_(mask[:, None, some]).sum(2)
            found = part if found is None else found.add_(part)
        assert found is not None
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the gradients for value, grid and mask."""
        gradient = gradients[0].unsqueeze(2)
        value, grid, mask = ctx.saved_tensors
        to_grid, to_mask = torch.empty_like(grid), torch.empty_like(mask)
        to_value: Tensor | None = None
        for some in _portions(value):
            samples = _samples(value, grid[:, some])
            to_mask[:, some] = samples.mul_(gradient).sum(1)
            torch.mul(gradient, mask[:, None, some], out=samples)
            back, moved = torch.ops.aten.grid_sampler_2d_backward(
                samples.flatten(2, 3), value, grid[:, some].flatten(1, 2), 0, 0, False, [True, True]
            )
            to_grid[:, some] = moved.view_as(to_grid[:, some])
            to_value = back if to_value is None else to_value.add_(back)
        assert to_value is not None
        return to_value, to_grid, to_mask


def _portions(value: Tensor) -> Iterator[slice]:
    """Give the points in portions whose samples are few enough."""
    count = min(POINTS, max(1, AT_ONCE // value.numel()))
    yield from (slice(first, min(first + count, POINTS)) for first in range(0, POINTS, count))


def _samples(value: Tensor, grid: Tensor) -> Tensor:
    """Return (N, c, P, H, W) samples at (N, P, H, W, 2) places."""
    found: Tensor = torch.grid_sampler_2d(value, grid.flatten(1, 2), 0, 0, False)
    return found.view(*found.shape[:2], *grid.shape[1:3], found.shape[-1])
