"""What answers where scenes are predicted: the trained folds of some members, blended as was decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, unknown
from maskwright.core.grid import Shape
from maskwright.core.labels import Task, TaskKind
from maskwright.core.recipe.crf import Crf
from maskwright.core.recipe.members import Member
from maskwright.core.recipe.predicting import Predict
from maskwright.data.audit.digests import of_file
from maskwright.data.preprocess import Preprocess
from maskwright.ensembling.blend import Decision, answer, read_decision
from maskwright.ensembling.choose import UNIT, warm
from maskwright.ensembling.clean import Cleaning
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.inference.forward import Forward
    from maskwright.inference.scene import Layout, Scenery

Floats = NDArray[np.float32]
WINDOW = 512
OVERLAP = 0.25
"""Where neither the command nor the recipe says: windows of 512 pixels, of which neighbours share 128."""


@dataclass(frozen=True)
class Wishes:
    """What the command line says of how to predict; None: what the recipe says."""

    members: tuple[str, ...] | None = None
    tta: tuple[str, ...] | None = None
    """Symmetries for all members; empty: none."""
    window: int | None = None
    """Side of a window in pixels."""
    overlap: int | None = None
    """Pixels that neighbouring windows share."""


@dataclass
class Blend:
    """Members that answer with one probability: the weighted mean of what the folds of each say."""

    parts: list[tuple[Forward, int, int, int]]
    """Models, whole share, temperature step, and which preparation they take."""
    kind: TaskKind
    wanted: int
    """Windows in one forward pass, at most."""

    def batch_size(self, shape: Shape) -> int:
        """Return how many windows go through at once."""
        return min(forward.batch_size(shape, self.wanted) for forward, *_ in self.parts)

    def __call__(self, images: Sequence[Floats], names: Sequence[str]) -> Floats:
        """Return float32 (B, K, h, w); temperatures act on each member's answer before it is weighted."""
        total: Floats | None = None
        for forward, share, step, way in self.parts:
            found = forward(images[way], names)
            if step:
                units = np.rint(found * np.float32(UNIT)).astype(np.uint16)
                warmed = np.stack([warm(one, step, self.kind) for one in units])
                found = warmed.astype(np.float32) / np.float32(UNIT)
            if len(self.parts) == 1:
                return found
            found *= np.float32(share)
            total = found if total is None else total + found
        assert total is not None
        result: Floats = total / np.float32(sum(share for _, share, _, _ in self.parts))
        return result


@dataclass(frozen=True)
class Part:
    """The trained folds of one member, as files."""

    name: str
    files: tuple[Path, ...]
    digests: tuple[str, ...]
    """Of the files."""
    share: int
    step: int
    """Of its temperature."""
    way: int
    """Which preparation it takes."""
    tta: tuple[str, ...]
    views: tuple[Any, ...]
    """Scales, sizes and votes, see Views."""
    channels_last: bool


