"""One recipe opened for work: checked before anything is written, its sources joined, its run folder known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, RecipeError, unknown
from maskwright.core.files import read_json
from maskwright.core.progress import Reporter
from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import build, digest, merge_overrides, read_layers, to_plain
from maskwright.core.runs import RunFolder, is_main_process
from maskwright.core.stop import Stop
from maskwright.data.fingerprint import Fingerprint
from maskwright.data.folds import FoldRow, read_folds
from maskwright.data.sources.base import Source
from maskwright.data.sources.open import limit_keys, limited, open_source

STAGES = ("inspect", "split", "train", "predict", "decide", "export", "report")


@dataclass
class Session:
    """A recipe, its data and its run folder while a command works on them."""

    recipe: Recipe
    recipe_dir: Path
    run: RunFolder
    reporter: Reporter
    stop: Stop
    redo: bool = False
    """Throw away finished training whose settings changed, instead of refusing."""
    main: bool = field(default_factory=is_main_process)

    @cached_property
    def train_source(self) -> Source:
        """The labelled items, joined by key."""
        return self._open(self.recipe.data.train)

    @cached_property
    def test_source(self) -> Source | None:
        """The items to predict, if the recipe names any."""
        return None if self.recipe.data.test is None else self._open(self.recipe.data.test)

    def _open(self, block: Any) -> Source:
        source = open_source(block, Path(self.recipe.data.root), self.recipe.task)
        if self.recipe.data.limit is not None:
            source = limited(source, limit_keys(source.keys, self.recipe.data.limit))
        return source

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The resolved recipe as plain data."""
        return to_plain(self.recipe)

    @cached_property
    def train_files(self) -> str:
        """Digest of the labelled files' names and sizes, to notice that the data changed."""
        return _listing(self.train_source)

    @cached_property
    def test_files(self) -> str:
        """The same of the items to predict."""
        return "" if self.test_source is None else _listing(self.test_source)

    def fingerprint(self) -> Fingerprint:
        """Read what inspect wrote."""
        return Fingerprint.from_plain(read_json(self.run.fingerprint))

    def fold_rows(self) -> tuple[FoldRow, ...]:
        """Read what split wrote."""
        return read_folds(self.run.folds)

    def chosen_members(self, member: str | None = None) -> tuple[str, ...]:
        """Return the members to work on; refuse an unknown one and a recipe without members."""
        names = tuple(self.recipe.members)
        if not names:
            raise RecipeError("the recipe has no members", where="members", fix="describe at least one model")
        if member is None:
            return names
        if member not in names:
            raise unknown("member", member, names, "--member")
        return (member,)

    def once(self, unit: str, inputs: dict[str, Any], make: Callable[[], None], label: str) -> bool:
        """Make a cheap unit unless it is there already, made from the same inputs; say which.

        Returns:
            True if it was made now.
        """
        state = self.run.check(unit, inputs)
        if state.done:
            self.reporter.say(f"{label}: nothing to do")
            return False
        if state.changes:
            self.reporter.say(f"{label}: again, since {'; '.join(state.changes[:4])}")
        make()
        if self.main:
            self.run.finish(unit, inputs)
        return True

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the run folder's lock (main process only) and listen for signals."""
        with self.stop.listening():
            if self.main:
                with self.run.lock():
                    yield
            else:
                yield


def open_session(
    recipe: str,
    overrides: Sequence[str],
    reporter: Reporter,
    *,
    out: Path | None = None,
    quick: bool = False,
    redo: bool = False,
) -> Session:
    """Read and check a recipe and find its run folder; writes nothing.

    Args:
        recipe: path of a YAML file, or the name of a packaged recipe.
        overrides: `dotted.key=value` texts.
        reporter: where messages go.
        out: run folder; None: the folder the recipe lies in if that is a run, else runs/<name>.
        quick: few items, few steps, the whole path.
        redo: see Session.

    Raises:
        RecipeError: anything in the recipe is wrong, down to names of losses and encoders.
    """
    path = find_recipe(recipe)
    data = merge_overrides(read_layers(path), overrides)
    checked = build(data, where=str(path))
    if quick:
        checked = make_quick(checked)
    check_names(checked, path)
    if out is None:
        inside_run = path.name == "recipe.yaml" and (path.parent / "manifest.json").exists()
        out = path.parent if inside_run else Path("runs") / checked.name
    return Session(checked, path.parent, RunFolder(out), reporter, Stop(), redo)


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given by path or by the name of a packaged one."""
    path = Path(name)
    if path.is_dir() and (path / "recipe.yaml").exists():
        return path / "recipe.yaml"
    if path.exists() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise InputError("no such recipe", where=path, fix="check the path, or see maskwright recipes")
        return path
    packaged = packaged_recipes()
    if name not in packaged:
        raise unknown("recipe", name, packaged, "command line")
    return packaged[name]


def packaged_recipes() -> dict[str, Path]:
    """Return name -> file of the recipes that come with maskwright."""
    folder = Path(__file__).parent.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def make_quick(recipe: Recipe) -> Recipe:
    """Return the recipe cut down to few items, folds and steps; the path stays whole."""
    plain = to_plain(recipe)
    plain["name"] = f"{recipe.name[:58]}-quick"
    plain["data"]["limit"] = min(recipe.data.limit or 16, 16)
    plain["folds"]["count"] = 2
    for member in plain["members"].values():
        train = member["train"]
        train.update(epochs=min(train["epochs"], 2), steps_per_epoch=3, batch_size=2, accumulate=1, workers=0)
        if train["crop"] != "whole":
            sides = [train["crop"]] * 2 if isinstance(train["crop"], int) else train["crop"]
            train["crop"] = [min(side, 128) for side in sides]
    return build(plain, where="--quick")


def check_names(recipe: Recipe, path: Path) -> None:
    """Refuse every name and parameter that a room's table does not know, before any work."""
    from maskwright.data import augment
    from maskwright.models import build as models
    from maskwright.training import optim, schedule
    from maskwright.training.losses import table as losses

    for name, member in recipe.members.items():
        where = f"{path}:members.{name}"
        models.check(member.model, f"{where}.model")
        losses.check(member.loss, recipe.task, f"{where}.loss")
        optim.check(member.optimizer, f"{where}.optimizer")
        schedule.check(member.schedule, f"{where}.schedule")
        augment.check(member.augment, f"{where}.augment")


def _listing(source: Source) -> str:
    rows: list[list[Any]] = []
    for key in source.keys:
        image, label = source.image_path(key), source.label_path(key)
        rows.append([key, image.name, image.stat().st_size, 0 if label is None else label.stat().st_size])
    return digest(rows)
