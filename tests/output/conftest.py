"""Facts for reports: small, made up, and as odd as a test wants them."""

import numpy as np
import pytest

from maskwright.core.labels import Task
from maskwright.output.report.facts import (
    Choice,
    ClassScore,
    ClassShare,
    Curve,
    DataFacts,
    DecisionFacts,
    EpochRow,
    FileFact,
    FoldFacts,
    Headline,
    MemberFacts,
    Provenance,
    ReportFacts,
    SizeCount,
    ThresholdCurve,
)
from maskwright.output.report.pictures import make_case

TASKS = {
    "binary": Task(kind="binary", classes=("roof",)),
    "multiclass": Task(kind="multiclass", classes=("background", "road", "tree"), ignore=255),
    "multilabel": Task(kind="multilabel", classes=("heart", "left lung")),
}


def case(task, key, score, labelled=True):
    random = np.random.default_rng(len(key))
    image = random.integers(0, 255, (24, 30, 3), dtype=np.uint8)
    shape, high = ((len(task.classes), 24, 30), 2) if task.kind == "multilabel" else ((24, 30), len(task.values))
    answer, truth = (random.integers(0, high, shape, dtype=np.uint8) for _ in range(2))
    return make_case((key, score, ""), image, answer, task, truth if labelled else None)


def report_facts(kind="binary", word="plain", task=None):
    """Build facts in which every name from outside contains `word`."""
    task = task or TASKS[kind]
    names, planes = task.value_names if kind != "multilabel" else task.classes, task.plane_names
    rows = tuple(EpochRow(epoch, epoch * 10, 1 / epoch, 1e-3, 1.2 / epoch, 0.5 + 0.1 * epoch) for epoch in (1, 2, 3))
    threshold = ((0.25, 0.5, 0.75), (0.6, 0.7, 0.5), 0.25)
    made = Provenance("2026-01-02", "0.1.0", f"box {word}", f"run {word}", f"name: {word}", "abc")
    return ReportFacts(
        title=f"title {word}",
        task=task,
        headline=Headline("iou", 0.8123, 0.8234, 0.8012, 9, 3, 0.8099, f"test {word}", 4),
        data=DataFacts(
            9,
            3,
            "uint8",
            (SizeCount(24, 30, 9),),
            tuple(ClassShare(name, 100, 5) for name in names),
            90,
            100,
            (0.5,) * 3,
            (0.2,) * 3,
            (f"note {word}",),
        ),
        folds=tuple(FoldFacts(fold, 3, 3, 0.2, 0.8 + 0.01 * fold) for fold in (-1, 0, 1, 2)),
        curves=tuple(Curve(f"member {word}", fold, rows) for fold in range(3)),
        classes=tuple(ClassScore(name, 0.8, 0.9, 0.85, 0.95, 100) for name in planes),
        decision=DecisionFacts(
            "argmax" if kind == "multiclass" else "global",
            (MemberFacts(f"member {word}", f"unet {word}", f"resnet {word}", 0.79, 1.0),),
            (Choice(f"weights {word}", f"1.0 {word}", True, 0.01, 0.02, f"because {word}"),),
            () if kind == "multiclass" else tuple(ThresholdCurve(name, *threshold) for name in planes),
        ),
        worst=(case(task, f"low {word}", 0.1),),
        best=(case(task, f"high {word}", 0.9),),
        previews=(case(task, f"new {word}", None, labelled=False),),
        item_scores=(0.1, 0.5, 0.9, float("nan")),
        confusion=np.array([[9, 1, 0], [0, 5, 5], [0, 0, 0]]) if kind == "multiclass" else None,
        warnings=(f"warning {word}",),
        made=Provenance(**{**made.__dict__, "files": (FileFact(f"output/{word}", f"what {word}"),)}),
    )


@pytest.fixture
def facts_of():
    return report_facts
