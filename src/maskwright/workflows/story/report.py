"""Gather everything that report.html shows, and write it."""

from __future__ import annotations

import datetime
import platform
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from maskwright.core.files import read_json
from maskwright.core.labels import looks_background
from maskwright.core.recipe.load import recipe_hash
from maskwright.core.recipe.outputs import ReportOutput
from maskwright.core.version import __version__
from maskwright.data.audit.fingerprint import Fingerprint
from maskwright.data.findings import KINDS
from maskwright.data.folds.folds import FoldRow
from maskwright.ensembling.blend import Decision, read_decision
from maskwright.ensembling.diagnosis import read_diagnosis
from maskwright.ensembling.items import read_items
from maskwright.output.report import facts as told
from maskwright.output.report.data_facts import AuditFacts, read_audit
from maskwright.output.report.page import build_report
from maskwright.workflows.session import Session
from maskwright.workflows.story.cases import gallery, previews
from maskwright.workflows.story.decision import decided, finite, headline, insight, item_facts
from maskwright.workflows.story.ground import ground_facts
from maskwright.workflows.story.rounds import rounds_facts
from maskwright.workflows.story.spent import history, spent
from maskwright.workflows.story.suspects import suspect_facts


def write_report(session: Session, block: ReportOutput) -> None:
    """Gather everything and write report.html."""
    decision, print_, rows = read_decision(session.run.decision), session.fingerprint(), session.fold_rows()
    task = session.recipe.task
    items = read_items(session.run.items, task)
    found = read_diagnosis(session.run.diagnosis)
    shown = gallery(session, decision, items, found, block.cases)
    scores = [row.score for row in items if row.split == "oof"]
    evidence = decision.evidence
    page = told.ReportFacts(
        title=session.recipe.name,
        task=task,
        headline=headline(session, decision, found),
        data=_data(print_, session),
        folds=_folds(print_, rows, decision, session),
        curves=tuple(
            history(session.run, name, fold)
            for name in session.recipe.members
            for fold in range(session.recipe.folds.count)
        ),
        classes=tuple(
            told.ClassScore(
                row.name, finite(row.iou), finite(row.dice), finite(row.precision), finite(row.recall), row.support
            )
            for row in evidence.classes
        ),
        decision=decided(session, decision),
        worst=shown.worst,
        best=shown.best,
        unsure=shown.unsure,
        previews=previews(session, decision, block.cases),
        item_scores=tuple(finite(score) for score in scores),
        confusion=np.array(evidence.confusion, np.int64) if evidence.confusion else None,
        warnings=_warnings(session),
        made=_provenance(session),
        insight=insight(found),
        items=item_facts(items, found),
        spent=spent(session.run, tuple(session.recipe.members), session.recipe.folds.count),
        ground=ground_facts(session, print_, rows),
        suspects=suspect_facts(session, decision, block.cases),
        audit=_audit(session),
        selftrain=rounds_facts(session.run),
    )
    build_report(page, session.run.report)


def _audit(session: Session) -> AuditFacts | None:
    """Return what inspect found, if its file is there."""
    if not session.run.audit.exists():
        return None
    return read_audit(read_json(session.run.audit), {kind: known.says for kind, known in KINDS.items()})


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


def _warnings(session: Session) -> tuple[str, ...]:
    found = []
    if session.recipe.data.limit is not None:
        found.append(f"Only {session.recipe.data.limit} items were used (data.limit, or --quick).")
    if session.recipe.folds.kind == "all":
        found.append("Every item was trained on (folds.kind: all), so there is no honest score, and nothing was tuned.")
    picked = {"best": "of the epoch that was best", "soup": "mixed of those that scored well"}
    for kind, how in picked.items():
        rosy = [name for name, member in session.recipe.members.items() if member.predict.weights == kind]
        if rosy:
            found.append(
                f"The weights of {', '.join(rosy)} are {how} on the held-out fold, "
                "so even the honest score is a little rosy (predict.weights: last avoids this)."
            )
    early = [name for name, member in session.recipe.members.items() if member.train.early_stop is not None]
    if early:
        found.append(
            f"The training of {', '.join(early)} may have ended where the held-out fold no longer gained "
            "(train.early_stop), so even the honest score is a little rosy."
        )
    return tuple(found)


def _provenance(session: Session) -> told.Provenance:
    files = [("output/", "masks and submissions"), ("decision.json", "weights, thresholds and the evidence")]
    files += [("items.csv", "scores item by item"), ("folds.csv", "which item is in which fold")]
    files += [("suspects.csv", "labels ranked by suspicion")] if session.run.suspects.exists() else []
    files += [("scenes.json", "scores of whole scenes")] if session.run.scenes.exists() else []
    files += [("ground.json", "how far folds lie apart")] if session.run.ground.exists() else []
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
