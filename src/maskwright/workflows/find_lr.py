"""The verb find-lr: a learning rate proposed for each member, with the curve it was read from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from maskwright.core.errors import InputError
from maskwright.core.files import safe_name, write_text
from maskwright.core.version import __version__
from maskwright.output.report.charts import Axes, Line, Mark, legend, line_chart
from maskwright.output.report.page import assemble
from maskwright.workflows import stages
from maskwright.workflows.inputs import check_fold, refuse_untrained
from maskwright.workflows.jobs import fold_job
from maskwright.workflows.session import Session

if TYPE_CHECKING:
    from maskwright.training.find_lr import Ramp

FEWEST = 10
"""Steps that a curve can be read from."""


def run_find_lr(session: Session, member: str | None, fold: int, steps: int) -> None:
    """Try rising learning rates, write find_lr/<member>-fold<k>.csv and .html, and say which rate is proposed.

    Args:
        session: an opened recipe; its data is inspected and split if that is not done.
        member: None: all.
        fold: whose items are trained on.
        steps: of the ramp, >= 10.

    Raises:
        InputError: too few steps, no such fold, a first stage that is not trained.
    """
    check_fold(fold, session.recipe.folds.count)
    if steps < FEWEST:
        raise InputError(f"{steps} steps", where="--steps", fix=f"give {FEWEST} or more, e.g. 100")
    names = session.chosen_members(member)
    with session.working():
        stages.inspect(session)
        stages.split(session)
        for name in names:
            _try_member(session, name, fold, steps)


def _try_member(session: Session, name: str, fold: int, steps: int) -> None:
    from maskwright.training.find_lr import find_rate

    other = session.recipe.members[name].model.other
    if other is not None:
        refuse_untrained(session, other, [fold])
    job = fold_job(session, name, fold)
    ramp = find_rate(job, session.run.fold(name, fold), steps, session.reporter, session.stop)
    stem = session.run.root / "find_lr" / f"{safe_name(name)}-fold{fold}"
    rows = zip(ramp.rates, ramp.losses, ramp.smoothed, strict=True)
    table = "".join(f"{step},{rate!r},{loss!r},{mean!r}\n" for step, (rate, loss, mean) in enumerate(rows, 1))
    write_text(stem.with_suffix(".csv"), f"step,lr,loss,smoothed\n{table}")
    write_text(stem.with_suffix(".html"), page(name, fold, ramp, job.member.optimizer.lr))
    session.reporter.say(
        f"find-lr {name}: try members.{name}.optimizer.lr={ramp.proposed:.1e} (the recipe has "
        f"{job.member.optimizer.lr:.1e}); the loss fell fastest at {ramp.rates[ramp.steepest]:.1e} and was least at "
        f"{ramp.rates[ramp.lowest]:.1e}, a tenth of which is {ramp.rates[ramp.lowest] / 10:.1e}; the smaller of the "
        f"two is proposed; curve: {stem.with_suffix('.html')}"
    )


def page(name: str, fold: int, ramp: Ramp, now: float) -> str:
    """Return the curve as one self-contained page.

    Args:
        name: of the member.
        fold: that was trained on.
        ramp: what was seen.
        now: the recipe's rate.
    """
    powers = [math.log10(rate) for rate in ramp.rates]
    least = ramp.smoothed[ramp.lowest]
    high = max(ramp.smoothed[: ramp.lowest + 1]) * 1.2  # what runs away at the end would flatten all before it
    lines = [
        Line("each step", powers, [min(loss, high) for loss in ramp.losses], 1, group="step"),
        Line("running mean", powers, [min(loss, high) for loss in ramp.smoothed], 0, group="mean"),
    ]
    marks = [Mark(math.log10(ramp.proposed), f"proposed: {ramp.proposed:.1e}", high=True)]
    if ramp.rates[0] <= now <= ramp.rates[-1]:
        marks.append(Mark(math.log10(now), f"recipe: {now:.1e}", quiet=True))
    axes = Axes("loss over learning rate", "learning rate, as a power of ten", "loss", width=760, height=320)
    chart = line_chart(lines, axes, marks) + legend(
        [("each step", 1, False, "step"), ("running mean", 0, False, "mean")]
    )
    lede = f"Proposed: <b>{ramp.proposed:.1e}</b>; the running mean was least ({least:.4f}) at "
    lede += f"{ramp.rates[ramp.lowest]:.1e} and fell fastest at {ramp.rates[ramp.steepest]:.1e}."
    return assemble(
        "find-lr", f"{name}, fold {fold}", lede, [("curve", "Loss while the rate rises", chart)], __version__
    )
