"""The verb ablate: every change trained beside the unchanged recipe, fold by fold and seed by seed, and judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import InputError, MemoryLimitError, RecipeError
from maskwright.core.files import read_json, write_json
from maskwright.core.progress import Reporter
from maskwright.core.recipe.load import differing
from maskwright.core.recipe.tuning import Ablate
from maskwright.core.runs import RunFolder, refuse_together
from maskwright.core.stop import Stop
from maskwright.ensembling.decide import measure_of
from maskwright.scoring.paired import compare_paired, holm
from maskwright.workflows.session import find_recipe, open_session
from maskwright.workflows.tuning.arms import Arm, arms_of
from maskwright.workflows.tuning.attempt import Bench, Measured, Yardstick
from maskwright.workflows.tuning.pages import write_ablation_page, yardstick_in_words
from maskwright.workflows.tuning.space import Base, measured_part

AS_IT_IS = "as it is"


@dataclass(frozen=True)
class Wish:
    """What the command line asks for beside the recipe."""

    vary: tuple[str, ...] = ()
    """Instead of ablate.vary."""
    seeds: int | None = None
    """Instead of ablate.seeds."""
    out: Path | None = None
    """Folder; None: runs/<name>-ablation."""
    quick: bool = False


@dataclass(frozen=True)
class Verdict:
    """One arm, judged."""

    arm: Arm
    scores: tuple[tuple[float, ...], ...]
    """Of the changed recipe, by fold and seed; none: it failed."""
    unchanged: tuple[tuple[float, ...], ...]
    reason: str = ""
    """Why it failed."""
    gain: float = float("nan")
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    adjusted: float = float("nan")
    """p by Holm's rule."""
    believed: bool = False

    def in_words(self) -> str:
        """Say what was found on one line."""
        if self.reason:
            return f"{self.arm.name}: failed: {self.reason}"
        sure = "cannot be told from chance"
        if self.believed:
            sure = "better" if self.gain > 0 else "worse"
        between = f"{self.low:+.4f} to {self.high:+.4f}"
        return f"{self.arm.name}: {self.gain:+.4f}  ({between}), p {self.p:.3f}, Holm {self.adjusted:.3f}: {sure}"

    def to_plain(self) -> dict[str, Any]:
        """Return plain data."""
        plain = {"arm": self.arm.name, "values": dict(self.arm.values), "scores": [list(row) for row in self.scores]}
        if self.reason:
            return {**plain, "reason": self.reason}
        numbers = {"gain": self.gain, "low": self.low, "high": self.high, "p": self.p, "holm": self.adjusted}
        told = {key: value if np.isfinite(value) else None for key, value in numbers.items()}
        return {**plain, "unchanged": [list(row) for row in self.unchanged], **told, "believed": self.believed}


def run_ablate(recipe: str, overrides: Sequence[str], wish: Wish, reporter: Reporter, stop: Stop | None = None) -> Path:
    """Train every arm and the unchanged recipe on the same folds with the same seeds, and judge the differences.

    Args:
        recipe: YAML file or packaged recipe.
        overrides: `dotted.key=value` texts.
        wish: see Wish.
        reporter: gets a line for each training and the table.
        stop: SIGINT and SIGTERM end it saved; the same command goes on.

    Returns:
        The folder, with ablation.json and ablation.html.

    Raises:
        RecipeError: an arm makes no recipe, or there is none; nothing was begun.
        InputError: the unchanged recipe does not train, or the folder holds another ablation.
        LockedError, Interrupted, StorageError: what is finished is kept.
    """
    refuse_together("an arm is trained")
    session = open_session(recipe, overrides, reporter, out=wish.out, quick=wish.quick)
    path = find_recipe(recipe)
    block = session.recipe.ablate or Ablate()
    block = block if wish.seeds is None else block.model_copy(update={"seeds": wish.seeds})
    base = Base(session.recipe, path)
    arms = arms_of(base, block, wish.vary, reporter)
    root = wish.out or Path("runs") / f"{session.recipe.name}-ablation"
    work = _Work(base, block, root, reporter, stop or session.stop)
    work.check(arms)
    with work.stop.listening(), RunFolder(root).lock():
        work.begin(arms)
        work.train(arms)
        verdicts = work.judge(arms)
        work.write(verdicts)
    return root


