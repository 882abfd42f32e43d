"""A job with everything derived from its record, computed once before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runners.protocol import Runner, uses_shell
from runners.registry import Choice
from store.records import DatasetRecord, ModelRecord, NewJob, SpecifiedJob, SweepRecord
from taod.errors import BadRequest


class ResolvedJob(msgspec.Struct, frozen=True, kw_only=True):
    """A stored or new job with its runner, merged specification, datasets and ancestors."""

    job: SpecifiedJob | NewJob
    spec: dict[str, Any] | None
    """The job's specification merged over the defaults of its action; None: the action takes none."""
    choice: Choice
    """The runner, or why there is none."""
    model: ModelRecord | None = None
    """None: the job belongs to a dataset."""
    datasets: Sequence[tuple[str, DatasetRecord]] = ()
    """(role, dataset) of each dataset that the job may read."""
    ancestors: Sequence[SpecifiedJob | NewJob] = ()
    """The parent, its parent, and so on."""
    sweep: SweepRecord | None = None
    """The sweep of a new sweep job."""

    @property
    def runner(self) -> Runner:
        """The chosen runner. Raises BadRequest if no runner can run the job."""
        if self.choice.runner is None:
            raise BadRequest(self.choice.rejection)
        return self.choice.runner

    @property
    def may_use_shell(self) -> bool:
        """Whether the tool may pass its command line to a shell unquoted; True without a runner."""
        return self.choice.runner is None or uses_shell(self.choice.runner)
