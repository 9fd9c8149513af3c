"""MLflow: one run for each fold, in a SQLite file of the run folder unless the recipe names a server."""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from maskwright.core.recipe.trackers import MlflowTracker as Block
from maskwright.training.trackers.base import Place, Point

FILE = "mlflow.db"
METRICS = 900
"""Metrics of one call: the service takes at most 1000 (mlflow.utils.validation, 3.17)."""
PARAMS = 100
"""Parameters of one call, from the same place."""
VALUE = 6000
"""Characters of a parameter, from the same place."""
NO_ARTIFACTS = "mlflow-artifacts:/maskwright"
"""Where a server would keep files; we give none, and any other place would be an absolute path."""


class Mlflow:
    """A run in the experiment named like the recipe; parameters are the resolved recipe's leaves."""

    def __init__(self, place: Place, block: Block) -> None:
        self.place, self.block = place, block
        self.id = ""
        self._client: Any = None

    def open(self, kept: Mapping[str, Any]) -> None:
        """Begin the run with all parameters, or go on with it."""
        # a server that is gone is given up after seconds, not after the minutes that are the default
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        for name in ("mlflow", "alembic"):
            logging.getLogger(name).setLevel(logging.WARNING)
        known = str(kept.get("id", ""))
        if self.block.uri is None:
            self._make_file(known)
        uri = self.block.uri or f"sqlite:///{self.place.root / FILE}"
        self._client = MlflowClient(tracking_uri=uri)
        if known:
            self.id = known
            self._client.update_run(known, status="RUNNING")
        else:
            self.id = self._begin()

    def write(self, points: Sequence[Point], *, again: bool) -> None:
        """Log points in calls that hold whole steps; with `again` the server is asked what it has."""
        from mlflow.entities import Metric

        if self.block.uri is None and not (self.place.root / FILE).exists():
            raise FileNotFoundError(f"{FILE} is gone from the run folder")  # SQLite would go on in the unlinked file
        there = self._steps(points) if again else {}
        batch: list[Any] = []
        for point in points:
            if len(batch) + len(point.values) > METRICS:
                self._client.log_batch(self.id, metrics=batch)
                batch = []
            for key, value in point.values.items():
                if point.step not in there.get(key, ()):
                    batch.append(Metric(plain_name(key), value, int(point.time * 1000), point.step))
        if batch:
            self._client.log_batch(self.id, metrics=batch)

    @property
    def kept(self) -> Mapping[str, Any]:
        """The run's id."""
        return {"id": self.id}

    def close(self, *, finished: bool) -> None:
        """Mark the run as finished, or as stopped."""
        if self._client is not None and self.id:
            self._client.set_terminated(self.id, "FINISHED" if finished else "KILLED")

    def _make_file(self, known: str) -> None:
        """Make the tables, with no path of this machine in them."""
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        path = self.place.root / FILE
        if known and not path.exists():
            raise FileNotFoundError(f"{FILE} is gone from the run folder")
        if not path.exists():
            make: Callable[[str, str], object] = SqlAlchemyStore
            make(f"sqlite:///{path}", NO_ARTIFACTS)

    def _begin(self) -> str:
        from mlflow.entities import Param

        client, name = self._client, self.block.experiment or self.place.run
        found = client.get_experiment_by_name(name)
        where = NO_ARTIFACTS if self.block.uri is None else None
        experiment = client.create_experiment(name, artifact_location=where) if found is None else found.experiment_id
        tags = {"member": self.place.member, "fold": str(self.place.fold), "mlflow.source.name": "maskwright"}
        run = client.create_run(experiment, run_name=self.place.name, tags=tags, start_time=int(time.time() * 1000))
        told = [Param(key, value[:VALUE]) for key, value in leaves(self.place.config)]
        for start in range(0, len(told), PARAMS):
            client.log_batch(run.info.run_id, params=told[start : start + PARAMS])
        found_id: str = run.info.run_id
        return found_id

    def _steps(self, points: Sequence[Point]) -> dict[str, set[int]]:
        keys = {key for point in points for key in point.values}
        return {key: {one.step for one in self._client.get_metric_history(self.id, plain_name(key))} for key in keys}


def plain_name(text: str) -> str:
    """Return a name that MLflow takes: letters, digits, _, -, ., space and slash."""
    return re.sub(r"[^\w\-. /]", "_", text, flags=re.ASCII)[:250] or "_"


def leaves(plain: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Give `a.b.c` and the value's text for each leaf of plain data; lists are leaves, as JSON."""
    if isinstance(plain, Mapping) and plain:
        for key, value in plain.items():
            yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield plain_name(prefix), plain if isinstance(plain, str) else json.dumps(plain)
