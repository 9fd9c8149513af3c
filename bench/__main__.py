"""Run the bench files and print one table: `python -m bench [name ...]`, e.g. `python -m bench rle counts`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from bench.common import Row

HEADER = ("work", "ours", "floor", "ours/floor", "target", "times faster than")


def available() -> list[str]:
    """Return the names of all bench files, without `bench_`."""
    return sorted(path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py"))


def duration(seconds: float | None) -> str:
    """Write seconds with a unit that suits them."""
    if seconds is None:
        return "-"
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def cells(row: Row) -> tuple[str, ...]:
    """Return one row of the table as text."""
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}x"
    wanted = [] if row.target is None else [f"{row.target:g}x"]
    wanted += [] if row.limit is None else [duration(row.limit)]
    goals = [f"<= {' and '.join(wanted)}"] if wanted else []
    goals += [] if row.least is None else [f">= {row.least:.3g}x peers"]
    target = f"{', '.join(goals)} {'met' if row.met else 'MISSED'}" if goals else "-"
    gains = ", ".join(f"{name} {gain:.3g}x" for name, gain in row.gains.items())
    note = f"({row.note})" if row.note else ""
    return row.name, duration(row.ours), duration(row.floor), ratio, target, f"{gains} {note}".strip()


def table(rows: list[Row]) -> str:
    """Align the rows below a header."""
    lines = [HEADER, *(cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def main(names: list[str]) -> int:
    """Run the named bench files, all of them without names; options such as --side=N are read by the files."""
    known, names = available(), [name for name in names if not name.startswith("--")]
    strangers = [name for name in names if name not in known]
    if strangers:
        print(f"error: no bench '{strangers[0]}'; use some of: {', '.join(known)}", file=sys.stderr)
        return 2
    rows: list[Row] = []
    for name in names or known:
        print(f"... {name}", file=sys.stderr, flush=True)
        rows += importlib.import_module(f"bench.bench_{name}").rows()
    print(table(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