@dataclass(frozen=True)
class Lineup:
    """Everything that answers, and what it is; without networks, so that it can be sent to other processes."""

    task: Task
    parts: tuple[Part, ...]
    preprocesses: tuple[Preprocess, ...]
    predict: Predict
    """Window, overlap and seam for all; tta is each member's own. Of batch_size, the most that a member wants."""
    decision: Decision | None
    """Without cleaning and random field; None: nothing was decided."""
    crf: Crf | None
    """The random field, which smooths a raster's labels once all of them are there."""
    notes: tuple[str, ...]
    """What a user should know of how this differs from the run's own answers."""
    facts: dict[str, Any]
    """What the answers depend on, JSON-able."""

    @property
    def layout(self) -> Layout:
        """How rasters are cut up, and what is answered."""
        from maskwright.inference.scene import Layout

        assert self.predict.window_shape is not None, self.predict
        label_planes = self.task.planes if self.task.kind == "multilabel" else 1
        return Layout(
            self.task.planes, self.predict.window_shape, self.predict.overlap, self.predict.seam, label_planes
        )

    def scenery(self, *, check: bool = False) -> Scenery:
        """Load the networks.

        Args:
            check: whether weights are compared with their digests first, on another machine.

        Raises:
            InputError: weights are absent, damaged or others than they were.
        """
        from maskwright.inference.forward import Forward, Machine
        from maskwright.inference.scene import Scenery
        from maskwright.inference.views import Views
        from maskwright.models.weights import load_model

        blended = []
        for part in self.parts:
            for path, digest in zip(part.files, part.digests, strict=True):
                if check and of_file(path) != digest:
                    fix = "keep the run where all machines see it"
                    raise InputError("holds other weights on another machine", where=path, fix=fix)
            models = [load_model(path)[0] for path in part.files]
            machine = Machine(channels_last=part.channels_last)
            forward = Forward(models, self.task, part.tta, machine, Views(*part.views))
            blended.append((forward, part.share, part.step, part.way))
        model = Blend(blended, self.task.kind, self.predict.batch_size)
        return Scenery(**vars(self.layout), model=model, preprocesses=self.preprocesses, label=self.label)

    def portable(self) -> Lineup:
        """Return the same with absolute paths, for a process that works in another folder."""
        parts = [replace(part, files=tuple(path.resolve() for path in part.files)) for part in self.parts]
        return replace(self, parts=tuple(parts))

    def label(self, probability: Floats) -> NDArray[np.uint8]:
        """Return class ids (h, w), or planes (K, h, w) for multilabel, of a blended probability (K, h, w)."""
        if self.decision is not None:
            return answer(probability, self.decision, self.task)
        if self.task.kind == "multiclass":
            likeliest: NDArray[np.uint8] = probability.argmax(0).astype(np.uint8)
            return likeliest
        planes = (probability >= np.float32(0.5)).astype(np.uint8)
        return planes if self.task.kind == "multilabel" else planes[0]


def gather(session: Session, wishes: Wishes, device: str) -> Lineup:
    """Find the trained folds of the members that are wanted.

    Args:
        session: an opened recipe, whose data set need not be there.
        wishes: what the command line says.
        device: kind of torch device that they will run on, which says how many windows go through at once.

    Raises:
        InputError: a member is unknown or not trained, an option does not fit, or weights are damaged.
    """
    from maskwright.inference.forward import windows_at_once

    decision = read_decision(session.run.decision) if session.run.decision.exists() else None
    shares = _shares(session, wishes, decision)
    predict = _common(session, wishes, tuple(shares))
    parts, ways = _parts(session, wishes, shares, decision)
    notes = list(_notes(session, wishes, decision, ways, predict))
    crf = None if decision is None else decision.crf
    if decision is not None:
        steps = {name: step for name, step in decision.temperature_steps.items() if name in shares}
        changed = {"shares": shares, "cleaning": Cleaning(), "crf": None, "temperature_steps": steps}
        decision = decision.model_copy(update=changed)
    facts = {
        "members": {
            part.name: {
                "share": part.share,
                "temperature_step": part.step,
                "tta": list(part.tta),
                **({"views": list(part.views)} if any(part.views) else {}),
                "weights": list(part.digests),
            }
            for part in parts
        },
        "window": list(predict.window_shape or ()),
        "overlap": predict.overlap,
        "seam": predict.seam,
        "batch_size": windows_at_once(device, predict.window_shape or (WINDOW, WINDOW), predict.batch_size),
        "thresholds": None if decision is None else list(decision.thresholds),
        "class_weights": None if decision is None else list(decision.factors),
        "priority": None if decision is None else list(decision.priority),
        "task": session.plain["task"],
        "preprocess": [way.to_plain() for way in ways],
        **({} if crf is None else {"crf": crf.model_dump(mode="json")}),
    }
    return Lineup(session.recipe.task, parts, ways, predict, decision, crf, tuple(notes), facts)


def _shares(session: Session, wishes: Wishes, decision: Decision | None) -> dict[str, int]:
    """Return member -> whole share of the members that answer."""
    names = session.chosen_members()
    for name in wishes.members or ():
        if name not in names:
            raise unknown("member", name, names, "--members")
    chosen = wishes.members or names
    decided = {} if decision is None else {name: decision.shares.get(name, 0) for name in chosen}
    shares = {name: share for name, share in decided.items() if share}
    return shares or dict.fromkeys(chosen, 1)


