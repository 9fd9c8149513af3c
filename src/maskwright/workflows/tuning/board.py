"""Trials on a database that many processes share: who takes which, which owner died, how many are left. Knows Optuna.

A trial belongs to the process that claimed it. Claims are made one at a time (guard.py), so that a budget of n trials
is n trials however many processes work. A process on this folder holds the lock of a file in workers/ as long as it
lives; one elsewhere is known by its heartbeat alone. What a dead owner had begun is queued again with the same values.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Literal

from maskwright.core.errors import InputError
from maskwright.core.recipe.load import differing
from maskwright.core.recipe.tuning import Search, Span
from maskwright.workflows.tuning.place import Place, beating, shown_url

MOST_DEATHS = 3
"""Times that a trial's process may die before the trial counts as failed."""
PRUNE_AFTER = 5
"""Trials that go to their end before the median judges."""
State = Literal["running", "waiting", "done", "pruned", "failed", "died"]


@dataclass(frozen=True)
class Row:
    """A trial as the database has it."""

    number: int
    origin: int
    """What people see: counted from 0 without gaps, and the same when a trial is repeated after a death."""
    state: State
    value: float | None
    values: dict[str, Any]
    """Key -> what it was set to."""
    steps: dict[int, float]
    """Progress -> score so far."""
    facts: dict[str, Any]

    def to_plain(self) -> dict[str, Any]:
        """Return plain data."""
        told = {key: self.facts[key] for key in ("folds", "seconds", "reason", "deaths") if key in self.facts}
        steps = [[step, score] for step, score in sorted(self.steps.items())]
        return {
            "trial": self.origin,
            "state": self.state,
            "value": self.value,
            "values": self.values,
            "steps": steps,
        } | told


@dataclass
class Claim:
    """A trial that is this process's to run."""

    row: Row
    trial: Any
    """Of Optuna."""
    identity: int
    """The trial's id in the database."""


@dataclass(frozen=True)
class Settings:
    """What is on a board."""

    name: str
    """Of the study."""
    about: Mapping[str, Any]
    """What trials must agree in to be comparable: a study about something else is refused."""
    search: Search
    seed: int
    most: int = 100
    """Highest progress that a trial tells of."""


