"""Dry runs: the jobs that a request would create, with their commands."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from runners.protocol import DeviceGrant, Launch, RunRequest, StartFailed
from store.records import JobRecord, NewJob
from taod import masking
from taod.catalogue.commands.inputs import Assembled
from taod.errors import BadRequest
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.resolved_job import ResolvedJob
from taod.services.jobs.command_builder import CommandBuilder, command_of
from taod.services.jobs.submission import Submission
from taod.types.common import OwnerKind
from taod.types.device import DeviceKind
from taod.types.job import JobRun
from taod.types.plan import PlannedJob
from taod.types.reason_text import data_text

MOST_TEXT = 16 << 20
"""Characters of all specifications in one answer."""


class DryRun:
    """Plans requests with the code that creates and prepares jobs, and stores nothing."""

    def __init__(self, *, root: Root, devices: DevicePool, submission: Submission, commands: CommandBuilder) -> None:
        self._root = root
        self._devices = devices
        self._submission = submission
        self._commands = commands

    def plan(self, user_id: str, kind: OwnerKind, owner_id: str, runs: Sequence[JobRun]) -> list[PlannedJob]:
        """One entry per action, in order; for `Snapshots.run`. Raises BadRequest if POST of the same request would."""
        ids = (f"dry-run-{number}" for number in itertools.count(1))
        jobs = self._submission.resolve(user_id, kind, owner_id, runs, lambda: next(ids), for_plan=True)
        self._submission.check_command_lines(jobs)
        planned: list[PlannedJob] = []
        for resolved in jobs:
            planned.append(self._planned(resolved))
            if sum(len(each.spec_text or "") for each in planned) > MOST_TEXT:
                raise BadRequest(f"actions: the specifications of {len(jobs)} are too long; plan fewer at once")
        return planned

    def _planned(self, resolved: ResolvedJob) -> PlannedJob:
        job = resolved.job
        grants = self._grants(job)
        gpus = self._commands.gpus(resolved) if job.site else sum(grant.kind == DeviceKind.GPU for grant in grants)
        assembled, pending = self._commands.preview(resolved, gpus)
        name, launch = self._launch(resolved, assembled, grants, gpus)
        has_spec = assembled.spec_path is not None and assembled.spec_text is not None
        unready = self._commands.unready(job)
        return PlannedJob(
            id=job.id,
            network=job.network,
            release=job.release,
            action=job.action,
            parent_id=job.parent_id,
            runner=name,
            image=assembled.image,
            devices_wanted=job.devices_wanted,
            argv=assembled.argv,
            executes=launch.argv,
            environment=masking.environment(launch.environment),
            reads=[str(path) for path in assembled.reads],
            spec_path=str(assembled.spec_path) if has_spec else None,
            spec_format=assembled.spec_path.suffix.lstrip(".") if has_spec and assembled.spec_path else None,
            spec_text=assembled.spec_text,
            later=pending,
            waits_for=None if unready is None else data_text(unready),
            warnings=job.warnings,
        )

    def _grants(self, job: JobRecord | NewJob) -> list[DeviceGrant]:
        """Placeholders for the devices that the job would hold; the scheduler chooses them."""
        if job.site:
            return [DeviceGrant(job.site, DeviceKind.CLUSTER, 0)]
        kinds = [device.kind for device in self._devices.devices]
        kind = DeviceKind.GPU if DeviceKind.GPU in kinds else DeviceKind.CPU
        return [DeviceGrant(f"<{kind} {index}>", kind, index) for index in range(job.devices_wanted)]

    def _launch(
        self, resolved: ResolvedJob, assembled: Assembled, grants: list[DeviceGrant], gpus: int
    ) -> tuple[str, Launch]:
        """Name of the runner and what it would execute; without a runner, the tool's own command line."""
        job, runner = resolved.job, resolved.choice.runner
        if runner is None:
            return "", Launch(assembled.argv)
        command = command_of(assembled, job, [], gpus)
        request = RunRequest(job.id, 1, command, str(self._root.job(job.id).path), grants)
        try:
            return runner.name, runner.describe(request)
        except StartFailed as error:
            raise BadRequest(f"{job.action}: {error}") from error
