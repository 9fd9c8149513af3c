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
    SuspectFacts,
    ThresholdCurve,
)
from maskwright.output.report.ground_facts import FoldGround, GroundFacts, SceneRow, SceneTable, Spot
from maskwright.output.report.insight_facts import (
    FoldSpent,
    InsightFacts,
    ItemFacts,
    PairFacts,
    ReliabilityFacts,
    SpentFacts,
    StageSpent,
    WeightFacts,
)
from maskwright.output.report.pictures import make_case
from maskwright.output.report.rounds_facts import RoundFacts, SelfTrainFacts

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


def insight_facts(task, word):
    """Three members, of which the last errs like nobody else; probabilities that promise a little too much."""
    steps = [(k + 0.5) / 20 for k in range(20)]
    pixels = tuple(1000 // (1 + min(k, 19 - k) ** 2) for k in range(20))
    true = tuple(round(n * p**1.2) for n, p in zip(pixels, steps, strict=True))
    names = [f"{name} {word}" for name in task.plane_names]
    return InsightFacts(
        tuple(
            ReliabilityFacts(name, pixels, true, tuple(steps), 0.0321, 0.0123)
            for name in ([""] if task.kind == "multiclass" else []) + names
        ),
        tuple((f"{member} {word}", 0.1) for member in "abc"),
        tuple(
            PairFacts(f"{one} {word}", f"{two} {word}", 0.05, 0.1, value)
            for one, two, value in (("a", "b", 0.8), ("a", "c", 0.1), ("b", "c", float("nan")))
        ),
    )


def item_rows(word, count=12):
    """Items with rising scores; the last has none."""
    rows = [ItemFacts(f"item {k} {word}", k % 3, "oof", k / count, 0.5 / (k + 1), 0.1 / (k + 1)) for k in range(count)]
    return (*rows, ItemFacts(f"held {word}", -1, "holdout", float("nan")))


def spent_facts(word):
    """What a run cost."""
    return SpentFacts(
        (StageSpent("train", 200.0, 900, 2), StageSpent("predict", 50.0, 1500, 1)),
        tuple(FoldSpent(f"member {word}", fold, 3, 30, 66.0, 900, 4000) for fold in range(3)),
        (WeightFacts(f"member {word}", f"imagenet {word}", f"source {word}", f"licence {word}", "unknown"),),
    )


def ground_facts(word):
    """Two folds side by side and a hold-out; three scenes, of which one has no score."""
    spots = tuple(
        Spot(f"spot {k} {word}", (0, 1, -1)[k], ((x, 0.0), (x + 40, 0.0), (x + 40, 40.0), (x, 40.0)))
        for k, x in enumerate((0.0, 80.0, 160.0))
    )
    rows = (
        SceneRow(f"town {word}", 4, 1600.0, 0.7, 0.5, 9, 12),
        SceneRow(f"wood {word}", 1, 3.2e6, float("nan")),
        SceneRow(f"field {word}", 2, 800.0, 0.2, 0.1, 3, 4),
    )
    scenes = SceneTable("iou", "m2", rows, 0.45, 0.53, True, 0.4, 0.5, 0.3, 0.36)
    folds = (FoldGround(0, 1600.0, 3.2e6, 0.0, 40.0), FoldGround(1, 1600.0, 1600.0, 0.0, None))
    return GroundFacts(folds, spots, scenes)


def rounds_facts(word):
    """Two rounds, the last of them dropped."""
    nan = float("nan")
    first = RoundFacts(0, ".", 0.61, nan, nan, nan, "labelled ones alone", True, "the first teachers")
    kept = RoundFacts(1, "selftrain/round1", 0.66, 0.05, 0.02, 0.08, "16", True, f"better {word}", "web 0.25")
    dropped = RoundFacts(2, "selftrain/round2", 0.65, -0.01, -0.03, 0.01, "12 to 16, by fold", False, "no gain")
    rounds = (first, kept, dropped)
    return SelfTrainFacts(rounds, 1, "selftrain/round1/output/", "iou", test_items_used=True, images=16)


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
        headline=Headline("iou", 0.8123, 0.8234, 0.8012, 9, 3, 0.8099, f"test {word}", 4, 0.78, 0.84, 0.95, 9),
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
        curves=tuple(Curve(f"{member} {word}", fold, rows) for member in ("member", "other") for fold in range(3)),
        classes=tuple(ClassScore(name, 0.8, 0.9, 0.85, 0.95, 100) for name in planes),
        decision=DecisionFacts(
            "argmax" if kind == "multiclass" else "global",
            (MemberFacts(f"member {word}", f"unet {word}", f"resnet {word}", 0.79, 1.0),),
            (Choice(f"weights {word}", f"1.0 {word}", True, 0.01, 0.02, f"because {word}", 0.004, 0.016, "3 of 3"),),
            () if kind == "multiclass" else tuple(ThresholdCurve(name, *threshold) for name in planes),
        ),
        worst=(case(task, f"low {word}", 0.1),),
        best=(case(task, f"high {word}", 0.9),),
        unsure=(case(task, f"torn {word}", 0.5),),
        previews=(case(task, f"new {word}", None, labelled=False),),
        item_scores=(0.1, 0.5, 0.9, float("nan")),
        confusion=np.array([[9, 1, 0], [0, 5, 5], [0, 0, 0]]) if kind == "multiclass" else None,
        insight=insight_facts(task, word),
        items=item_rows(word),
        spent=spent_facts(word),
        ground=ground_facts(word),
        suspects=SuspectFacts((case(task, f"wrong {word}", 0.8),), (case(task, f"part {word}", 0.7),), 4, 1),
        selftrain=rounds_facts(word),
        warnings=(f"warning {word}",),
        made=Provenance(**{**made.__dict__, "files": (FileFact(f"output/{word}", f"what {word}"),)}),
    )


@pytest.fixture
def facts_of():
    return report_facts
