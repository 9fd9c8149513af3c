"""Gather what the report tells of self-training from selftrain.json."""

from __future__ import annotations

from maskwright.core.runs import RunFolder
from maskwright.output.report.rounds_facts import RoundFacts, SelfTrainFacts
from maskwright.workflows.record import read_record
from maskwright.workflows.story.decision import finite


def rounds_facts(run: RunFolder) -> SelfTrainFacts:
    """Return the rounds of a run's students; nothing for a run without.

    Args:
        run: the first teachers' run folder.
    """
    if not run.selftrain.exists():
        return SelfTrainFacts()
    record = read_record(run)
    rounds = tuple(
        RoundFacts(
            round=row.round,
            run=row.run,
            honest=finite(row.honest),
            gain=finite(row.gain),
            low=finite(row.low),
            high=finite(row.high),
            images=_images(row.taken),
            kept=row.kept,
            reason=row.reason,
            weights=", ".join(f"{name} {weight:g}" for name, weight in (*row.parts.items(), *row.pool_parts.items())),
        )
        for row in record.rounds
    )
    output = "output" if record.run == "." else f"{record.run}/output"
    images = int(record.unlabelled.get("images", 0))
    return SelfTrainFacts(rounds, record.final, f"{output}/", record.metric, record.test_items_used, images)


def _images(taken: tuple[int, ...]) -> str:
    if not taken:
        return "labelled ones alone"
    return f"{min(taken)}" if min(taken) == max(taken) else f"{min(taken)} to {max(taken)}, by fold"
