"""One recipe measured in a folder of its own: trained fold by fold, gone on with after a kill, never done twice."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, LockedError, RecipeError
from maskwright.core.files import read_json, write_bytes, write_json
from maskwright.core.progress import Reporter, Tick
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import build, digest, to_plain
from maskwright.core.recipe.tuning import Objective
from maskwright.core.runs import RunFolder
from maskwright.core.stop import Stop
from maskwright.ensembling.blend import read_decision
from maskwright.ensembling.decide import measure_of
from maskwright.scoring.counts import Counts
from maskwright.scoring.measures import Measure
from maskwright.workflows.inputs import split_inputs
from maskwright.workflows.run import run_stages
from maskwright.workflows.session import STAGES, Session
from maskwright.workflows.tuning.space import measured_part

JOURNAL, MEASURED = "validations.jsonl", "measured.json"
FULL = 100
"""Places of one training's progress that validations are told at."""
Tell = Callable[[int, float], None]
"""Gets the progress (FULL for each training) and the score so far; what it raises ends the attempt."""


@dataclass(frozen=True)
class Yardstick:
    """How a recipe is measured."""

    objective: Objective
    members: tuple[str, ...]
    """That are trained, in order."""
    folds: tuple[int, ...]
    epochs: int | None = None
    """Instead of train.epochs."""

    def to_plain(self) -> dict[str, Any]:
        """Return plain data."""
        return {"objective": self.objective, "members": list(self.members), "folds": list(self.folds)}

    def cut(self, recipe: Recipe, where: str) -> Recipe:
        """Return the recipe with what has no part in the measurement left out: other members, test items, files.

        Raises:
            RecipeError: what is left contradicts itself.
        """
        plain = to_plain(recipe)
        plain["members"] = {name: plain["members"][name] for name in self.members}
        plain["data"]["test"] = None
        plain.update(output=[{"format": "report"}], trackers=[])
        if self.epochs is not None:
            for member in plain["members"].values():
                member["train"]["epochs"] = self.epochs
        return build(plain, where=where)

    def check(self, recipe: Recipe, where: str) -> None:
        """Refuse what validations cannot tell of.

        Raises:
            RecipeError: naming the key.
        """
        if recipe.folds.kind == "all":
            raise RecipeError("folds.kind: all holds nothing out to score", where=where, fix="use other folds")
        if max(self.folds) >= recipe.folds.count:
            fix = f"give at most {recipe.folds.count}"
            raise RecipeError(f"{max(self.folds) + 1} folds of {recipe.folds.count}", where=f"{where}.folds", fix=fix)
        for name in self.members if self.objective == "validation" else ():
            member = recipe.members[name]
            if member.train.swa is not None or member.predict.weights not in ("last", "best"):
                what = "train.swa" if member.train.swa is not None else f"predict.weights: {member.predict.weights}"
                raise RecipeError(
                    f"members.{name}.{what} makes weights after the last validation",
                    where=f"{where}.objective",
                    fix="use objective: nested",
                )


