"""Crash-safe state: after kill -9 at any moment there is a whole one, and going on from it loses nothing.

    state/step-00000120.safetensors   weights, average, optimiser, and in its facts all else
    state/step-00000100.safetensors   the one before, kept in case the newest is damaged
    state/best-00000100.safetensors   the weights that a state calls the best so far, or among the best
    state/snapshot-00000080.safetensors   the weights at a minimum of the schedule

A best file is written before the state that names it and deleted after the last state that did,
so whichever state a training goes on from, the weights it remembers as the best are there.
Newest is by step, never by clock. One process writes; all read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.errors import InputError, from_os_error
from maskwright.models.tensors import read_facts, read_tensors, write_tensors

KEPT = 2
"""States on disk: the newest, and one to fall back to."""
_STEP = re.compile(r"^step-(\d{8})\.safetensors$")


@dataclass(frozen=True)
class State:
    """A training at the end of a step."""

    step: int
    """Steps done."""
    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]


class Checkpoints:
    """The states of one fold.

    Args:
        folder: the fold's folder.
        job: digest of what is trained; a state of another job is refused.
    """

    def __init__(self, folder: Path, job: str) -> None:
        self.folder = folder / "state"
        self.job = job

    def save(self, step: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a state, check it, and only then let go of those before the previous one.

        Raises:
            StorageError: disk full or no permission; the states so far are untouched.
        """
        write_tensors(self._path(step), tensors, {"step": step, "job": self.job, **facts})
        kept = self.steps()[:KEPT]
        for old in self.steps()[KEPT:]:
            self._path(old).unlink(missing_ok=True)
        self._drop_best(kept)

    def steps(self) -> list[int]:
        """Return the steps there are states of, newest first."""
        try:
            names = [path.name for path in self.folder.iterdir()]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise from_os_error(error, self.folder) from error
        return sorted((int(found[1]) for name in names if (found := _STEP.match(name))), reverse=True)

    def newest(self, warn: Callable[[str], None]) -> State | None:
        """Read the newest state that is whole; damaged ones are named in a warning and deleted.

        Returns:
            None if there is no state, or no whole one.

        Raises:
            InputError: the state belongs to another job.
        """
        damaged = []
        for step in self.steps():
            try:
                state = self.read(step)
            except InputError as error:
                if not isinstance(error, AnotherJob):
                    damaged.append(step)
                    warn(f"{error.where}: {error.what}; going on from the state before it")
                    continue
                raise
            self._delete(damaged)
            return state
        self._delete(damaged)
        return None

    def read(self, step: int) -> State:
        """Read one state.

        Raises:
            InputError: damaged, or of another job.
        """
        path = self._path(step)
        tensors, facts = read_tensors(path)
        if facts.get("job") != self.job:
            raise AnotherJob(
                "this state belongs to a training with another recipe, fold or data",
                where=path,
                fix=f"delete {self.folder.parent.name} to train it anew",
            )
        return State(step, tensors, facts)

    def best_path(self, step: int) -> Path:
        """Return where the weights that were among the best at `step` are kept."""
        return self.folder / f"best-{step:08d}.safetensors"

    def snapshot_path(self, step: int) -> Path:
        """Return where the weights at a minimum of the schedule are kept, to the end of the training."""
        return self.folder / f"snapshot-{step:08d}.safetensors"

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}.safetensors"

    def _delete(self, steps: list[int]) -> None:
        for step in steps:
            self._path(step).unlink(missing_ok=True)

    def _drop_best(self, kept: list[int]) -> None:
        named = {best for step in kept for best in self._best_of(step)}
        for path in self.folder.glob("best-*.safetensors"):
            if int(path.stem.removeprefix("best-")) not in named:
                path.unlink(missing_ok=True)

    def _best_of(self, step: int) -> set[int]:
        try:
            facts = read_facts(self._path(step))
        except InputError:  # a state that cannot be read cannot be gone on from and names nothing
            return set()
        return {each["step"] for each in ranked(facts)}


def ranked(facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the best weights that a state names, the best first."""
    best = facts.get("best")
    return list(facts.get("ranked") or ([best] if best else []))


class AnotherJob(InputError):
    """A state that must not be gone on from, though it is whole."""


def pack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put a prefix before names."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def unpack(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Take out the tensors whose names begin with a prefix, without it."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return the optimiser's running averages of named parameters as `<parameter>:<what>` -> tensor."""
    found = {}
    for name, parameter in parameters.items():
        for what, value in optimizer.state.get(parameter, {}).items():
            found[f"{name}:{what}"] = value if isinstance(value, Tensor) else torch.tensor(value)
    return found


def load_optimizer(
    optimizer: torch.optim.Optimizer, parameters: Mapping[str, nn.Parameter], tensors: Mapping[str, Tensor]
) -> None:
    """Fill an optimiser from `optimizer_tensors`, each average in the memory layout of its parameter.

    torch's own load_state_dict keeps the layout of what is loaded; the fused kernel walks memory in
    order, so a channels_last weight beside a contiguous average would be mixed up.
    """
    for name, value in tensors.items():
        parameter_name, _, what = name.rpartition(":")
        parameter = parameters[parameter_name]
        like = torch.empty_like(parameter) if value.shape == parameter.shape else torch.empty_like(value)
        optimizer.state[parameter][what] = like.detach().to(parameter.device).copy_(value)
