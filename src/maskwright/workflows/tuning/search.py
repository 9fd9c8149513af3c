"""The verb search: trials of recipe keys by any number of processes, finalists repeated with other seeds, a winner."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from maskwright.core.errors import InputError, LockedError, MemoryLimitError, RecipeError
from maskwright.core.files import write_json
from maskwright.core.progress import Reporter
from maskwright.core.recipe.tuning import Search
from maskwright.core.runs import refuse_together
from maskwright.core.stop import Stop
from maskwright.ensembling.decide import measure_of
from maskwright.workflows.session import find_recipe, open_session
from maskwright.workflows.tuning.attempt import FULL, Bench, Measured, Yardstick
from maskwright.workflows.tuning.board import Board, Claim, Row, Settings
from maskwright.workflows.tuning.finals import BASE, Final, choose, ranking, tasks
from maskwright.workflows.tuning.pages import write_search_page, yardstick_in_words
from maskwright.workflows.tuning.place import Place, check_url, need_optuna
from maskwright.workflows.tuning.space import Base, as_it_is, check_space, measured_part
from maskwright.workflows.tuning.winner import write_winner

WAIT_S = 0.3
"""Seconds between looks while others work on the last trials."""


@dataclass(frozen=True)
class Wish:
    """What the command line asks for beside the recipe."""

    trials: int | None = None
    """Instead of search.trials."""
    minutes: float | None = None
    """Instead of search.minutes."""
    storage: str | None = None
    """Address of the database; None: study.db in the folder."""
    out: Path | None = None
    """Folder; None: runs/<name>-search."""
    quick: bool = False


class _Hopeless(Exception):
    """The pruner ends a trial."""


def run_search(recipe: str, overrides: Sequence[str], wish: Wish, reporter: Reporter, stop: Stop | None = None) -> Path:
    """Try values of recipe keys until the budget is spent, repeat the best, and write the winning recipe.

    Args:
        recipe: YAML file or packaged recipe with a block `search`.
        overrides: `dotted.key=value` texts.
        wish: see Wish.
        reporter: gets a line for each trial.
        stop: SIGINT and SIGTERM end the search saved; the same command goes on.

    Returns:
        The folder, with winner.yaml, search.json and search.html.

    Raises:
        RecipeError: the recipe or its space will not do; nothing was begun.
        InputError: every trial failed, or the study is about something else.
        Interrupted, StorageError: what is finished is kept.
    """
    refuse_together("a trial is trained")
    session = open_session(recipe, overrides, reporter, out=wish.out, quick=wish.quick)
    path = find_recipe(recipe)
    block = session.recipe.search
    if block is None:
        raise RecipeError(
            "the recipe has no block search",
            where=path,
            fix="write search: {space: {members.NAME.optimizer.lr: {log: [1e-5, 1e-2]}}}",
        )
    given = {"trials": wish.trials, "minutes": wish.minutes}
    block = block.model_copy(update={key: value for key, value in given.items() if value is not None})
    need_optuna()
    if wish.storage is not None:
        check_url(wish.storage)
    base = Base(session.recipe, path)
    check_space(base, block.space, block.objective)
    count = session.recipe.folds.count
    folds = range(count) if block.objective == "nested" else range(block.folds or 1)
    yardstick = Yardstick(block.objective, base.touched(tuple(block.space)), tuple(folds), block.epochs)
    yardstick.check(session.recipe, f"{path}:search")
    root = wish.out or Path("runs") / f"{session.recipe.name}-search"
    work = _Work(base, block, yardstick, root, reporter, stop or session.stop)
    with work.stop.listening():
        work.begin(wish.storage)
        with work.place.at_work():
            work.trials()
            work.finals()
            work.write()
    return root


class _Work:
    """A search while this process works on it."""

    def __init__(
        self, base: Base, block: Search, yardstick: Yardstick, root: Path, reporter: Reporter, stop: Stop
    ) -> None:
        self.base, self.block, self.root, self.reporter, self.stop = base, block, root, reporter, stop
        self.bench = Bench(root, base.recipe, base.path, yardstick, reporter, stop)
        self.began = time.monotonic()
        self.done = 0
        self.metric = measure_of(base.recipe.decision, base.recipe.task).metric

    def begin(self, storage: str | None) -> None:
        """Look at the data, open the database, and put the recipe as it is first where the space holds it."""
        self.bench.prepare()
        self.place = Place(storage, self.root, self.stop)
        name = self.base.recipe.name
        plain = measured_part(self.base.recipe)
        space = {key: span.model_dump(mode="json", exclude_none=True) for key, span in self.block.space.items()}
        yardstick = {**self.bench.yardstick.to_plain(), "epochs": self.block.epochs}
        about = {"recipe": plain, "space": space, "measured": yardstick, "items": self.bench.items}
        settings = Settings(name, about, self.block, self.base.recipe.seed, FULL * self._units)
        self.board = Board(self.place, settings)
        self.second = Board(self.place, Settings(f"{name}/finals", about, self.block, self.base.recipe.seed))
        self.as_is = as_it_is(self.base, self.block.space)
        with self.place.guard():
            if self.as_is is not None and not self.board.rows():
                self.board.queue([(self.as_is, {})])

    @property
    def _units(self) -> int:
        return len(self.bench.yardstick.members) * len(self.bench.yardstick.folds)

    def trials(self) -> None:
        """Run trials until the budget is spent and those of other processes are finished too."""
        limit, minutes = self.block.trials, self.block.minutes
        there = sum(row.state in ("done", "pruned", "failed") for row in self.board.rows())
        self.reporter.say(f"search: {there} of {limit} trials finished, in {self.root}")
        while True:
            late = minutes is not None and time.monotonic() - self.began > 60 * minutes
            claim = self.board.claim(0 if late else limit)
            if claim is None:
                break
            if claim == "wait":
                self._wait()
            else:
                self._trial(claim)
        rows = self.board.rows()
        finished = sum(row.state in ("done", "pruned", "failed") for row in rows)
        if finished < limit:
            self.reporter.say(f"search: {minutes:g} minutes are over after {finished} of {limit} trials")

    def _wait(self) -> None:
        self.stop.check("finished trials are kept")
        time.sleep(WAIT_S)

    def _trial(self, claim: Claim) -> None:
        values, label = self.board.suggest(claim), f"trial {claim.row.origin}"

        def tell(step: int, score: float) -> None:
            if self.board.hopeless(claim, step, score):
                raise _Hopeless

        folder = self.root / "trials" / f"{claim.row.origin:04d}"
        told = self._run(self.board, claim, values, folder, label, tell=tell)
        if told is None:
            return
        best = max((row for row in self.board.rows() if row.value is not None), key=_by_value, default=None)
        more = f", best {best.value:.4f} (trial {best.origin})" if best is not None and best.value is not None else ""
        self.reporter.say(f"{label}: {told}{more}; {in_words(values)}")

    def _run(
        self, board: Board, claim: Claim, values: Mapping[str, Any], folder: Path, label: str, tell: Any = None
    ) -> str | None:
        """Measure what was claimed and write down how it ended; return that in words, None if it is not over."""
        value: float | None = None
        facts: dict[str, Any] = {}
        state: Literal["done", "pruned", "failed"] = "failed"
        seed = {"seed": claim.row.facts["seed"]} if "seed" in claim.row.facts else {}
        began = time.monotonic()
        try:
            with board.alive(claim):
                found: Measured = self.bench.measure(self.base.with_values({**values, **seed}), folder, label, tell)
            state, value = "done", found.value
            facts = {"folds": {str(fold): score for fold, score in found.folds.items()}}
            words = f"{self.metric} {value:.4f}"
        except _Hopeless:
            state, words = "pruned", f"ended early at {list(claim.row.steps.values())[-1]:.4f}"
        except (InputError, MemoryLimitError) as error:
            facts, words = {"reason": error.what}, f"failed: {error.what}"
        except LockedError:
            board.give_back(claim)
            self._wait()
            return None
        except BaseException:
            board.give_back(claim)
            raise
        facts = {**facts, "seconds": round(time.monotonic() - began, 3)}
        if not board.finish(claim, state, value, facts):
            return None
        self.bench.clear(folder)
        self.done += 1
        return words

    def finals(self) -> None:
        """Repeat the best trials, and the recipe as it is, with seeds that none of them was chosen on."""
        if not self.block.finalists:
            return
        with self.place.guard():
            chosen = choose(self.board.rows(), self.block.finalists, self.as_is)
            if not chosen:
                return
            seeds = [self.base.recipe.seed + one for one in range(1, self.block.seeds + 1)]
            known = {(row.facts["finalist"], row.facts["seed"]) for row in self.second.rows()}
            new = [task for task in tasks(chosen, seeds) if (task["finalist"], task["seed"]) not in known]
            self.second.queue([({}, task) for task in new])
        while (claim := self.second.claim(0)) is not None:
            if claim == "wait":
                self._wait()
                continue
            who, seed = claim.row.facts["finalist"], claim.row.facts["seed"]
            label = f"{'as it is' if who == BASE else f'trial {who}'}, seed {seed}"
            folder = self.root / "finals" / f"{who if who == BASE else f'{who:04d}'}-seed{seed}"
            told = self._run(self.second, claim, claim.row.facts["values"], folder, label)
            if told is not None:
                self.reporter.say(f"{label}: {told}")

    def write(self) -> None:
        """Write the winning recipe and what was found, and say it."""
        rows = [row for row in self.board.rows() if row.state != "died"]
        finals = ranking(choose(rows, self.block.finalists, self.as_is), self.second.rows(), self.block.seeds)
        best = max((row for row in rows if row.value is not None), key=_by_value, default=None)
        if best is None:
            reasons = [str(row.facts["reason"]) for row in rows if row.state == "failed"]
            raise InputError(
                f"none of {len(rows)} trials has a score{f'; the last failed: {reasons[-1]}' if reasons else ''}",
                where=self.root,
                fix="narrow the space, or mend the recipe until maskwright run works",
            )
        winner = finals[0] if finals and finals[0].whole else Final(best.origin, best.values, {}, 0)
        write_winner(self.base, self.root, winner, best, self.metric)
        write_json(self.root / "search.json", self._plain(rows, finals, winner))
        found = (rows, finals, winner, self.board.importance())
        how = f"{self.metric}\n{yardstick_in_words(self.bench.yardstick)}"
        write_search_page(self.base, self.block, found, how, self.root / "search.html")
        if not self.done:
            self.reporter.say("search: nothing to do")
        for final in finals:
            self.reporter.say(final.in_words(self.metric))
        who = "the recipe as it is" if winner.who == BASE else f"trial {winner.who}"
        self.reporter.say(f"search: {who} wins: {in_words(winner.values) or 'nothing changes'}")
        self.reporter.say(f"winning recipe: {self.root / 'winner.yaml'}; all of it: {self.root / 'search.html'}")

    def _plain(self, rows: Sequence[Row], finals: Sequence[Final], winner: Final) -> dict[str, Any]:
        """Return what was found as plain data."""
        yardstick = self.bench.yardstick
        return {
            "recipe": self.base.recipe.name,
            "metric": self.metric,
            "measured": {**yardstick.to_plain(), "epochs": yardstick.epochs},
            "space": {key: span.model_dump(mode="json", exclude_none=True) for key, span in self.block.space.items()},
            "winner": {"trial": winner.who, "values": dict(winner.values)},
            "finalists": [final.to_plain() for final in finals],
            "importance": self.board.importance(),
            "trials": [row.to_plain() for row in rows],
        }


def in_words(values: Mapping[str, Any]) -> str:
    """Write keys and values on one line."""
    return ", ".join(
        f"{key}={value:.4g}" if isinstance(value, float) else f"{key}={value}" for key, value in values.items()
    )


def _by_value(row: Row) -> float:
    assert row.value is not None
    return row.value