@dataclass(frozen=True)
class Measured:
    """What a recipe scored."""

    value: float
    """The mean over folds (and members) of validation scores, or the nested score of all folds."""
    folds: dict[int, float]
    """Fold -> its score."""
    seconds: float

    def to_plain(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "value": self.value,
            "folds": {str(fold): score for fold, score in self.folds.items()},
            "seconds": round(self.seconds, 3),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> Measured:
        """Return what to_plain was made from."""
        folds = {int(fold): float(score) for fold, score in plain["folds"].items()}
        return cls(float(plain["value"]), folds, float(plain["seconds"]))


class Bench:
    """Where recipes on the same data and folds are measured.

    Args:
        root: gets `base`, the folder whose inspection and folds all attempts share.
        recipe: as it is.
        path: its file.
        yardstick: how recipes are measured.
        reporter: gets what is worth a line, and progress.
        stop: asked to stop.
    """

    def __init__(
        self, root: Path, recipe: Recipe, path: Path, yardstick: Yardstick, reporter: Reporter, stop: Stop
    ) -> None:
        self.root, self.path, self.yardstick, self.reporter, self.stop = root, path, yardstick, reporter, stop
        self.base = self.session(recipe, root / "base", "")
        self.items = ""
        """Stands for items and folds, once they are known."""
        self.made = 0
        """Measurements that were not there already."""

    def session(self, recipe: Recipe, folder: Path, label: str) -> Session:
        """Open a recipe in a folder, with nothing in it that has no part in the measurement."""
        cut = self.yardstick.cut(recipe, str(self.path))
        return Session(cut, self.path.parent, RunFolder(folder), Short(self.reporter, label), self.stop)

    def prepare(self) -> None:
        """Inspect and split once, or wait until another process has."""
        while True:
            try:
                run_stages(self.base, ["inspect", "split"])
                break
            except LockedError:
                self.stop.check("nothing was begun")
                time.sleep(0.3)
        self.items = digest(split_inputs(self.base))

    def measure(self, recipe: Recipe, folder: Path, label: str, tell: Tell | None = None) -> Measured:
        """Train and score a recipe, or return what a folder holds of it already.

        Args:
            recipe: with its values laid in.
            folder: its own, below root.
            label: stands before progress.
            tell: gets validation scores.

        Raises:
            InputError, MemoryLimitError: this recipe does not train.
            LockedError: another process works in the folder.
            Interrupted, StorageError: saved as far as it went.
        """
        session = self.session(recipe, folder, label)
        stands_for = digest([measured_part(session.recipe), self.yardstick.to_plain(), self.items])
        done = folder / MEASURED
        if done.exists() and (plain := read_json(done))["of"] == stands_for:
            return Measured.from_plain(plain)
        began = time.perf_counter()
        _lend(self.base.run, session.run)
        watch = _Watch(folder, self.yardstick, session.recipe, tell)
        session.witness = watch.see
        watch.again()
        value, folds = self._score(session, watch)
        if not math.isfinite(value):
            raise InputError("no score is defined: no class that counts was there", where=folder, fix="use more folds")
        found = Measured(value, folds, time.perf_counter() - began)
        self.made += 1
        write_json(done, {**found.to_plain(), "of": stands_for})
        return found

    def _score(self, session: Session, watch: _Watch) -> tuple[float, dict[int, float]]:
        run_stages(session, ["inspect", "split"])
        if self.yardstick.objective == "nested":
            run_stages(session, STAGES[: STAGES.index("decide") + 1])
            evidence = read_decision(session.run.decision).evidence
            folds = {one.fold: _number(one.honest) for one in evidence.folds}
            return _number(evidence.honest), folds
        for name in self.yardstick.members:
            for fold in self.yardstick.folds:
                run_stages(session, ["train"], member=name, fold=fold)
        folds = {fold: watch.mean(fold) for fold in self.yardstick.folds}
        return sum(folds.values()) / len(folds), folds

    def clear(self, folder: Path) -> None:
        """Delete weights, states and probabilities of an attempt; histories and scores stay."""
        run = RunFolder(folder)
        for inner in (run.cache, run.root / "probabilities"):
            run.clear(inner)
        for pattern in ("members/*/fold*/*.safetensors", "members/*/fold*/candidates/*.safetensors"):
            for path in run.root.glob(pattern):
                path.unlink(missing_ok=True)
        for state in run.root.glob("members/*/fold*/state"):
            run.clear(state)


class Short:
    """A reporter for one attempt among many: progress and warnings, no lines.

    Args:
        reporter: the user's.
        label: stands before what is said.
    """

    def __init__(self, reporter: Reporter, label: str) -> None:
        self.reporter, self.label = reporter, label

    def say(self, text: str) -> None:
        """Drop the line, unless it is about the data that all attempts share."""
        if not self.label:
            self.reporter.say(text)

    def warn(self, text: str) -> None:
        """Pass a warning on."""
        self.reporter.warn(f"{self.label}: {text}" if self.label else text)

    def task(self, name: str, total: int, done: int = 0) -> AbstractContextManager[Tick]:
        """Open a piece of work."""
        return self.reporter.task(f"{self.label}: {name}" if self.label else name, total, done)


class _Watch:
    """Keeps every validation of an attempt on disk before the training's state, so that a resume misses none."""

    def __init__(self, folder: Path, yardstick: Yardstick, recipe: Recipe, tell: Tell | None) -> None:
        measure = measure_of(recipe.decision, recipe.task)
        self.measure = Measure(measure.metric, "pooled", measure.empty, measure.planes)
        self.path, self.recipe, self.tell = folder / JOURNAL, recipe, tell
        self.units = [(name, fold) for name in yardstick.members for fold in yardstick.folds]
        self.rows: dict[tuple[str, int], dict[int, float]] = {unit: {} for unit in self.units}
        self.totals: dict[tuple[str, int], int] = {}
        for row in self._read():
            unit = (row["member"], row["fold"])
            if unit in self.rows:
                self.rows[unit][row["step"]] = _number(row["score"])
                self.totals[unit] = row["steps"]

    def _read(self) -> Iterator[dict[str, Any]]:
        if not self.path.exists():
            return
        text = self.path.read_text(encoding="utf-8")
        if text and not text.endswith("\n"):  # a kill cut the last line off: what it told comes again
            text = text[: text.rfind("\n") + 1]
            write_bytes(self.path, text.encode())
        yield from (json.loads(line) for line in text.splitlines())

    def again(self) -> None:
        """Tell what was validated before this process."""
        for unit in self.units:
            for step in sorted(self.rows[unit]):
                self._tell(unit, step)

    def see(self, member: str, fold: int, step: int, steps: int, counts: Counts) -> None:
        """Take a validation in; it is on disk before the training goes on."""
        import numpy as np

        stacked = np.stack([counts.tp, counts.fp, counts.fn, counts.tn])
        score = self.measure.score(self.measure.lift(stacked))
        unit = (member, fold)
        if unit not in self.rows:
            return
        row = {"member": member, "fold": fold, "step": step, "steps": steps}
        line = json.dumps({**row, "score": score if math.isfinite(score) else None}) + "\n"
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line)
            stream.flush()
            os.fsync(stream.fileno())
        self.rows[unit][step], self.totals[unit] = score, steps
        self._tell(unit, step)

    def _tell(self, unit: tuple[str, int], step: int) -> None:
        place = self.units.index(unit)
        score = self._best(unit, step)
        if self.tell is None or not math.isfinite(score):
            return
        before = [self.final(other) for other in self.units[:place]]
        so_far = [value for value in [*before, score] if math.isfinite(value)]
        self.tell(FULL * place + FULL * step // self.totals[unit], sum(so_far) / len(so_far))

    def _best(self, unit: tuple[str, int], until: int) -> float:
        """Return the score of the weights that prediction would take if the training ended here."""
        seen = {step: score for step, score in self.rows[unit].items() if step <= until}
        if self.recipe.members[unit[0]].predict.weights == "best":
            return max((score for score in seen.values() if math.isfinite(score)), default=math.nan)
        return seen[max(seen)] if seen else math.nan

    def final(self, unit: tuple[str, int]) -> float:
        """Return the score at the end of a training; nan if there is none."""
        return self._best(unit, max(self.rows[unit], default=0))

    def mean(self, fold: int) -> float:
        """Return the mean over members of one fold's final scores."""
        scores = [self.final(unit) for unit in self.units if unit[1] == fold]
        return sum(scores) / len(scores)


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _lend(base: RunFolder, run: RunFolder) -> None:
    """Give a new attempt what the base knows of items and folds; the manifest comes last, so a kill leaves nothing."""
    if run.manifest.exists():
        return
    for path in (base.audit, base.fingerprint, base.files, base.folds, base.ground):
        if path.exists():
            write_bytes(run.root / path.name, path.read_bytes())
    known = read_json(base.manifest)
    write_json(
        run.manifest, {unit: entry for unit, entry in known.items() if unit.split("/")[0] in ("inspect", "split")}
    )
