"""Several kept weights of one fold mixed into one, all of them or those that do not harm the held-out score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.files import write_json
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.models.tensors import digest_of
from maskwright.models.weights import load_model, read_weights, save_weights
from maskwright.scoring.scores import score
from maskwright.training.cluster import Solo
from maskwright.training.job import FoldJob
from maskwright.training.keep import BEST, CANDIDATES, LAST
from maskwright.training.loader import read_batches
from maskwright.training.precision import half_of, repeatable
from maskwright.training.setup import build_samples, build_windows, statistics_tickets
from maskwright.training.swa import renew_norms
from maskwright.training.validate import Exam, evaluate

SOUP = "soup.safetensors"
LEDGER = "soup.json"
State = Mapping[str, Tensor]
_NONE: list[dict[str, Any]] = []


@dataclass(frozen=True)
class Ingredient:
    """Weights that may go in."""

    name: str
    """File name in the fold's folder, without its suffix."""
    step: int
    state: State


def ingredients_of(folder: Path) -> list[Ingredient]:
    """Read a finished fold's kept weights: the last, the best, and candidates; what is there twice counts once.

    Raises:
        InputError: a file is damaged.
    """
    paths = [folder / LAST, folder / BEST, *sorted((folder / CANDIDATES).glob("*.safetensors"))]
    found: dict[str, Ingredient] = {}
    for path in paths:
        state, facts = read_weights(path)
        name = path.relative_to(folder).with_suffix("").as_posix()
        found.setdefault(digest_of(state), Ingredient(name, int(facts["step"]), state))
    return list(found.values())


def mixed(states: Sequence[State]) -> dict[str, Tensor]:
    """Return the mean of weights, summed in float64; integers are the first's."""
    first = states[0]
    return {
        name: torch.stack([state[name].double() for state in states]).mean(0).to(tensor.dtype)
        if tensor.is_floating_point()
        else tensor.clone()
        for name, tensor in first.items()
    }


def make_soup(job: FoldJob, folder: Path, kind: str, reporter: Reporter, stop: Stop) -> dict[str, Any]:
    """Mix a finished fold's kept weights and write soup.safetensors and soup.json, its ledger.

    Source: Wortsman et al. 2022, Model soups, recipe 1 for greedy: the best ingredient first, then the others by
    their score, each kept if the held-out score of the mean does not fall.

    Args:
        job: what was trained; its metric decides.
        folder: the fold's folder.
        kind: greedy or uniform.
        reporter: where progress goes.
        stop: asked before each batch; nothing is written then.

    Returns:
        the ledger.

    Raises:
        InputError: nothing is held out to go by.
        Interrupted: a stop was asked for.
    """
    if kind == "greedy" and not job.valid_keys:
        raise InputError(
            "a greedy soup goes by held-out items, and there are none", where=folder, fix="use predict.soup: uniform"
        )
    pot = ingredients_of(folder)
    kitchen = Kitchen(job, folder, stop)
    with repeatable(kitchen.cluster.device), reporter.task(f"soup {folder.parent.name}/{folder.name}", 1) as tick:
        scores = {each.name: kitchen.taste([each])[0] for each in pot}
        ordered = sorted(pot, key=lambda each: -(scores[each.name] or 0.0))
        went_in, tried = (ordered, _NONE) if kind == "uniform" else _greedy(kitchen, ordered, scores)
        value, state, samples = kitchen.taste(went_in)
        tick.advance(1)
    ledger: dict[str, Any] = {
        "kind": kind,
        "metric": job.metric,
        "score": value,
        "went_in": [each.name for each in went_in],
        "candidates": [{"name": each.name, "step": each.step, "score": scores[each.name]} for each in ordered],
        "tried": tried,
        "statistics_from_samples": samples,
    }
    facts = read_weights(folder / LAST)[1]
    save_weights(folder / SOUP, state, {**facts, "soup": ledger})
    write_json(folder / LEDGER, ledger)
    return ledger


def _greedy(
    kitchen: Kitchen, ordered: Sequence[Ingredient], scores: Mapping[str, float | None]
) -> tuple[list[Ingredient], list[dict[str, Any]]]:
    """Return what goes in, and each trial."""
    went_in, now = [ordered[0]], scores[ordered[0].name] or 0.0
    tried: list[dict[str, Any]] = []
    for each in ordered[1:]:
        value = kitchen.taste([*went_in, each])[0] or 0.0
        tried.append({"name": each.name, "score": value, "kept": value >= now})
        if value >= now:
            went_in, now = [*went_in, each], value
    return went_in, tried


class Kitchen:
    """What it takes to try a mixture: the network, held-out windows, training samples for running statistics.

    Args:
        job: what was trained.
        folder: the fold's folder.
        stop: asked before each batch.
    """

    def __init__(self, job: FoldJob, folder: Path, stop: Stop) -> None:
        self.job, self.stop, self.cluster = job, stop, Solo()
        train = job.member.train
        self.half = half_of(train, self.cluster.device)
        layout = torch.channels_last if train.channels_last else torch.contiguous_format
        self.model = load_model(folder / LAST)[0].to(self.cluster.device).to(memory_format=layout)
        self.plan = job.plan
        windows, size = build_windows(job)
        self.exam = (
            Exam(windows, job.task, size, train.workers, self.half, train.channels_last, lambda *_: torch.zeros(()))
            if job.valid_keys
            else None
        )

    def taste(self, parts: Sequence[Ingredient]) -> tuple[float | None, State, int]:
        """Return the held-out score of a mixture, its weights, and of how many samples its statistics are."""
        self.model.load_state_dict(mixed([each.state for each in parts]))
        samples = self._renew() if len(parts) > 1 else 0
        state = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        if self.exam is None:
            return None, state, samples
        verdict = evaluate(self.model, self.exam, self.cluster, lambda: bool(self.stop.signal_number))
        if verdict is None:
            raise self._stopped()
        return score(verdict.counts, self.job.metric), state, samples

    def _renew(self) -> int:
        lots = self.job.lots(self.plan.draws)
        samples = build_samples(self.job, self.plan, lots)
        train = self.job.member.train
        device = self.cluster.device
        with closing(
            read_batches(samples, statistics_tickets(self.plan), train.workers, pin=device.type == "cuda")
        ) as batches:
            return renew_norms(
                self.model,
                (batch for batch in batches if not self._asked()),
                device,
                self._autocast,
                channels_last=train.channels_last,
            )

    def _asked(self) -> bool:
        if self.stop.signal_number:
            raise self._stopped()
        return False

    def _stopped(self) -> Interrupted:
        return Interrupted(self.stop.signal_number or 0, "the soup was stopped, nothing of it is written")

    def _autocast(self) -> AbstractContextManager[object]:
        return nullcontext() if self.half is None else torch.autocast(self.cluster.device.type, self.half)


def for_soup(job: FoldJob, metric: str) -> FoldJob:
    """Return a job that decides by a metric, whatever its training picked its best by."""
    return replace(job, metric=metric)
