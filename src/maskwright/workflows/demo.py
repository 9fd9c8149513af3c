"""The demo: render scenes, run the packaged recipe on them, say where to look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from maskwright.core.progress import Reporter
from maskwright.workflows.run import run_until
from maskwright.workflows.session import open_session

TRAIN_SCENES, TEST_SCENES, SCENE_SIZE = 48, 12, 224


def run_demo(out: Path, overrides: Sequence[str], reporter: Reporter) -> None:
    """Render scenes below `out`/scenes and take them to masks, submission and report in `out`.

    Args:
        out: run folder of the demo.
        overrides: `dotted.key=value` texts laid over the packaged recipe `demo`.
        reporter: where messages go.
    """
    from maskwright.data.synthetic.synthetic import write_scenes

    scenes = out / "scenes"
    open_session(
        "demo", [f"data.root={scenes}", "output.1.sample=null", *overrides], reporter, out=out
    )  # or refuse now
    if not (scenes / "test" / "sample_submission.csv").exists():
        reporter.say(f"demo: rendering {TRAIN_SCENES + TEST_SCENES} synthetic scenes into {scenes}")
        write_scenes(scenes / "train", TRAIN_SCENES, SCENE_SIZE, seed=1)
        write_scenes(scenes / "test", TEST_SCENES, SCENE_SIZE, seed=2)
    session = open_session("demo", [f"data.root={scenes}", *overrides], reporter, out=out)
    run_until(session)
