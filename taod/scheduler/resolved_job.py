"""A job with what follows from its record before it starts. It is computed once and passed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runners.protocol import Runner, uses_shell
from runners.registry import Choice
from store.records import DatasetRecord, JobRecord, ModelRecord, NewJob, SweepRecord
from taod.errors import BadRequest


class ResolvedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A stored job, or one about to be stored, with its runner, merged specification, data and parents."""

    job: JobRecord | NewJob
    spec: dict[str, Any] | None
    """The job's specification merged over the defaults of its action; None: the action takes none."""
    choice: Choice
    """The runner, or why no runner can run the job here."""
    model: ModelRecord | None = None
    """None: the job belongs to a dataset."""
    datasets: Sequence[tuple[str, DatasetRecord]] = ()
    """(role, dataset) of everything that the job may read."""
    ancestors: Sequence[JobRecord | NewJob] = ()
    """The parent, its parent, and so on."""
    sweep: SweepRecord | None = None
    """Of a new job that searches for its parameters."""

    @property
    def runner(self) -> Runner:
        """Raises BadRequest where no runner can run the job here."""
        if self.choice.runner is None:
            raise BadRequest(self.choice.rejection)
        return self.choice.runner

    @property
    def may_use_shell(self) -> bool:
        """Whether the tool may pass its command line to a shell unquoted; also where no runner is known."""
        return self.choice.runner is None or uses_shell(self.choice.runner)
