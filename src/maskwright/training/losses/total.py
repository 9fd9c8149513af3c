"""The loss as a sum: terms with weights, given or learned, each of the main head or of an auxiliary one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from maskwright.core.labels import Task
from maskwright.models.heads import Outputs
from maskwright.scoring.counts import Counts
from maskwright.training.losses.terms import Pixels, Sums, Term
from maskwright.training.losses.views import VIEWS
from maskwright.training.parts import Part, Validated

Pool = Callable[[Tensor], Tensor]
"""From this process's sums to those of all processes, with this process's gradient."""
Numbers = tuple[Tensor | None, ...]
"""What each addend of a loss divides by; None: what its own batch says."""
FAR = 6.0
"""Learned log-variances stay within this of 0 (factors 1/403 to 403): a term that is 0 for long, as Dice of windows
without the class, would else grow its weight without end."""


@dataclass(frozen=True)
class Addend:
    """One term of the sum, with its weight."""

    name: str
    weight: float
    term: Term
    head: str = ""
    """Name of the auxiliary head whose logits it gets; empty: the main head."""
    view: str = "pixels"
    """What that head is asked: a name from views.VIEWS."""


@runtime_checkable
class Learning(Protocol):
    """A term that learns from validations, and whose state a resume needs."""

    def after_validation(self, counts: Counts) -> None:
        """Take in how each class did."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a crash-safe state must hold."""

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from a state."""


class Loss(Part):
    """A weighted sum of terms over the valid pixels of a batch; a part, as it may learn and be told of scores.

    With learned weights each addend counts weight x (value x exp(-s) + s), where s, its log-variance, is a
    parameter that begins at 0 (Kendall et al. 2018, Multi-task learning using uncertainty, in the form of
    SEEDS 003.4: at its least, exp(s) is the value itself).

    Args:
        addends: terms with weights.
        task: gives the form of labels.
        pool: adds sums up over processes; None for one process.
        learned: whether weights are learned.
        device: where they are.
    """

    def __init__(
        self,
        addends: Sequence[Addend],
        task: Task,
        pool: Pool | None = None,
        *,
        learned: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        self.addends = tuple(addends)
        self.task, self.pool = task, pool
        self.log_variances = nn.Parameter(torch.zeros(len(self.addends), device=device)) if learned else None
        self._places: list[int] | None = None

    def __call__(
        self,
        output: Tensor | Outputs,
        label: Tensor,
        valid: Tensor,
        numbers: Numbers | None = None,
        sizes: Tensor | None = None,
    ) -> Tensor:
        """Return the loss of a batch, a float32 scalar; 0 with a gradient if no pixel is valid (and none is learned).

        Args:
            output: logits (B, K, H, W) of any float type, or those of all heads.
            label: int64 (B, H, W), for multilabel (B, K, H, W); or float32 (B, K, H, W) of probabilities.
            valid: bool (B, H, W).
            numbers: of `numbers`, where the batch is one of several that make a step.
            sizes: float32 (B,), logarithm of the size of each sample's pixels, nan where it is not known; None: of all.
        """
        told = Outputs(output, {}) if isinstance(output, Tensor) else output
        logits = told.logits
        pixels = self._pixels(logits, label, valid)
        seen = {"": replace(pixels, queries=told.queries, extent=told.extent)}
        for addend in self.addends:  # all addends of a head ask it the same
            if addend.head not in seen:
                seen[addend.head] = VIEWS[addend.view].see(_wide(told.heads[addend.head]), pixels, sizes)
        sums = [addend.term.sums(seen[addend.head]) for addend in self.addends]
        if self.pool is not None:
            sums = _pooled(sums, self.pool, logits.device)
        if numbers is not None:
            sums = [part if each is None else (part[0], each) for part, each in zip(sums, numbers, strict=True)]
        return self._total([addend.term.value(added) for addend, added in zip(self.addends, sums, strict=True)])

    @torch.no_grad()
    def numbers(self, truths: Sequence[tuple[Tensor, ...]], device: torch.device | str = "cpu") -> Numbers:
        """Return what each addend divides by in each of several batches, so that their mean is the loss of all.

        The pixels that count may lie unevenly over the batches: each is divided by their mean number, not by its
        own. None where the logits decide the number (Dice and Jaccard over the batch, hard pixels): there each
        batch is its own ratio, and the mean over batches is not that of the large batch.

        Args:
            truths: label and valid of each batch, and sizes if it has some, as for a call.
            device: where the logits will be.
        """
        found: list[Tensor | None] = []
        for addend in self.addends:
            each = [self._number(addend, *truth) for truth in truths]
            known = [torch.as_tensor(number, dtype=torch.float32) for number in each if number is not None]
            found.append(torch.stack(known).mean().to(device) if known else None)
        if self.pool is not None and (local := [number for number in found if number is not None]):
            pooled = iter(self.pool(torch.stack(local)).unbind())
            found = [None if number is None else next(pooled) for number in found]
        return tuple(found)

    def _number(
        self, addend: Addend, label: Tensor, valid: Tensor, sizes: Tensor | None = None
    ) -> Tensor | float | None:
        if not getattr(addend.term, "additive", False):
            return None
        batch, height, width = valid.shape
        blank = torch.zeros(1).expand(batch, self.task.planes, height, width)
        pixels = self._pixels(blank, label, valid)
        if addend.head:
            view = VIEWS[addend.view]
            pixels = view.see(torch.zeros(1).expand(view.logits(pixels)), pixels, sizes)
        return addend.term.sums(pixels)[1]

    def _total(self, values: Sequence[Tensor]) -> Tensor:
        weights = [addend.weight for addend in self.addends]
        if self.log_variances is not None:
            spread = self._log_variances()
            values = [value * torch.exp(-s) + s for value, s in zip(values, spread, strict=True)]
        weighed = [value if weight == 1 else weight * value for weight, value in zip(weights, values, strict=True)]
        return weighed[0] if len(weighed) == 1 else torch.stack(weighed).sum()

    def _log_variances(self) -> Tensor:
        """Return s of each addend, within bounds."""
        assert self.log_variances is not None
        with torch.no_grad():
            self.log_variances.clamp_(-FAR, FAR)
        return self.log_variances if self._places is None else self.log_variances[self._places]

    def _pixels(self, logits: Tensor, label: Tensor, valid: Tensor) -> Pixels:
        whole = bool(valid.all()) if valid.device.type == "cpu" else False  # elsewhere looking would wait for it
        logits = _hidden(_wide(logits), valid, whole)
        mask = None if whole else valid.to(logits.dtype)
        soft = None
        if label.is_floating_point():
            soft = _hidden(label, valid, whole).to(logits.dtype)
            label = soft.argmax(1) if self.task.kind == "multiclass" else (soft >= 0.5).to(logits.dtype)
        elif self.task.kind == "multiclass":
            label = label if whole else label.masked_fill(~valid, 0)
        else:
            label = (label.unsqueeze(1) if label.ndim == 3 else label).to(logits.dtype)
        return Pixels(logits, label, mask, soft)

    def alone(self) -> Loss:
        """Return the loss of the main head, state and all, for a batch that this process has to itself."""
        places = [place for place, addend in enumerate(self.addends) if not addend.head]
        alone = Loss([self.addends[place] for place in places], self.task)
        alone.log_variances, alone._places = self.log_variances, places
        return alone

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return what the optimiser moves of the loss, by name. All processes have its whole gradient."""
        return {} if self.log_variances is None else {"log_variances": self.log_variances}

    def after_validation(self, told: Validated) -> None:
        """Tell terms that learn from it how each class did."""
        for term in self._learning().values():
            term.after_validation(told.counts)

    @property
    def learns(self) -> bool:
        """Whether a term needs validations."""
        return bool(self._learning())

    def _learning(self) -> dict[str, Learning]:
        """Return the terms that learn, by the first addend they belong to."""
        found: dict[int, tuple[str, Learning]] = {}
        for addend in self.addends:
            if isinstance(addend.term, Learning):
                found.setdefault(id(addend.term), (addend.name, addend.term))
        return dict(found.values())

    def state_dict(self) -> dict[str, Tensor]:
        """Return what a crash-safe state must hold."""
        found = {
            f"{name}.{what}": tensor
            for name, term in self._learning().items()
            for what, tensor in term.state_dict().items()
        }
        if self.log_variances is not None:
            found["log_variances"] = self.log_variances.detach()
        return found

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor], /) -> None:
        """Go on from a state."""
        for name, term in self._learning().items():
            start = f"{name}."
            term.load_state_dict(
                {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
            )
        if self.log_variances is not None:
            self.log_variances.copy_(state["log_variances"])


def _wide(logits: Tensor) -> Tensor:
    """Compute in float32, whatever the network computes in; float64 stays for those who check gradients."""
    return logits if logits.dtype == torch.float64 else logits.float()


def _hidden(planes: Tensor, valid: Tensor, whole: bool) -> Tensor:
    return planes if whole else planes.masked_fill(~valid.unsqueeze(1), 0.0)


def _pooled(sums: list[Sums], pool: Pool, device: torch.device) -> list[Sums]:
    """Add the sums of all terms up over processes in one go."""
    tensors = [torch.as_tensor(part, device=device) for parts in sums for part in parts]
    pooled = torch.split(pool(torch.cat([part.reshape(-1) for part in tensors])), [part.numel() for part in tensors])
    shaped = iter([part.view_as(like) for part, like in zip(pooled, tensors, strict=True)])
    return [tuple(next(shaped) for _ in parts) for parts in sums]
