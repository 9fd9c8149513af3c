"""What the report tells, gathered from the run folder: the last reader of every stage's files."""

from __future__ import annotations

import csv
import datetime
import math
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.files import read_json
from maskwright.core.labels import looks_background
from maskwright.core.recipe.blocks import ReportOutput
from maskwright.core.recipe.load import recipe_hash
from maskwright.core.runs import RunFolder, Split
from maskwright.core.version import __version__
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.findings import KINDS
from maskwright.data.folds.folds import FoldRow
from maskwright.data.items import read_item
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.ensembling.items import ItemRow, read_items
from maskwright.ensembling.thresholds import edge_value
from maskwright.output.report import facts as told
from maskwright.output.report.data_facts import AuditFacts, read_audit
from maskwright.output.report.page import build_report
from maskwright.output.report.pictures import make_case
from maskwright.workflows.deliver import Target, label_of, read_held_out, targets
from maskwright.workflows.session import Session

SPLITS: dict[str, Split] = {"oof": "oof", "holdout": "holdout", "test": "test"}
HELD_OUT = {"test": "test set", "holdout": "hold-out"}
"""Labelled items that were in no fold, and what the report calls them."""


def write_report(session: Session, block: ReportOutput) -> None:
    """Gather everything and write report.html."""
    decision, print_, rows = read_decision(session.run.decision), session.fingerprint(), session.fold_rows()
    task = session.recipe.task
    items = read_items(session.run.items, task)
    worst, best = _cases(session, decision, items, block.cases)
    scores = [row.score for row in items if row.split == "oof"]
    evidence = decision.evidence
    page = told.ReportFacts(
        title=session.recipe.name,
        task=task,
        headline=_headline(session, decision),
        data=_data(print_, session),
        folds=_folds(print_, rows, decision, session),
        curves=tuple(
            _curve(session.run, name, fold)
            for name in session.recipe.members
            for fold in range(session.recipe.folds.count)
        ),
        classes=tuple(
            told.ClassScore(row.name, _nan(row.iou), _nan(row.dice), _nan(row.precision), _nan(row.recall), row.support)
            for row in evidence.classes
        ),
        decision=_decision(session, decision),
        worst=worst,
        best=best,
        previews=_previews(session, decision, block.cases),
        item_scores=tuple(_nan(score) for score in scores),
        confusion=np.array(evidence.confusion, np.int64) if evidence.confusion else None,
        warnings=_warnings(session),
        made=_provenance(session),
        audit=_audit(session),
    )
    build_report(page, session.run.report)


def _audit(session: Session) -> AuditFacts | None:
    """Return what inspect found, if its file is there."""
    if not session.run.audit.exists():
        return None
    return read_audit(read_json(session.run.audit), {kind: known.says for kind, known in KINDS.items()})


def _nan(score: float | None) -> float:
    return math.nan if score is None else score


def _headline(session: Session, decision: Decision) -> told.Headline:
    evidence = decision.evidence
    held = next(iter(read_held_out(session)), None)
    return told.Headline(
        metric=decision.metric,
        honest=_nan(evidence.honest),
        optimistic=_nan(evidence.optimistic),
        default=_nan(evidence.default),
        items=evidence.items,
        folds=session.recipe.folds.count,
        held_out=None if held is None else _nan(held.decided),
        held_out_name="held-out items" if held is None else HELD_OUT[held.split],
        held_out_items=0 if held is None else held.items,
    )


def _data(print_: Fingerprint, session: Session) -> told.DataFacts:
    task = session.recipe.task
    sizes = Counter((item.height, item.width) for item in print_.items)
    names = task.plane_names if task.kind == "multilabel" else task.value_names
    found = () if session.run.audit.exists() else print_.notes  # else the audit's findings say the same
    present = [sum(item.pixels[index] > 0 for item in print_.items) for index in range(len(names))]
    return told.DataFacts(
        items=len(print_.items),
        bands=print_.bands,
        dtype=print_.dtype,
        sizes=tuple(told.SizeCount(*size, count) for size, count in sorted(sizes.items())),
        classes=tuple(
            told.ClassShare(name, pixels, there)
            for name, pixels, there in zip(names, print_.class_pixels, present, strict=True)
        ),
        valid_pixels=sum(item.valid for item in print_.items),
        pixels=sum(item.height * item.width for item in print_.items),
        mean=print_.mean,
        std=print_.std,
        notes=tuple(_portable(note, session) for note in (*session.train_source.notes, *found)),
    )


def _portable(note: str, session: Session) -> str:
    """Take the way to the data out of a note, so that no path of one machine stays in the run folder."""
    return note.replace(f"{session.recipe.data.root.rstrip('/')}/", "")


def _folds(
    print_: Fingerprint, rows: Sequence[FoldRow], decision: Decision, session: Session
) -> tuple[told.FoldFacts, ...]:
    records = {item.key: item for item in print_.items}
    scores = {row.fold: row.honest for row in decision.evidence.folds}
    if session.recipe.folds.count == 1:  # their folds are parts of one validation set
        scores = {0: decision.evidence.honest}
    task = session.recipe.task
    with_background = task.kind != "multiclass" or looks_background(task.classes[0])
    facts = []
    for fold in sorted({row.fold for row in rows}):
        inside = [row for row in rows if row.fold == fold]
        valid = sum(records[row.key].valid for row in inside)
        if task.kind == "multilabel":
            positive = sum(max(records[row.key].pixels) for row in inside)
        else:
            positive = sum(sum(records[row.key].pixels[1:]) for row in inside)
        share = positive / valid if valid and with_background else None
        groups = len({row.group for row in inside})
        facts.append(told.FoldFacts(fold, len(inside), groups, share, scores.get(fold)))
    return tuple(facts)


