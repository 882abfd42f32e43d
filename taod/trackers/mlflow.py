"""MLflow: an experiment for each model or dataset, a run for each job; trials are children of their sweep's run."""

from __future__ import annotations

import hashlib
import math
import os
import posixpath
import re
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

# No requests of the library's own, and errors of a server in seconds instead of minutes: the daemon tries again.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1"}
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")

from mlflow.entities import Metric, Param, RunTag, ViewType
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from taod.clock import seconds_of
from taod.trackers.run import Run, about, flat, folder_name, points, specification
from taod.types.state import State

JOB, OWNER = "taod.job", "taod.owner"
"""Tags by which runs and experiments are found."""
STATUSES = {State.DONE: "FINISHED", State.FAILED: "FAILED", State.CANCELLED: "KILLED", State.PAUSED: "SCHEDULED"}
METRICS_AT_ONCE, PARAMS_AT_ONCE = 500, 100
LONGEST_PARAM, LONGEST_TAG, LONGEST_NAME = 500, 5000, 200
OF_THE_REQUEST = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_ALREADY_EXISTS", "REQUEST_LIMIT_EXCEEDED"}
"""Errors that concern one run; any other one concerns the server."""
_UNUSUAL = re.compile(r"[^\w./ -]+", re.ASCII)

T = TypeVar("T")
Values = dict[str, dict[int, float]]


class MLflow:
    """Writes to a tracking server or its database. What it has of a run is asked once for each process."""

    def __init__(self, uri: str) -> None:
        try:
            self._client = MlflowClient(uri)
        except MlflowException as error:
            raise OSError(str(error)) from error
        self._runs: dict[str, str | None] = {}
        """Job → its run; None if a user has deleted that."""
        self._values: dict[str, Values] = {}
        """Run → what MLflow has of its metrics."""

    def write(self, run: Run) -> None:
        """Bring MLflow's run up to date. Raises OSError if the server cannot be reached or has an error."""
        try:
            self._write(run)
        except MlflowException as error:
            self._runs.clear()
            if error.error_code in OF_THE_REQUEST:
                raise
            raise OSError(str(error)) from error

    def _write(self, run: Run) -> None:
        run_id = self._run(run, run.id, run.action)
        if run_id is None:
            return
        # After an error it is asked again: MLflow may have taken a part, or all without an answer.
        known = self._values.pop(run_id, None) or self._begin(run, run_id)
        at_ms = int((time.time() if run.ended_at is None else seconds_of(run.ended_at)) * 1000)
        missing = [
            Metric(name, value, at_ms, step)
            for name, values in sorted(_final(run).items())
            for step, value in sorted(values.items())
            if not _same(known.get(name, {}).get(step), value)
        ]
        for some in _parts(missing, METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=some)
            for each in some:
                known.setdefault(each.key, {})[each.step] = each.value
        if run.complete:
            tags = [RunTag(f"taod.{_name(name)}", value[:LONGEST_TAG]) for name, value in about(run).items()]
            for few in _parts(tags, PARAMS_AT_ONCE):
                self._client.log_batch(run_id, tags=few)
            status = STATUSES[State(run.state)]
            if run.state == State.PAUSED:
                self._client.update_run(run_id, status)
            else:
                self._client.set_terminated(run_id, status, at_ms)
            del self._runs[run.id]
        else:
            self._values[run_id] = known

    def _begin(self, run: Run, run_id: str) -> Values:
        """Add the parameters that MLflow lacks. Returns the values that it has."""
        found = self._client.get_run(run_id).data
        wanted = {_name(path): str(value)[:LONGEST_PARAM] for path, value in flat(specification(run))}
        params = [Param(name, value) for name, value in wanted.items() if name not in found.params]
        for some in _parts(params, PARAMS_AT_ONCE):
            self._client.log_batch(run_id, params=some)
        if not run.complete:
            self._client.update_run(run_id, "RUNNING")
        values: Values = {}
        for name in found.metrics:
            for each in sorted(self._client.get_metric_history(run_id, name), key=lambda one: one.timestamp):
                values.setdefault(name, {})[each.step] = each.value
        return values

    def _run(self, run: Run, job_id: str, action: str) -> str | None:
        """The run of a job, which is created if there is none; None if a user has deleted it."""
        if job_id in self._runs:
            return self._runs[job_id]
        experiment = self._experiment(run)
        found = self._client.search_runs([experiment], f"tags.`{JOB}` = '{job_id}'", ViewType.ALL, max_results=1)
        if found:
            run_id = found[0].info.run_id if found[0].info.lifecycle_stage == "active" else None
        else:
            tags = {JOB: job_id, "taod.network": run.network, "taod.action": action}
            name = f"{action}-{job_id[:8]}"
            if job_id == run.id and run.sweep_id is not None:
                parent = self._run(run, run.sweep_id, run.sweep_action or action)
                tags |= {} if parent is None else {"mlflow.parentRunId": parent}
                name = f"trial-{run.trial:03d}-{job_id[:8]}"
            start_ms = int(seconds_of(run.started_at or run.created_on) * 1000)
            run_id = self._client.create_run(experiment, start_ms, tags, name).info.run_id
        self._runs[job_id] = run_id
        return run_id

    def _experiment(self, run: Run) -> str:
        wanted = f"tags.`{OWNER}` = '{run.owner_id}'"
        if found := self._client.search_experiments(ViewType.ALL, 1, wanted):
            return str(found[0].experiment_id)
        name = folder_name(run.owner_name, run.owner_id)
        return str(self._client.create_experiment(name, tags={OWNER: run.owner_id}))


def _final(run: Run) -> Values:
    """Values that change no more: MLflow replaces none, so of a run that lasts the last of each metric waits."""
    return {
        _name(name): {
            step: math.nan if value is None else value
            for step, value in values.items()
            if run.complete or step < max(values)
        }
        for name, values in points(run).items()
    }


def _name(text: str) -> str:
    """A name that MLflow takes; one that had to be changed stays distinct."""
    name = _UNUSUAL.sub("_", text)[:LONGEST_NAME]
    if posixpath.normpath(name) != name or name.startswith((".", "/")):
        name = re.sub(r"[./]+", "_", name)
    return name if name == text else f"{name}-{hashlib.blake2b(text.encode(), digest_size=3).hexdigest()}"


def _same(known: float | None, value: float) -> bool:
    return known is not None and (known == value or (math.isnan(known) and math.isnan(value)))


def _parts(items: Iterable[T], most: int) -> Iterator[list[T]]:
    left = iter(items)
    while part := list(islice(left, most)):
        yield part
