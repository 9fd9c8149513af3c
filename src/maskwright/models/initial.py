"""First weights from a local file: whole models and encoders, matched name by name, or refused with the reason."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from maskwright.core.errors import InputError
from maskwright.models.adapt import SegModel, adapt_bands
from maskwright.models.tensors import read_foreign


def load_into(model: SegModel, path: Path, bands: int, stem: str = "repeat") -> None:
    """Fill a model, or its encoder alone, from a safetensors file.

    Names are compared without the prefixes that maskwright, SMP and timm put before them. A file
    without a decoder fills the encoder and may carry a classifier, which is left out. A first
    convolution for another number of bands is adapted. A whole model brings its spectral stem, if one is
    wanted. Auxiliary heads are filled if the file is a whole model that had the same ones, and stay as they
    are if not.

    Args:
        model: to be filled in place.
        path: a .safetensors file.
        bands: C of the model's input.
        stem: how the first layer meets another number of bands: random, or a name from adapt.STEMS.

    Raises:
        InputError: the file is damaged, or a tensor is missing or has another shape; the model is
            untouched then.
    """
    given = {plain_name(name): tensor for name, tensor in read_foreign(path)[0].items()}
    whole = any(name.startswith(("decoder.", "segmentation_head.")) for name in given)
    state = model.network.state_dict()
    if whole and model.spectral is not None:
        state |= {f"spectral.{name}": tensor for name, tensor in model.spectral.state_dict().items()}
    wanted = {plain_name(name): tensor for name, tensor in state.items()}
    encoder = {plain_name(name) for name in model.encoder.state_dict()}
    needed = wanted if whole else {name: tensor for name, tensor in wanted.items() if name in encoder}
    filled: dict[str, Tensor] = {}
    faults: list[str] = []
    if whole and model.spectral is None and any(name.startswith("spectral.") for name in given):
        faults.append("the file has a spectral stem and the model has none")
    for name, tensor in needed.items():
        found = given.get(name)
        if found is None:
            if not name.endswith("num_batches_tracked"):
                faults.append(f"{name} is missing")
        elif found.shape == tensor.shape:
            filled[name] = found
        elif _only_bands_differ(found, tensor, bands):
            if stem != "random":
                filled[name] = adapt_bands(found.float(), bands, stem)
        else:
            faults.append(f"{name} is {tuple(found.shape)} in the file and {tuple(tensor.shape)} in the model")
    if faults:
        raise _mismatch(path, faults, needed, whole)
    with torch.no_grad():
        for name, tensor in state.items():
            if plain_name(name) in filled:
                tensor.copy_(filled[plain_name(name)])
        for name, tensor in {} if model.auxiliary is None else model.auxiliary.state_dict().items():
            found = given.get(f"auxiliary.{name}")
            if whole and found is not None and found.shape == tensor.shape:
                tensor.copy_(found)


@torch.no_grad()
def take_encoder(model: SegModel, donor: SegModel, bands: int, stem: str) -> None:
    """Fill a model's encoder from that of a model of the same kind for another number of bands.

    Args:
        model: to be filled in place.
        donor: with pretrained weights.
        bands: C of the model's input.
        stem: as in load_into.
    """
    given = donor.encoder.state_dict()
    for name, tensor in model.encoder.state_dict().items():
        if not _only_bands_differ(given[name], tensor, bands):
            tensor.copy_(given[name])
        elif stem != "random":
            tensor.copy_(adapt_bands(given[name], bands, stem))


def _mismatch(path: Path, faults: list[str], needed: Mapping[str, Tensor], whole: bool) -> InputError:
    more = f" (and {len(faults) - 1} more of {len(needed)} tensors)" if len(faults) > 1 else ""
    part = "model" if whole else "encoder"
    head = whole and all(fault.startswith("segmentation_head.") for fault in faults)
    return InputError(
        f"weights do not fit the {part}: {faults[0]}{more}",
        where=path,
        fix="keep only the encoder.* tensors in the file, as the number of classes differs"
        if head
        else "check architecture and encoder",
    )


def _only_bands_differ(found: Tensor, wanted: Tensor, bands: int) -> bool:
    return (
        found.ndim == wanted.ndim == 4
        and wanted.shape[1] == bands != found.shape[1]
        and found.shape[0] == wanted.shape[0]
        and found.shape[2:] == wanted.shape[2:]
    )


def plain_name(name: str) -> str:
    """Drop wrappers' prefixes and write stages_0 as stages.0, as timm's own checkpoints do."""
    name = re.sub(r"^(?:module\.|network\.)+", "", name)
    name = re.sub(r"^(?:encoder\.)?(?:model\.)*", "", name)
    return re.sub(r"_(\d+)\.", r".\1.", name)
