"""A network made to fit any image: padding to its stride, exact un-padding, any bands, no idle weights."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.grid import padding_to_multiple
from maskwright.core.recipe.heads import Heads
from maskwright.models.heads import Auxiliary, Outputs


class SegModel(nn.Module):
    """A network whose logits have the size of its input, whatever that size is.

    Args:
        network: maps (B, C, H, W) to (B, K, H, W) where H and W divide by `stride`; has `.encoder`.
        stride: pixels; what both sides must divide by.
        minimum: pixels; the least side the network can take, a multiple of `stride`.
        border: what images are padded with, see pad.
    """

    def __init__(self, network: nn.Module, stride: int, minimum: int, border: Border = "mirror") -> None:
        super().__init__()
        assert minimum % stride == 0, (minimum, stride)
        self.spectral: nn.Sequential | None = None
        self.network = network
        self.stride = stride
        self.minimum = minimum
        self.border: Border = border
        self.auxiliary: Auxiliary | None = None
        self._asked: tuple[str, ...] = ()
        self._still: list[nn.Module] = []

    def forward(self, image: Tensor) -> Tensor | Outputs:
        """Return logits; in training those of auxiliary heads too, if there are any.

        Args:
            image: float (B, C, H, W), prepared as in training.

        Returns:
            logits (B, K, H, W), alone or in Outputs.
        """
        if self.training and (self.auxiliary is not None or self._tells):
            return self.outputs(image)
        return self._run(image)[0]

    def outputs(self, image: Tensor) -> Outputs:
        """Return what all heads say, in training or not.

        Args:
            image: float (B, C, H, W), prepared as in training.
        """
        if self.auxiliary is not None:
            self.auxiliary.listen(True)
        try:
            found, padded = self._told(image)
        finally:
            if self.auxiliary is not None:
                self.auxiliary.listen(False)
        further = {} if self.auxiliary is None else self.auxiliary(padded)
        height, width = image.shape[-2:]
        heads = {
            name: each if each.ndim == 2 else each[..., :height, :width]
            for name, each in ({name: found.heads[name] for name in self._asked} | further).items()
        }
        return found._replace(logits=found.logits[..., :height, :width], heads=heads)

    def answer(self, image: Tensor, activate: Callable[[Tensor], Tensor]) -> Tensor:
        """Return probabilities (B, K, H, W); for prediction, in evaluation mode.

        Args:
            image: float (B, C, H, W), prepared as in training.
            activate: from float32 logits to probabilities. Where the network's authors enlarged those and not the
                logits, so is it done here.
        """
        network: Any = self.network
        if not hasattr(network, "probabilities"):
            return activate(self._run(image)[0].float())
        height, width = image.shape[-2:]
        found: Tensor = network.probabilities(pad(image, self.stride, self.minimum, self.border), activate)
        return found[..., :height, :width]

    @property
    def head_names(self) -> tuple[str, ...]:
        """Names of what auxiliary heads give, as in Outputs.heads: first the network's own that are asked for."""
        return self._asked if self.auxiliary is None else (*self._asked, *self.auxiliary.names)

    @property
    def _tells(self) -> bool:
        """Whether the network itself has more to say in training than its logits."""
        return hasattr(self.network, "outputs")

    def _told(self, image: Tensor) -> tuple[Outputs, Tensor]:
        """Return what the network says of the image as it gets it, and that."""
        if not self._tells:
            logits, padded = self._run(image)
            return Outputs(logits, {}), padded
        padded = self._ready(image)
        network: Any = self.network
        found: Outputs = network.outputs(padded)
        return found, padded

    def _ready(self, image: Tensor) -> Tensor:
        """Return the image as the network gets it: padded, its bands mixed."""
        padded = pad(image, self.stride, self.minimum, self.border)
        return padded if self.spectral is None else self.spectral(padded)

    def _run(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return the main logits at the image's size, and the image as the network got it."""
        height, width = image.shape[-2:]
        padded = self._ready(image)
        logits: Tensor = self.network(padded)
        assert logits.shape[-2:] == padded.shape[-2:], (logits.shape, padded.shape)
        return logits[..., :height, :width], padded

    def mix_bands(self, bands: int, hidden: int, channels: int) -> None:
        """Put a spectral stem before the network, made of torch's generator: learned per pixel, with no norm.

        Source: SEEDS 002.3; it learns what a fixed normalisation of bands would have to guess.

        Args:
            bands: C of the image.
            hidden: channels between the two 1 x 1 convolutions.
            channels: that the network takes.
        """
        self.spectral = nn.Sequential(nn.Conv2d(bands, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1), nn.ReLU())

    def attach(self, block: Heads, bands: int, planes: int, stages: Sequence[nn.Module], where: str) -> None:
        """Give the network auxiliary heads; they are made of torch's generator, after all else.

        Args:
            block: which heads.
            bands: channels that the network takes: C, or those of the spectral stem.
            planes: K.
            stages: modules of the decoder whose maps can be supervised, finest first.
            where: recipe key of the model for messages.

        Raises:
            InputError: a head asks for a map that is not there, or for a network that has such a head of its own.
        """
        own = getattr(self.network, "head_names", ())
        self._asked = tuple(name for name in block.given if name in own)
        block = block.model_copy(update=dict.fromkeys(self._asked))
        if not block.given:
            return
        image = torch.zeros(1, bands, self.minimum, self.minimum)
        self.auxiliary = Auxiliary(self.network, block, planes, stages, image, where)

    @property
    def encoder(self) -> nn.Module:
        """The part that pretrained weights are for."""
        encoder = self.network.encoder
        assert isinstance(encoder, nn.Module)
        return encoder

    @property
    def decoder(self) -> nn.Module:
        """The part between encoder and main head."""
        decoder = self.network.decoder
        assert isinstance(decoder, nn.Module)
        return decoder

    def encoder_parameters(self) -> Iterator[nn.Parameter]:
        """Give the encoder's parameters; all others are the decoder's and the head's."""
        return self.encoder.parameters()

    def freeze_encoder(self) -> None:
        """Stop the encoder's parameters and running statistics from changing."""
        self._still.append(self.encoder)
        self.encoder.requires_grad_(False)
        self.encoder.train(False)

    def freeze(self, pattern: str) -> list[str]:
        """Stop parts from changing, parameters and running statistics, by name.

        Args:
            pattern: a name such as encoder.layer1, for it and all below it; * and ? stand for any letters.

        Returns:
            names of the parameters it fits, without `network.` before them.
        """
        fits = re.compile(f"(?:{fnmatch.translate(pattern)}|{fnmatch.translate(pattern + '.*')})").match
        found = []
        mixer = nn.ModuleDict({} if self.spectral is None else {"spectral": self.spectral})
        for name, parameter in [*mixer.named_parameters(), *self.network.named_parameters()]:
            if fits(name):
                parameter.requires_grad_(False)
                found.append(name)
        for name, module in self.network.named_modules():
            own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
            if own and all(fits(f"{name}.{each}") for each, _ in own):
                self._still.append(module.train(False))
        return found

    def train(self, mode: bool = True) -> SegModel:
        """Switch between training and evaluation; what is frozen stays in evaluation."""
        super().train(mode)
        for module in self._still:
            module.train(False)
        return self


Border = Literal["mirror", "zeros"]


def pad(image: Tensor, stride: int, minimum: int, border: Border = "mirror") -> Tensor:
    """Pad below and right until both sides divide by `stride` and reach `minimum`.

    The border is mirrored where the image is large enough for that, else its last row and column
    are repeated: both keep the statistics of the image, which zeros would not. Networks that were
    published with zeros (after normalisation) get those.

    Args:
        image: (B, C, H, W).
        stride: pixels.
        minimum: pixels, a multiple of stride.
        border: mirror or zeros.
    """
    height, width = image.shape[-2:]
    below, right = padding_to_multiple((height, width), stride)
    below, right = max(below, minimum - height), max(right, minimum - width)
    if below == 0 and right == 0:
        return image
    if border == "zeros":
        return functional.pad(image, (0, right, 0, below))
    mode = "reflect" if below < height and right < width else "replicate"
    return functional.pad(image, (0, right, 0, below), mode=mode)


def adapt_bands(weight: Tensor, bands: int, how: str = "repeat") -> Tensor:
    """Make a first convolution take another number of bands.

    With share and mean an image of equal bands gives the response it gave before; with repeat too, where bands
    are a multiple of the old ones or the old ones are alike; with zero an image whose further bands are 0 does.

    Args:
        weight: (out, in, h, w).
        bands: wanted `in`.
        how: a name from STEMS.

    Returns:
        (out, bands, h, w).
    """
    return STEMS[how](weight, bands)


def _repeated(weight: Tensor, bands: int) -> Tensor:
    """Repeat bands in turn, all scaled alike (the way of timm and SMP)."""
    old = weight.shape[1]
    return weight.repeat(1, -(-bands // old), 1, 1)[:, :bands] * (old / bands)


def _shared(weight: Tensor, bands: int) -> Tensor:
    """Repeat bands in turn, each divided by how often it occurs; or add up those that fall on one."""
    old = weight.shape[1]
    if bands >= old:
        times = torch.tensor([len(range(band % old, bands, old)) for band in range(bands)], device=weight.device)
        return weight.repeat(1, -(-bands // old), 1, 1)[:, :bands] / times[:, None, None].to(weight.dtype)
    return torch.stack([weight[:, band::bands].sum(1) for band in range(bands)], 1)


def _mean(weight: Tensor, bands: int) -> Tensor:
    """Give each band the mean of the old ones (SEEDS 002.3), scaled to the old sum."""
    return weight.mean(1, keepdim=True).expand(-1, bands, -1, -1) * (weight.shape[1] / bands)


def _zeros(weight: Tensor, bands: int) -> Tensor:
    """Keep the first bands as they are; further ones begin at 0."""
    result = weight.new_zeros(weight.shape[0], bands, *weight.shape[2:])
    kept = min(bands, weight.shape[1])
    result[:, :kept] = weight[:, :kept]
    return result


def freeze_unused(model: SegModel, bands: int) -> list[str]:
    """Switch off parameters that no gradient reaches, so that DDP need not look for them each step.

    One backward pass in evaluation mode on a random image; weights, running statistics and
    gradients are left as they were.

    Args:
        model: on any device.
        bands: C of its input.

    Returns:
        names of the parameters that were switched off.
    """
    training = model.training
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    device = next(model.parameters()).device
    model.train(False)
    image = torch.linspace(-1, 1, bands * model.minimum**2, device=device)
    told = model.outputs(image.reshape(1, bands, model.minimum, model.minimum))
    said = [told.logits, *told.heads.values(), *(part for each in told.queries for part in each)]
    torch.autograd.backward([each.float().square().sum() for each in said])
    idle = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and parameter.grad is None:
            parameter.requires_grad_(False)
            idle.append(name)
        parameter.grad = None
    _put_back(model, buffers)
    model.train(training)
    return idle


def needs_two(model: SegModel, bands: int, crop: tuple[int, int] | None) -> bool:
    """Say whether a batch of one sample cannot be trained on, as batch norm meets a map of one pixel.

    Args:
        model: on any device; left as it was.
        bands: C of its input.
        crop: (height, width) in pixels of the training windows; None: whole images, taken as 512 x 512.
    """
    training = model.training
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    device = next(model.parameters()).device
    model.train()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            model(torch.zeros(1, bands, *(crop or (512, 512)), device=device))
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            return True
        raise
    finally:
        model.train(training)
        _put_back(model, buffers)
    return False


@torch.no_grad()
def _put_back(model: nn.Module, buffers: Mapping[str, Tensor]) -> None:
    for name, buffer in model.named_buffers():
        buffer.copy_(buffers[name])


STEMS: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "mean": _mean,
    "repeat": _repeated,
    "share": _shared,
    "zero": _zeros,
}
"""Name in `model.stem` -> from a first layer's weight to that for another number of bands; random keeps the new."""
