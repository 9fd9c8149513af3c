"""One recipe opened for work: checked before anything is written, its sources joined, its run folder known."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import InputError, RecipeError, unknown
from maskwright.core.files import inside, read_json, write_text
from maskwright.core.progress import Reporter, Silent
from maskwright.core.recipe.blocks import Recipe, names_bands
from maskwright.core.recipe.load import build, dump_resolved, to_plain
from maskwright.core.recipe.members import Model
from maskwright.core.recipe.outputs import VoteOutput
from maskwright.core.recipe.plain import merge, merge_overrides, read_layers
from maskwright.core.recipe.source_clashes import is_soft
from maskwright.core.recipe.tuning import quick_tuning
from maskwright.core.runs import RunFolder, is_main_process
from maskwright.core.stop import Stop
from maskwright.core.version import __version__
from maskwright.data.audit import audit
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.findings import Finding, faults_of, refuse
from maskwright.data.folds import folds
from maskwright.data.folds.folds import FoldRow, read_folds
from maskwright.data.sources.base import Limited, Source
from maskwright.data.sources.open import join_source
from maskwright.workflows.filecheck import FileCheck

if TYPE_CHECKING:
    from maskwright.models.ledger import Entry
    from maskwright.scoring.counts import Counts
    from maskwright.training.trackers.follow import Tracking

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
    witness: Callable[[str, int, int, int, Counts], None] | None = None
    """Called after each validation with member, fold, steps done, all steps, and counts over held-out windows."""

    @cached_property
    def joined(self) -> dict[str, audit.Joined]:
        """What joins of train and test, with everything that was found on the way."""
        return audit.join_sets(self.recipe.task, self.recipe.data)

    @cached_property
    def train_source(self) -> Source:
        """The labelled items, joined by key."""
        return self._joined("train")

    @cached_property
    def test_source(self) -> Source | None:
        """The items to predict, if the recipe names any."""
        return None if self.recipe.data.test is None else self._joined("test")

    def _joined(self, name: str) -> Source:
        source, findings = self.joined[name]
        refuse(findings)
        assert source is not None, f"{name}: nothing was opened, and nothing was found"
        if name == "train" and not source.labelled:
            raise InputError("the items have no labels", where="data.train", fix="name labels, or give it as data.test")
        return source

    @cached_property
    def audited(self) -> audit.Audit:
        """Everything that is wrong or odd with both sets; every item is decoded when this is first asked for."""
        found = audit.examine(self.recipe.task, self.recipe.data, self.reporter, self.stop, self.joined)
        return audit.with_faults(found, self._fold_faults(found.sets["train"]))

    def _fold_faults(self, train: audit.SetAudit) -> Iterator[Finding]:
        """Try the folds that the recipe asks for, as far as the items allow; nothing if it leaves them to us."""
        recipe, root = self.recipe, Path(self.recipe.data.root)
        source = self.joined["train"][0]
        if "folds" not in recipe.model_fields_set or source is None or train.view is None:
            return
        faulty = [key for finding in faults_of(train.findings) for key in finding.keys]
        found: list[InputError] = []
        try:
            if faults_of(train.findings):
                whole = source.whole.keys if isinstance(source, Limited) else source.keys
                given = recipe.folds.kind == "given"
                found = folds.given_faults(whole, recipe.folds, root, faulty) if given else []
            else:
                folds.assign(train.fingerprint, recipe.folds, recipe.task, source, root)
        except InputError as error:
            found = [error]
        for fault in found:
            yield from (Finding("folds_unfit", *line) for line in fault.lines())

    @cached_property
    def files(self) -> FileCheck:
        """What is known of the data files' content."""
        return FileCheck(self.run.files, Path(self.recipe.data.root))

    @cached_property
    def plain(self) -> dict[str, Any]:
        """The resolved recipe as plain data."""
        return to_plain(self.recipe)

    @cached_property
    def train_files(self) -> str:
        """Digest of the labelled files' keys and content, to notice that the data changed."""
        return self.files.of(self.train_source)

    @cached_property
    def test_files(self) -> str:
        """The same of the items to predict."""
        return "" if self.test_source is None else self.files.of(self.test_source)

    @cached_property
    def ledger(self) -> tuple[Entry, ...]:
        """What is known of the first weights of each member."""
        return weights_ledger(self.recipe, self.recipe_dir, "members")

    @cached_property
    def tracking(self) -> Tracking | None:
        """The recipe's trackers, one object for all folds; without an absolute data.root, which is this machine's."""
        from maskwright.training.trackers import table
        from maskwright.training.trackers.follow import Tracking

        if not self.recipe.trackers:
            return None
        config = {**self.plain, "data": {**self.plain["data"], "root": Path(self.recipe.data.root).name}}
        return Tracking(self.recipe.trackers, self.run.root, self.recipe.name, config, table.make)

    def portable(self, plain: Any) -> Any:
        """Take an absolute data.root out of all texts of plain data, so that no machine's path stays in the run."""
        root = f"{self.recipe.data.root.rstrip('/')}/"
        if not Path(root).is_absolute():
            return plain
        if isinstance(plain, str):
            return plain.replace(root, "")
        if isinstance(plain, Mapping):
            return {key: self.portable(value) for key, value in plain.items()}
        return [self.portable(value) for value in plain] if isinstance(plain, list | tuple) else plain

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

    def fresh(self, unit: str, inputs: dict[str, Any], files: Sequence[Path], label: str) -> bool:
        """Say whether a cheap unit is there, made from the same inputs and with all its files; tell the user."""
        state = self.run.check(unit, inputs)
        if state.done and all(path.exists() for path in files):
            self.reporter.say(f"{label}: nothing to do")
            return True
        if state.changes:
            self.reporter.say(f"{label}: again, since {'; '.join(state.changes[:4])}")
        return False

    @contextmanager
    def replacing(self, unit: str, inputs: dict[str, Any]) -> Iterator[None]:
        """Write a unit's files inside: meanwhile the manifest knows nothing of it, so a kill leaves no half-truth."""
        self.run.forget(unit)
        yield
        self.run.finish(unit, inputs)

    def keep_recipe(self) -> None:
        """Write the resolved recipe that the newest stage was made with."""
        text = dump_resolved(self.recipe, __version__)
        if not self.run.recipe.exists() or self.run.recipe.read_text(encoding="utf-8") != text:
            write_text(self.run.recipe, text)

    @contextmanager
    def working(self) -> Iterator[None]:
        """Hold the run folder's lock (main process only) and listen for signals."""
        if not self.main:
            yield
            return
        with self.stop.listening(), self.run.lock():
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
    layers = read_layers(path)
    data = named_bands(merge_overrides(layers, overrides), path)
    if quick and layers.get("quick"):  # overrides are of what is left after the cut
        data = {**layers, "data": data["data"]}
    checked = build(data, where=str(path))
    if quick:
        checked = make_quick(checked, overrides)
    check_recipe(checked, path)
    if out is None:
        inside_run = path.name == "recipe.yaml" and (path.parent / "manifest.json").exists()
        out = path.parent if inside_run else Path("runs") / checked.name
    run = RunFolder(out)
    if run.recipe.exists() and not run.manifest.exists():
        raise InputError(
            "a recipe.yaml that no run wrote lies here and would be overwritten", where=out, fix="choose another --out"
        )
    return Session(checked, path.parent, run, reporter if is_main_process() else Silent(), Stop(), redo)