class _Work:
    """An ablation while this process works on it."""

    def __init__(self, base: Base, block: Ablate, root: Path, reporter: Reporter, stop: Stop) -> None:
        self.base, self.block, self.root, self.reporter, self.stop = base, block, root, reporter, stop
        self.metric = measure_of(base.recipe.decision, base.recipe.task).metric
        self.folds = tuple(range(block.folds or base.recipe.folds.count))
        self.seeds = tuple(base.recipe.seed + one for one in range(block.seeds))
        self.benches: dict[tuple[str, ...], Bench] = {}
        self.scores: dict[tuple[str, int], Measured] = {}
        """Folder of an arm, seed -> what it scored."""
        self.reasons: dict[str, str] = {}

    def check(self, arms: Sequence[Arm]) -> None:
        """Refuse what cannot be judged."""
        where = f"{self.base.path}:ablate"
        if len(self.folds) < 2:
            what = "one fold cannot tell a difference from chance"
            raise RecipeError(what, where=where, fix="use folds.count: 3 or more")
        for arm in arms:
            members = self.base.touched(tuple(arm.values))
            yardstick = Yardstick(self.block.objective, members, self.folds, self.block.epochs)
            yardstick.check(self.base.recipe, where)
            if members not in self.benches:
                self.benches[members] = Bench(
                    self.root, self.base.recipe, self.base.path, yardstick, self.reporter, self.stop
                )

    def _bench(self, arm: Arm) -> Bench:
        return self.benches[self.base.touched(tuple(arm.values))]

    def _unchanged(self, arm: Arm) -> Arm:
        """Return the arm that changes nothing, among the members that this one touches."""
        members = self.base.touched(tuple(arm.values))
        name = AS_IT_IS if len(self.benches) == 1 else f"{AS_IT_IS} ({', '.join(members)})"
        return Arm(name, {}, "")

    def begin(self, arms: Sequence[Arm]) -> None:
        """Look at the data once, and refuse a folder that holds an ablation of something else."""
        for bench in self.benches.values():
            bench.prepare()
        items = next(iter(self.benches.values())).items
        plain = measured_part(self.base.recipe)
        about = {"recipe": plain, "objective": self.block.objective, "epochs": self.block.epochs, "items": items}
        file = self.root / "about.json"
        if file.exists() and (old := read_json(file)) != about:
            raise InputError(
                f"holds an ablation of another recipe: {'; '.join(differing(old, about)[:4])}",
                where=self.root,
                fix="choose another --out",
            )
        write_json(file, about)
        counts = f"{len(self.folds)} folds x {len(self.seeds)} seeds"
        self.reporter.say(f"ablate: {len(arms)} arms beside the recipe as it is, {counts}, in {self.root}")

    def train(self, arms: Sequence[Arm]) -> None:
        """Train everything, all arms with one seed before the next."""
        for seed in self.seeds:
            for arm in arms:
                unchanged = self._unchanged(arm)
                if (unchanged.name, seed) not in self.scores:
                    self._train(unchanged, self._bench(arm), seed, must=True)
                if arm.name not in self.reasons:
                    self._train(arm, self._bench(arm), seed)

    def _train(self, arm: Arm, bench: Bench, seed: int, *, must: bool = False) -> None:
        folder = self.root / "arms" / arm.folder / f"seed{seed}"
        label = f"{arm.name}, seed {seed}"
        made = self.base.with_values({**arm.values, "seed": seed})
        try:
            found = bench.measure(made, folder, label)
        except (InputError, MemoryLimitError) as error:
            if must:
                raise
            self.reasons[arm.name] = error.what
            self.reporter.say(f"{label}: failed: {error.what}")
            return
        bench.clear(folder)
        self.scores[arm.name, seed] = found
        self.reporter.say(f"{label}: {self.metric} {found.value:.4f}")

    def judge(self, arms: Sequence[Arm]) -> list[Verdict]:
        """Compare every arm with the unchanged recipe."""
        ratio = 1 / (self.base.recipe.folds.count - 1)
        verdicts = []
        for arm in arms:
            if arm.name in self.reasons:
                verdicts.append(Verdict(arm, (), (), self.reasons[arm.name]))
                continue
            changed, unchanged = self._table(arm.name), self._table(self._unchanged(arm).name)
            found = compare_paired(changed - unchanged, ratio, self.block.confidence)
            verdicts.append(
                Verdict(
                    arm,
                    _rows(changed),
                    _rows(unchanged),
                    gain=float(found.mean),
                    low=float(found.low),
                    high=float(found.high),
                    p=float(found.p),
                )
            )
        adjusted = holm([one.p for one in verdicts])
        level = 1 - self.block.confidence
        return [
            Verdict(**{**vars(one), "adjusted": float(p), "believed": bool(p <= level)})
            for one, p in zip(verdicts, adjusted, strict=True)
        ]

    def _table(self, name: str) -> Any:
        """Return scores by fold and seed, float64 (folds, seeds)."""
        return np.array([[self.scores[name, seed].folds[fold] for seed in self.seeds] for fold in self.folds])

    def write(self, verdicts: Sequence[Verdict]) -> None:
        """Write ablation.json and say the table."""
        for members, bench in self.benches.items():
            arm = next(one.arm for one in verdicts if self.base.touched(tuple(one.arm.values)) == members)
            scores = self._table(self._unchanged(arm).name)
            self.reporter.say(f"{self._unchanged(arm).name}: {self.metric} {scores.mean():.4f}, mean of {scores.size}")
            assert bench.yardstick.members == members
        plain = {
            "recipe": self.base.recipe.name,
            "metric": self.metric,
            "objective": self.block.objective,
            "epochs": self.block.epochs,
            "folds": list(self.folds),
            "folds_in_all": self.base.recipe.folds.count,
            "seeds": list(self.seeds),
            "confidence": self.block.confidence,
            "arms": [one.to_plain() for one in verdicts],
        }
        write_json(self.root / "ablation.json", plain)
        if not any(bench.made for bench in self.benches.values()):
            self.reporter.say("ablate: nothing to do")
        how = yardstick_in_words(next(iter(self.benches.values())).yardstick)
        write_ablation_page(self.base, self.block, plain, how, self.root / "ablation.html")
        for one in sorted(verdicts, key=lambda one: (bool(one.reason), -abs(np.nan_to_num(one.gain)))):
            self.reporter.say(one.in_words())
        self.reporter.say(f"all of it: {self.root / 'ablation.html'}")
        if len(self.folds) == 2:
            self.reporter.say("note: two folds leave one degree of freedom: hardly any difference can be believed")


def _rows(table: Any) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(value) for value in row) for row in table)
