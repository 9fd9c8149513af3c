"""The random field of a decision on the labels of a whole raster, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from maskwright.core.errors import MemoryLimitError
from maskwright.core.grid import Shape, Window
from maskwright.core.recipe.crf import Crf
from maskwright.data.pixels.windows import Windows, opened_windows
from maskwright.ensembling.crf import Label, colours_of
from maskwright.ensembling.crf_rows import Blocks, refined_rows
from maskwright.inference.spool import NODATA
from maskwright.workflows.deliver import shown_bands
from maskwright.workflows.session import Session


@dataclass(frozen=True)
class Field:
    """What smooths the labels of a raster."""

    crf: Crf
    blocks: Blocks
    classes: int
    """That exclude each other: 2 for each plane of a multilabel task."""
    shape: Shape

    def rows(
        self, session: Session, name: str, path: Path, labels: Callable[[int], Iterator[Label]], plane: int
    ) -> Iterator[Label]:
        """Give the smoothed labels of a plane from the top; pixels without data have no say.

        Args:
            session: gets progress, and may be stopped.
            name: of the raster.
            path: of the raster, for its colours.
            labels: plane -> its labels from the top, uint8 (any count, W).
            plane: which one.
        """
        with ExitStack() as stack:
            look = None
            if self.crf.colours is not None:
                raster = stack.enter_context(opened_windows(path, session.recipe.data.max_pixels))

                def look(window: Window) -> Label:
                    return colours_of(shown_bands(session, raster.read(window)[0]), str(path))

            strips = -(-self.shape[0] // self.blocks.side)
            tick = stack.enter_context(session.reporter.task(f"smooth {name}", strips))
            args = self.shape, self.blocks, self.crf, self.classes, NODATA, look
            for strip in refined_rows(labels(plane), *args):
                tick.advance()
                session.stop.check(f"all row bands of {name} are finished")
                yield strip


def field_of(session: Session, crf: Crf, raster: Windows, memory: int) -> Field:
    """Return how a raster's labels will be smoothed, before anything is predicted.

    Args:
        session: of the recipe.
        crf: what is done.
        raster: open.
        memory: bytes that beliefs may take.

    Raises:
        InputError: colours are looked at, and the raster has none.
        MemoryLimitError: what matters to a small block takes more memory, or rows of that width do.
    """
    task = session.recipe.task
    if crf.colours is not None:
        colours_of(shown_bands(session, raster.read(Window(0, 0, 1, 1))[0]), str(raster.path))
    classes = task.planes if task.kind == "multiclass" else 2
    blocks = Blocks.fitting(crf, classes, memory)
    if blocks is None or blocks.bytes_held(raster.shape[1]) > memory:
        what = "the random field looks so far that what it holds takes more than a quarter of --memory"
        fix = "allow more --memory, or lower steps or sxy of decision.crf"
        raise MemoryLimitError(what, where=raster.path, fix=fix)
    return Field(crf, blocks, classes, raster.shape)