def named_bands(data: dict[str, Any], path: Path) -> dict[str, Any]:
    """Ask the first image what its bands are called, where a recipe chooses bands by name and does not say.

    Args:
        data: the recipe as plain data.
        path: of the recipe, for messages.

    Raises:
        RecipeError: the image names no bands.
    """
    block = data.get("data")
    if not isinstance(block, Mapping) or not names_bands(block) or block.get("band_names"):
        return data
    bare = {key: value for key, value in block.items() if key not in ("bands", "derived")}
    recipe = build({**data, "data": bare}, where=str(path))
    source, findings = join_source(recipe.data.train, Path(recipe.data.root), recipe.task)
    if source is None or not source.keys:
        refuse(findings)
    assert source is not None, "a source that could not be opened has a fault"
    names = source.read_header(source.keys[0], recipe.data.max_pixels).names
    if not all(names) or not names:
        raise RecipeError(
            f"bands are chosen by name, but {source.image_path(source.keys[0]).name} does not name its bands",
            where=f"{path}:data.bands",
            fix="list the names of all its bands in data.band_names, or give numbers",
        )
    plain = [re.sub(r"\W", "_", name) for name in names]
    return {**data, "data": {**block, "band_names": plain}}


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given by path or by the name of a packaged one."""
    path = Path(name)
    if path.is_dir() and (path / "recipe.yaml").exists():
        return path / "recipe.yaml"
    packaged = packaged_recipes()
    if name in packaged and not path.is_file():  # a folder of that name is its data, as `synth` writes them
        return packaged[name]
    if path.exists() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        if not path.is_file():
            raise InputError("no such recipe", where=path, fix="check the path, or see maskwright recipes")
        return path
    raise unknown("recipe", name, packaged, "command line")


def packaged_recipes() -> dict[str, Path]:
    """Return name -> file of the recipes that come with maskwright."""
    folder = Path(__file__).parent.parent / "recipes"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def make_quick(recipe: Recipe, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe cut down to few items, folds and steps; the path stays whole.

    Args:
        recipe: its own block `quick` is laid over what was cut.
        overrides: `dotted.key=value` texts that go before the block.
    """
    plain = {**to_plain(recipe), **quick_tuning(recipe.search, recipe.ablate)}
    plain["name"] = f"{recipe.name[:58]}-quick"
    plain["data"]["limit"] = min(recipe.data.limit or 16, 16)
    plain["folds"]["count"] = min(2, plain["folds"]["count"])
    if plain["folds"]["kind"] == "given":  # few items may leave one of its folds empty
        plain["folds"].update(kind="stratified", file=None, group=None, spatial=None)
    for output in plain["output"]:
        for table in (one for one in (output, output.get("of")) if isinstance(one, dict)):
            table.pop("sample", None)  # it names all test items, and only some are predicted
    for member in plain["members"].values():
        train = member["train"]
        train.update(epochs=min(train["epochs"], 2), steps_per_epoch=3, batch_size=2, accumulate=1, workers=0)
        if train["snapshots"]:  # a cycle must end within the few epochs
            member["schedule"].update(every=1.0, warmup=0.0)
        if train["crop"] != "whole":
            sides = [train["crop"]] * 2 if isinstance(train["crop"], int) else train["crop"]
            train["crop"] = [min(side, 128) for side in sides]
    if recipe.quick:
        plain = merge_overrides(merge(plain, recipe.quick), overrides)
        plain["members"] = {name: member for name, member in plain["members"].items() if member is not None}
    return build(plain, where="--quick")


