"""TensorBoard: one event file for each fold, cut back on a resume as log.jsonl is."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

from maskwright.core.recipe.trackers import Tracker as Block
from maskwright.training.trackers.base import Place, Point

FOLDER = "tensorboard"
FILE = "events.out.tfevents.maskwright"
"""TensorBoard takes every file for events whose name has `tfevents` in it."""


class TensorBoard:
    """Event files below tensorboard/ in the run folder, a sub-folder for each member and fold.

    The records are written by TensorBoard's own RecordWriter into a file that we hold, since its
    EventFileWriter begins a new file at each start and cannot take back what was written after the state
    a training goes on from.
    """

    def __init__(self, place: Place, _block: Block) -> None:
        self.place = place
        self.path = place.root / FOLDER / place.member / f"fold{place.fold}" / FILE
        self.size = 0

    def open(self, kept: Mapping[str, Any]) -> None:
        """Begin the file with the recipe as text, or cut it back to what is known to be whole."""
        self.size = int(kept.get("size", 0))
        if self.size:
            return
        from tensorboard.compat.proto.event_pb2 import Event

        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(b"")
        self._append([Event(file_version="brain.Event:2"), self._recipe()])

    def write(self, points: Sequence[Point], *, again: bool) -> None:
        """Append scalars; what a killed process left behind the known size is cut off first."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        self._append(
            [
                Event(
                    wall_time=point.time,
                    step=point.step,
                    summary=Summary(
                        value=[Summary.Value(tag=tag, simple_value=value) for tag, value in point.values.items()]
                    ),
                )
                for point in points
            ]
        )

    @property
    def kept(self) -> Mapping[str, Any]:
        """How many bytes of the file are known to be whole."""
        return {"size": self.size}

    def close(self, *, finished: bool) -> None:
        """Do nothing: the file is only open while it is written to."""

    def _append(self, events: Sequence[Any]) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        with self.path.open("r+b") as stream:  # a file that is gone is an error and not begun anew without its head
            stream.truncate(self.size)
            stream.seek(self.size)
            writer = RecordWriter(stream)
            for event in events:
                writer.write(event.SerializeToString())
            stream.flush()
            os.fsync(stream.fileno())
            self.size = stream.tell()

    def _recipe(self) -> Any:
        """Return the resolved recipe as an event for the text page."""
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
        from tensorboard.compat.proto.tensor_pb2 import TensorProto
        from tensorboard.compat.proto.types_pb2 import DT_STRING

        text = "\n".join(f"    {line}" for line in json.dumps(self.place.config, indent=1).splitlines())
        value = Summary.Value(
            tag="recipe",
            metadata=SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="text")),
            tensor=TensorProto(dtype=DT_STRING, string_val=[text.encode()]),
        )
        return Event(step=0, summary=Summary(value=[value]))
