"""The section on cost: time and memory of stages and folds, and the weights that the run stands on."""

from __future__ import annotations

from collections.abc import Sequence

from maskwright.output.report.facts import ReportFacts
from maskwright.output.report.insight_facts import FoldSpent, StageSpent, WeightFacts
from maskwright.output.report.markup import MISSING, Column, Markup, bar, count, name, share, table, text


def cost(facts: ReportFacts) -> Markup:
    """Return time and memory, stage by stage and fold by fold, and the ledger of weights."""
    spent = facts.spent
    body = ""
    if spent.stages or spent.folds:
        total = max(sum(row.seconds for row in spent.stages), sum(row.seconds for row in spent.folds))
        memory = max([row.peak_mb for row in spent.stages] + [row.peak_mb or 0 for row in spent.folds])
        gpu = max([row.peak_gpu_mb or 0 for row in spent.folds], default=0)
        tiles = [(duration(total), "spent in all"), (size(memory), "most memory at once")]
        tiles += [(size(gpu), "most GPU memory")] if gpu else []
        body += '<dl class="tiles">' + "".join(f"<div><dd>{value}</dd><dt>{what}</dt></div>" for value, what in tiles)
        body += "</dl>"
    blocks = [("Stages", _stages(spent.stages)), ("Training", _folds(spent.folds))]
    parts = "".join(f"<div><h3>{title}</h3>{block}</div>" for title, block in blocks if block)
    body += f'<div class="pair">{parts}</div>' if parts else '<p class="empty">Nothing was measured.</p>'
    return body + (f"<h3>Weights it began from</h3>{_weights(spent.weights)}" if spent.weights else "")


def duration(seconds: float) -> Markup:
    """Write a time as people say it: 0.4 s, 42 s, 3 min 20 s, 2 h 05 min."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(mebibytes: float) -> Markup:
    """Write memory: 850 MiB, 12.3 GiB."""
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.1f} GiB"


def _stages(rows: Sequence[StageSpent]) -> Markup:
    if not rows:
        return ""
    total = max(sum(row.seconds for row in rows), 1e-9)
    columns = [Column("stage"), Column("time", True), Column("of all", True), Column("")]
    columns += [Column("most memory", True, "of the main process; workers count for themselves")]
    body = []
    for row in rows:
        again = f" <small>{count(row.times)} times</small>" if row.times > 1 else ""
        part = row.seconds / total
        body.append([text(row.stage) + again, duration(row.seconds), share(part), bar(part), size(row.peak_mb)])
    return table("Time and memory of each stage", columns, body)


def _folds(rows: Sequence[FoldSpent]) -> Markup:
    if not rows:
        return ""
    gpu = any(row.peak_gpu_mb is not None for row in rows)
    columns = [Column("member"), Column("fold", True), Column("time", True), Column("per step", True)]
    columns += [Column("most memory", True)] + ([Column("on the GPU", True)] if gpu else [])
    body = []
    for row in rows:
        pace = MISSING if not row.steps else _pace(row.seconds / row.steps)
        memory = MISSING if row.peak_mb is None else size(row.peak_mb)
        cells = [name(row.member), str(row.fold), duration(row.seconds), pace, memory]
        body.append(cells + ([MISSING if row.peak_gpu_mb is None else size(row.peak_gpu_mb)] if gpu else []))
    return table("Time and memory of each training", columns, body)


def _pace(seconds: float) -> Markup:
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _weights(rows: Sequence[WeightFacts]) -> Markup:
    columns = [Column("member"), Column("weights"), Column("from"), Column("licence"), Column("commercial use")]
    return table(
        "Ledger of weights",
        columns,
        [
            [name(row.member), *(text(x) for x in (row.weights, row.source, row.licence, row.commercial))]
            for row in rows
        ],
    )