def check_recipe(recipe: Recipe, path: Path) -> None:
    """Refuse names, files and first weights that will not do, before any work."""
    check_names(recipe, path)
    _check_files(recipe, path)
    _check_weights(recipe, path)


def check_names(recipe: Recipe, path: Path) -> None:
    """Refuse every name and parameter that a room's table does not know, before any work."""
    from maskwright.data import places
    from maskwright.data.augment import base, table
    from maskwright.models import build as models
    from maskwright.training import optim, schedule, watch
    from maskwright.training.losses import table as losses

    soft = is_soft(recipe.data.train)
    for name, member in recipe.members.items():
        where = f"{path}:members.{name}"
        models.check(member.model, f"{where}.model")
        losses.check_member(member, recipe.task, where, held_out=recipe.folds.kind != "all")
        optim.check(member.optimizer, f"{where}.optimizer")
        schedule.check(member.schedule, f"{where}.schedule")
        if member.train.early_stop is not None:
            watch.check(member.train.early_stop.by, f"{where}.train.early_stop.by")
        watch.check(member.train.keep_best.by or watch.VALID_LOSS, f"{where}.train.keep_best.by")
        places.check(member.sampling, recipe.task, f"{where}.sampling")
        bands = len(recipe.data.bands) if recipe.data.bands else None
        table.check(member.augment, f"{where}.augment", base.Setting(recipe.task, bands, soft=soft))


def weights_ledger(recipe: Recipe, recipe_dir: Path, where: str) -> tuple[Entry, ...]:
    """Return what is known of the first weights of each member; `where` stands before its name in messages."""
    from maskwright.models.ledger import entry_of

    def origin(model: Model) -> Model:
        return model if model.other is None else origin(recipe.members[model.other].model)

    return tuple(
        entry_of(name, origin(member.model), recipe_dir, f"{where}.{name}.model.weights")
        for name, member in recipe.members.items()
    )


def _check_weights(recipe: Recipe, path: Path) -> None:
    """Refuse first weights that the recipe's rules do not allow."""
    from maskwright.models.ledger import keep_rule

    if recipe.rules.weights != "any":
        for entry in weights_ledger(recipe, path.parent, f"{path}:members"):
            keep_rule(entry, recipe.rules.weights, f"{path}:members.{entry.member}.model.weights")


def _check_files(recipe: Recipe, path: Path) -> None:
    """Refuse files that the recipe names and that are only read late, before anything is trained."""
    for name, member in recipe.members.items():
        weights = member.model.local_file
        if weights is None:
            continue
        if not (path.parent / weights).is_file():
            raise RecipeError(
                f"no such file: {weights}", where=f"{path}:members.{name}.model.weights", fix="check the path"
            )
        from maskwright.models.tensors import read_metadata

        read_metadata(path.parent / weights)  # a pickle, or a file that was cut off, is refused before any work
    for index, output in enumerate(recipe.output):
        table = output.of if isinstance(output, VoteOutput) else output
        if (sample := getattr(table, "sample", None)) is None:
            continue
        where = f"{path}:output.{index}.{'of.' * (table is not output)}sample"
        if not (file := inside(Path(recipe.data.root), sample, where)).is_file():
            raise RecipeError(f"no such file: {file}", where=where, fix="check the path and data.root")