def _common(session: Session, wishes: Wishes, names: Sequence[str]) -> Predict:
    """Return window, overlap and seam, which all members share."""
    blocks = [session.recipe.members[name].predict for name in names]
    windowed = [block for block in blocks if block.window_shape is not None]
    window: int | tuple[int, int] = wishes.window or WINDOW
    if wishes.window is None and windowed:
        shapes = [block.window_shape or (0, 0) for block in windowed]
        window = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    sides = (window, window) if isinstance(window, int) else window
    overlap = max(block.overlap for block in windowed) if windowed and wishes.window is None else OVERLAP
    if wishes.overlap is not None:
        overlap = wishes.overlap / min(sides)
        if overlap >= 0.95:
            what = f"{wishes.overlap} pixels of windows of {min(sides)}"
            raise InputError(what, where="--overlap", fix="share less than 95 % of a window")
    seam = blocks[0].seam
    size = max(block.batch_size for block in blocks)
    return Predict(window=window, overlap=overlap, seam=seam, batch_size=size)


def _parts(
    session: Session, wishes: Wishes, shares: dict[str, int], decision: Decision | None
) -> tuple[tuple[Part, ...], tuple[Preprocess, ...]]:
    from maskwright.models.tensors import read_facts

    task, parts = session.recipe.task, []
    ways: list[Preprocess] = []
    for name, share in shares.items():
        member = session.recipe.members[name]
        files = tuple(_weights(session, name, member))
        facts = [read_facts(path) for path in files]
        for path, known in zip(files, facts, strict=True):
            if not {"planes", "preprocess"} <= known.keys():
                raise InputError("holds no model", where=path, fix="give weights that maskwright trained")
            if int(known["planes"]) != task.planes:
                what = f"has {known['planes']} planes, the recipe's task {task.planes}"
                raise InputError(what, where=path, fix="give the recipe that it was trained with")
        way = Preprocess.from_plain(facts[0]["preprocess"])
        if way not in ways:
            ways.append(way)
        tta = member.predict.tta if wishes.tta is None else wishes.tta
        step = 0 if decision is None else decision.temperature_steps.get(name, 0)
        digests = tuple(of_file(path) for path in files)
        views = member.predict.scales, member.predict.size_shapes, member.predict.votes, member.predict.model_votes
        last = member.train.channels_last
        parts.append(Part(name, files, digests, share, step, ways.index(way), tta, views, last))
    return tuple(parts), tuple(ways)


def _weights(session: Session, name: str, member: Member) -> list[Path]:
    """Return the weights of all folds of a member; refuse what is not trained to its end."""
    count = session.recipe.folds.count
    missing = [fold for fold in range(count) if not session.run.finished(f"train/{name}/fold{fold}")]
    if missing:
        what = f"{name} is not trained yet for folds {missing}"
        raise InputError(what, where=session.run.root, fix="run maskwright train first")
    return [session.run.fold(name, fold) / f"{member.predict.weights}.safetensors" for fold in range(count)]


def _notes(
    session: Session, wishes: Wishes, decision: Decision | None, ways: Sequence[Preprocess], predict: Predict
) -> list[str]:
    notes = []
    if decision is None:
        rule = "the likeliest class" if session.recipe.task.kind == "multiclass" else "a threshold of 0.5"
        notes.append(f"nothing is decided in this run: members count alike, and {rule} is taken")
    elif wishes.members and set(wishes.members) != set(decision.needed):
        notes.append("thresholds were chosen for the blend of all members, and are used for these as they are")
    if decision is not None and not decision.cleaning.nothing:
        words = decision.cleaning.in_words(session.recipe.task.plane_names)
        notes.append(f"cleaning is not applied to scenes, since pieces may reach across windows: {words}")
    if any(way.stretch is not None and way.stretch.over == "item" for way in ways):
        notes.append("values are stretched between levels of each window, as chips were")
    if any(way.derived for way in ways):
        notes.append("derived means are those of each window, as those of chips were")
    if len({session.recipe.members[name].predict.seam for name in session.recipe.members}) > 1:
        notes.append(f"all members share the seam {predict.seam}")
    return notes