class Board:
    """The trials of one study.

    Args:
        place: the database.
        settings: what is tried.

    Raises:
        InputError: the study is about something else.
    """

    def __init__(self, place: Place, settings: Settings) -> None:
        import optuna

        self.optuna, self.place, self.settings = optuna, place, settings
        with place.guard(), place.told():
            self.study = optuna.create_study(
                storage=place.storage,
                study_name=settings.name,
                direction="maximize",
                load_if_exists=True,
                pruner=_pruner(settings),
            )
            about = json.loads(json.dumps(settings.about))
            old = self.study.user_attrs.get("about")
            if old is None:
                self.study.set_user_attr("about", about)
            elif old != about:
                changes = "; ".join(differing(old, about)[:4])
                raise InputError(
                    f"the study '{settings.name}' was begun with other settings: {changes}",
                    where=shown_url(place.url) if place.url else place.folder,
                    fix="choose another --out, or another name for the recipe where the database is shared",
                )

    def rows(self) -> list[Row]:
        """Return all trials, by number."""
        with self.place.told():
            return [_row(trial) for trial in self.study.get_trials(deepcopy=False)]

    def note(self, key: str, plain: Any = None) -> Any:
        """Keep plain data with the study, or return what was kept."""
        with self.place.told():
            if plain is not None:
                self.study.set_user_attr(key, plain)
            return self.study.user_attrs.get(key)

    def queue(self, tasks: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        """Add trials with given values and facts; whoever calls holds the guard."""
        with self.place.told():
            for values, facts in tasks:
                self.study.enqueue_trial(self._plain(values), user_attrs=dict(facts))

    def _plain(self, values: Mapping[str, Any]) -> dict[str, Any]:
        space = self.settings.search.space
        return {key: json.dumps(value) if space[key].choice is not None else value for key, value in values.items()}

    def claim(self, limit: int) -> Claim | Literal["wait"] | None:
        """Take the next trial: one that waits, or a new one while fewer than `limit` were begun.

        Returns:
            None: all are finished; wait: others work on the last ones and may die.
        """
        with self.place.guard(), self.place.told():
            self._bury()
            rows = self.rows()
            waiting = [row for row in rows if row.state == "waiting"]
            if waiting:
                return self._take(waiting[0].number)
            begun = sum(row.state != "died" for row in rows)
            if begun < limit:
                self.queue([({}, {"origin": 1 + max((row.origin for row in rows), default=-1)})])
                return self._take(len(rows))
            return "wait" if any(row.state == "running" for row in rows) else None

    def _take(self, number: int) -> Claim:
        identity = self._identity(number)
        taken = self.place.storage.set_trial_state_values(identity, self.optuna.trial.TrialState.RUNNING)
        assert taken, "a waiting trial was taken in spite of the guard"
        self._sample_by(number)
        return self._ours(self.optuna.trial.Trial(self.study, identity))

    def _ours(self, trial: Any) -> Claim:
        trial.set_user_attr("worker", self.place.worker)
        identity = self._identity(trial.number)
        self.place.storage.record_heartbeat(identity)
        return Claim(self._row(trial.number), trial, identity)

    def _identity(self, number: int) -> int:
        study = self.place.storage.get_study_id_from_name(self.settings.name)
        return int(self.place.storage.get_trial_id_from_study_id_trial_number(study, number))

    def _row(self, number: int) -> Row:
        return next(row for row in self.rows() if row.number == number)

    def _sample_by(self, number: int) -> None:
        """Give the trial of a number its own random numbers, so that no two processes draw the same."""
        samplers, seed = self.optuna.samplers, (self.settings.seed * 1_000_003 + number) % 2**32
        if self.settings.search.sampler == "random":
            self.study.sampler = samplers.RandomSampler(seed=seed)
        else:
            first = max(4, min(10, self.settings.search.trials // 3))
            self.study.sampler = samplers.TPESampler(n_startup_trials=first, seed=seed, constant_liar=True)

    def _bury(self) -> None:
        """Find trials whose process died, and queue them again with the values they had."""
        states = self.optuna.trial.TrialState
        for row in self.rows():
            worker = row.facts.get("worker")  # we hold the guard, so one without a name was killed while it claimed
            if row.state == "running" and (worker is None or self.place.alive(worker) is False):
                with suppress(self.optuna.exceptions.UpdateFinishedTrialError):
                    self.place.storage.set_trial_state_values(self._identity(row.number), states.FAIL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            self.optuna.storages.fail_stale_trials(self.study)
        rows = self.rows()
        followed = {row.facts.get("after") for row in rows}
        for row in rows:
            if row.state == "died" and row.number not in followed:
                self._again(row)

    def _again(self, row: Row) -> None:
        deaths = row.facts.get("deaths", 0) + (not row.facts.get("given_back", False))
        facts = {**row.facts, "after": row.number, "origin": row.origin, "deaths": deaths}
        for key in ("given_back", "worker"):
            facts.pop(key, None)
        if deaths < MOST_DEATHS:
            self.queue([(row.values, facts)])
            return
        told = {**facts, "reason": f"its process died {deaths} times", "outcome": "failed"}
        self.study.add_trial(self.optuna.trial.create_trial(state=self.optuna.trial.TrialState.FAIL, user_attrs=told))

    def suggest(self, claim: Claim) -> dict[str, Any]:
        """Return the value of each key for a trial."""
        with self.place.told(), warnings.catch_warnings():
            warnings.simplefilter("ignore", self.optuna.exceptions.ExperimentalWarning)
            return {key: _suggest(claim.trial, key, span) for key, span in self.settings.search.space.items()}

    def hopeless(self, claim: Claim, step: int, score: float) -> bool:
        """Take a score on the way in; say whether the trial should end."""
        with self.place.told():
            if step not in claim.row.steps:
                claim.trial.report(score, step)
                claim.row.steps[step] = score
            return bool(claim.trial.should_prune())

    def alive(self, claim: Claim) -> AbstractContextManager[None]:
        """Tell the database now and then that this process lives, while inside."""
        return beating(lambda: self.place.storage.record_heartbeat(claim.identity), self.place.heartbeat)

    def finish(
        self, claim: Claim, state: Literal["done", "pruned", "failed"], value: float | None, facts: Mapping[str, Any]
    ) -> bool:
        """Write down how a trial ended; say whether it was still ours.

        A trial that failed ends as a pruned one, so that the sampler keeps away from where it was.
        """
        states = self.optuna.trial.TrialState
        with self.place.told():
            try:
                for key, fact in {**facts, "outcome": state}.items():
                    claim.trial.set_user_attr(key, fact)
                if state == "done":
                    self.study.tell(claim.trial, value, state=states.COMPLETE)
                else:
                    self.place.storage.set_trial_state_values(claim.identity, states.PRUNED)
            except (self.optuna.exceptions.UpdateFinishedTrialError, ValueError, RuntimeError):
                return False  # it was given up for dead and belongs to another process now
        return True

    def give_back(self, claim: Claim) -> None:
        """Let another process go on with a trial."""
        with self.place.told(), suppress(self.optuna.exceptions.UpdateFinishedTrialError):
            claim.trial.set_user_attr("given_back", True)
            self.place.storage.set_trial_state_values(claim.identity, self.optuna.trial.TrialState.FAIL)

    def importance(self) -> dict[str, float]:
        """Return how much of the score each key decides, 0..1 (PED-ANOVA, Watanabe et al. 2023); {}: too few trials."""
        if sum(row.state == "done" for row in self.rows()) < 4:
            return {}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = self.optuna.importance.get_param_importances(self.study)
            except (ValueError, RuntimeError):  # all trials score alike
                return {}
        return {key: float(value) for key, value in found.items()}


def _row(trial: Any) -> Row:
    facts = dict(trial.user_attrs)
    states: dict[str, State] = {"RUNNING": "running", "WAITING": "waiting", "COMPLETE": "done", "PRUNED": "pruned"}
    state: State = facts.get("outcome", "died") if trial.state.name == "FAIL" else states[trial.state.name]
    if state == "pruned":
        state = facts.get("outcome", "pruned")
    params = dict(trial.system_attrs.get("fixed_params", {})) | dict(trial.params)
    values = {key: json.loads(value) if isinstance(value, str) else value for key, value in params.items()}
    value = trial.value if trial.state.name == "COMPLETE" else None
    origin = int(facts.get("origin", trial.number))
    return Row(trial.number, origin, state, value, values, dict(trial.intermediate_values), facts)


def _suggest(trial: Any, key: str, span: Span) -> Any:
    if span.choice is not None:
        return json.loads(trial.suggest_categorical(key, [json.dumps(one) for one in span.choice]))
    if span.whole is not None:
        return trial.suggest_int(key, *span.whole, step=int(span.step or 1))
    if span.log is not None:
        return trial.suggest_float(key, *span.log, log=True)
    assert span.uniform is not None
    return trial.suggest_float(key, *span.uniform, step=span.step)


def _pruner(settings: Settings) -> Any:
    import optuna

    if settings.search.pruner == "median":
        return optuna.pruners.MedianPruner(PRUNE_AFTER, n_warmup_steps=20, n_min_trials=PRUNE_AFTER)
    if settings.search.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(max(1, settings.most // 9), settings.most, reduction_factor=3)
    return optuna.pruners.NopPruner()