def _curve(run: RunFolder, member: str, fold: int) -> told.Curve:
    path = run.fold(member, fold) / "history.csv"
    rows = []
    with path.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            try:
                score = float(row["score"]) if row["score"] else None
                held = float(row["valid_loss"]) if row.get("valid_loss") else None
                rows.append(
                    told.EpochRow(
                        int(row["epoch"]), int(row["step"]), float(row["loss"]), float(row["lr"]), held, score
                    )
                )
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"not a training history ({error})", where=path, fix="train the fold again") from None
    return told.Curve(member, fold, tuple(rows))


def _decision(session: Session, decision: Decision) -> told.DecisionFacts:
    evidence = decision.evidence
    members = []
    for row in evidence.members:
        model = session.recipe.members[row.name].model
        weight = decision.weights.get(row.name, 0.0)
        members.append(told.MemberFacts(row.name, model.architecture, model.encoder, _nan(row.fixed), weight))
    curves = []
    for index, plane in enumerate(evidence.classes):
        if decision.edges and plane.curve:
            shown = [(edge_value(i + 1), score) for i, score in enumerate(plane.curve) if score is not None]
            curves.append(
                told.ThresholdCurve(
                    plane.name,
                    tuple(x for x, _ in shown),
                    tuple(y for _, y in shown),
                    edge_value(decision.edges[index]),
                    edge_value(decision.fixed_edge),
                )
            )
    choices = tuple(
        told.Choice(
            {"weights": "blend weights"}.get(choice.what, choice.what),
            choice.outcome,
            choice.kept,
            choice.honest_gain,
            choice.optimistic_gain,
            choice.reason,
        )
        for choice in evidence.choices
    )
    return told.DecisionFacts(decision.rule, tuple(members), choices, tuple(curves))


def _cases(
    session: Session, decision: Decision, items: Sequence[ItemRow], count: int
) -> tuple[tuple[told.Case, ...], tuple[told.Case, ...]]:
    ranked = sorted((row for row in items if row.score is not None), key=lambda row: (row.score, row.key))
    half = min(count, (len(ranked) + 1) // 2)
    worst, best = ranked[:half], ranked[::-1][: min(count, len(ranked) - half)]
    return tuple(_case(session, decision, row) for row in worst), tuple(_case(session, decision, row) for row in best)


def _case(session: Session, decision: Decision, row: ItemRow) -> told.Case:
    source = session.train_source if row.split != "test" else session.test_source
    assert source is not None, row
    session.stop.check("the report is not written yet, all else is")
    item = read_item(source, row.key, session.recipe.task, session.recipe.data.max_pixels)
    predicted = label_of(session, decision, Target(row.key, SPLITS[row.split]))
    note = f"fold {row.fold}" if row.split == "oof" else HELD_OUT[row.split]
    image = _shown(session, item.image)
    return make_case((row.key, row.score, note), image, predicted, session.recipe.task, item.label, item.valid)


def _shown(session: Session, image: np.ndarray) -> np.ndarray:
    """Return the bands the model gets, in its order; pictures are drawn of the first three."""
    bands = session.recipe.data.bands
    return image if bands is None else image[..., [band - 1 for band in bands]]


def _previews(session: Session, decision: Decision, count: int) -> tuple[told.Case, ...]:
    """Draw some answers for items without truth, if that is what the run is for."""
    source = session.test_source
    if source is None or source.labelled:
        return ()
    chosen = targets(session)
    step = max(1, len(chosen) // count)
    found = []
    for target in chosen[::step][:count]:
        item = read_item(source, target.key, session.recipe.task, session.recipe.data.max_pixels)
        predicted = label_of(session, decision, target)
        image = _shown(session, item.image)
        found.append(make_case((target.key, None, ""), image, predicted, session.recipe.task, valid=item.valid))
    return tuple(found)


def _warnings(session: Session) -> tuple[str, ...]:
    found = []
    if session.recipe.data.limit is not None:
        found.append(f"Only {session.recipe.data.limit} items were used (data.limit, or --quick).")
    if session.recipe.folds.kind == "all":
        found.append("Every item was trained on (folds.kind: all), so there is no honest score, and nothing was tuned.")
    rosy = [name for name, member in session.recipe.members.items() if member.predict.weights == "best"]
    if rosy:
        found.append(
            f"The weights of {', '.join(rosy)} are of the epoch that was best on the held-out fold, "
            "so even the honest score is a little rosy (predict.weights: last avoids this)."
        )
    return tuple(found)


def _provenance(session: Session) -> told.Provenance:
    files = [("output/", "masks and submissions"), ("decision.json", "weights, thresholds and the evidence")]
    files += [("items.csv", "scores item by item"), ("folds.csv", "which item is in which fold")]
    recipe = Path(session.run.recipe).read_text(encoding="utf-8")
    return told.Provenance(
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        version=__version__,
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        command="maskwright run recipe.yaml data.root=PATH",
        recipe=recipe,
        recipe_hash=recipe_hash(session.recipe),
        files=tuple(told.FileFact(path, what) for path, what in files),
    )
