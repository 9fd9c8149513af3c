"""The verb suspects: which labels disagree with models that never saw them, as table, pictures and COCO or CVAT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwright.core.errors import InputError, unknown
from maskwright.core.recipe.load import recipe_hash
from maskwright.core.recipe.outputs import ReportOutput
from maskwright.core.spent import spending
from maskwright.core.version import __version__
from maskwright.data.folds.folds import proving_rows
from maskwright.data.labels.shapes import write_counts
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.ensembling.doubts import Region
from maskwright.ensembling.oof import OutOfFold, StoredItems, held_out
from maskwright.ensembling.suspects import (
    LOUD,
    ItemSuspect,
    RegionSuspect,
    Suspects,
    find_suspects,
    read_suspects,
    write_suspects,
)
from maskwright.output.views import coco, cvat
from maskwright.output.views.item import Doubted, ViewItem
from maskwright.workflows import deliver, run
from maskwright.workflows.deliver import Target
from maskwright.workflows.session import STAGES, Session
from maskwright.workflows.view import View, begin, refuse_other, view_item


def suspects(session: Session, top: int = 15, to: str | None = None, folder: Path | None = None) -> None:
    """Rank labels, after whatever stages are missing, and show the most suspicious.

    Args:
        session: an opened recipe.
        top: rows of each table, and items of a view.
        to: coco or cvat: write the suspicious items as a data set for that tool too; None: no.
        folder: of the view; None: view-suspects-<to> in the run folder.

    Raises:
        InputError: no labelled item was held out, an unknown tool, or what the stages raise.
    """
    if to is not None and to not in VIEWS:
        raise unknown("view", to, VIEWS, "--to")
    if top < 1:
        raise InputError(f"{top} rows", where="--top", fix="give 1 or more")
    if folder is not None:
        if to is None:
            raise InputError("nothing says what to write there", where=f"--view {folder}", fix="add --to coco or cvat")
        refuse_other(folder, "--view")
    run.run_stages(session, STAGES[: STAGES.index("decide") + 1])
    if not session.main:
        return
    inputs, files = deliver.suspects_inputs(session), [session.run.suspects]
    with session.working():
        if not session.fresh("suspects", inputs, files, "suspects"):
            with spending(session.run.timing, "suspects"):
                found = _find(session)
                with session.replacing("suspects", inputs):
                    write_suspects(session.run.root, found)
    found = read_suspects(session.run.suspects)
    _tell(session, found, top)
    if to is not None:
        session.reporter.say(f"view: {_view(session, found, to, folder, top)}")
    _report(session)


def _find(session: Session) -> Suspects:
    decision, task = read_decision(session.run.decision), session.recipe.task
    sets = list(labelled_sets(session))
    if not sets:
        raise InputError(
            "every labelled item was trained on, so no model can doubt a label",
            where=session.run.root,
            fix="choose other folds than kind: all, or give the labels in question as data.test",
        )
    return find_suspects(sets, decision, task, _text, session.reporter, session.stop)


def _text(region: Region, size: tuple[int, int]) -> str:
    """Write a region as COCO does: down the columns of its item."""
    row, col, _, _ = region.box
    rows, cols = np.nonzero(region.mask)
    places = np.sort((cols.astype(np.int64) + col) * size[0] + rows + row)
    return write_counts(coco.run_lengths(places, size[0] * size[1]))


def labelled_sets(session: Session) -> Iterator[StoredItems]:
    """Yield the labelled items that no model saw: those of the folds, the hold-out, a labelled test set."""
    recipe, task = session.recipe, session.recipe.task
    if recipe.folds.kind != "all":
        rows, truth = session.fold_rows(), deliver.truth_of(session, session.train_source)
        stores, single = deliver.stores_of(session, "oof"), recipe.folds.count == 1
        yield OutOfFold(stores, proving_rows(rows, recipe.folds), truth, task, recipe_hash(recipe), single)
    for split, source, keys in deliver.held_out_sets(session):
        stores, truth = deliver.stores_of(session, split), deliver.truth_of(session, source)
        yield held_out(keys, stores, truth, split, task)


def _tell(session: Session, found: Suspects, top: int) -> None:
    """Print the most suspicious items and regions."""
    say = session.reporter.say
    say(f"items, by how much of the label models are sure is wrong ({len(found.items)} ranked):")
    say(f"  {'score':>5}  {'regions':>7}  {'worst':>5}  {'shift':>9}  item")
    for item in found.items[:top]:
        shift = "" if item.shift is None else f"{item.shift[0]:+d},{item.shift[1]:+d}"
        say(f"  {item.score:5.3f}  {item.regions:7d}  {item.worst:5.3f}  {shift:>9}  {item.key}{_of(item.split)}")
    loud = sum(region.score >= LOUD for region in found.regions)
    say(f"regions, by how sure the models are ({loud} with {LOUD} or more):")
    say(f"  {'score':>5}  {'pixels':>7}  {'label says -> models say':40}  row,col  item")
    for region in found.regions[:top]:
        what, (row, col, _, _) = f"{region.given} -> {region.likely}", region.box
        say(f"  {region.score:5.3f}  {region.area:7d}  {what:40}  {row},{col}  {region.key}{_of(region.split)}")
    folder = session.run.root
    say(f"all of them: {folder / 'suspects.csv'}, {folder / 'suspects_regions.csv'}, {session.run.suspects}")


def _of(split: str) -> str:
    return "" if split == "oof" else f" ({split})"


def _report(session: Session) -> None:
    """Write the report anew with the pictures, if there is one; else say when there will be."""
    if not any(isinstance(block, ReportOutput) for block in session.recipe.output):
        return
    if session.run.check("export", deliver.export_inputs(session)).done:
        run.run_stages(session, ["report"])
        session.reporter.say(f"pictures of them: {session.run.report}#suspects")
    else:
        session.reporter.say("pictures of them: in the report, once maskwright run has made it")


def _view(session: Session, found: Suspects, to: str, folder: Path | None, top: int) -> Path:
    """Write the most suspicious items with their labels, the answers and the suspected regions."""
    folder, task = folder or session.run.root / f"view-suspects-{to}", session.recipe.task
    wanted, decision = _chosen(found, top), read_decision(session.run.decision)
    title = f"{session.recipe.name}: suspects"
    with session.working():
        facts = {"format": f"suspects {to}", "recipe": recipe_hash(session.recipe), "maskwright": __version__}
        begin(folder, facts, VIEWS)
        writer: View = (
            coco.CocoView(folder, task, "copy", write_counts, title, suspects=True)
            if to == "coco"
            else cvat.CvatView(folder, task, "copy", title)
        )
        with session.reporter.task(f"view {to}", len(wanted)) as tick:
            for item in wanted:
                doubts = [one for one in found.regions if (one.key, one.split) == (item.key, item.split)]
                writer.add(_shown(session, decision, item, doubts))
                session.stop.check("the view is not whole and is begun anew")
                tick.advance()
        writer.close()
    return folder


def _chosen(found: Suspects, top: int) -> list[ItemSuspect]:
    """Return the items of a view: the most suspicious ones, then those with the most suspicious regions."""
    known = {(one.key, one.split): one for one in found.items}
    loud = [one for one in found.regions if one.score >= LOUD][:top]
    names = [(one.key, one.split) for one in found.items[:top]] + [(one.key, one.split) for one in loud]
    return [known[name] for name in dict.fromkeys(names)]


def _shown(session: Session, decision: Decision, item: ItemSuspect, doubts: Sequence[RegionSuspect]) -> ViewItem:
    shown = view_item(session, decision, Target(item.key, item.split), item.fold if item.fold >= 0 else None)
    told = [Doubted(one.given, one.likely, one.score, one.area, one.box, one.counts) for one in doubts]
    loud = tuple(one for one in told if one.score >= LOUD)
    return replace(shown, scores={"suspicion": item.score}, doubts=loud)


VIEWS = {"coco": coco.WRITTEN, "cvat": cvat.WRITTEN}
"""Tool -> what its view writes into the folder, beside the mark."""
