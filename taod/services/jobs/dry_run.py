"""A dry run: what a request for jobs would run, without making any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from runners.protocol import DeviceGrant, Launch, RunRequest, StartFailed
from runners.registry import RunnerRegistry
from store.records import NewJob
from taod import masking
from taod.catalogue.commands.inputs import Assembled
from taod.catalogue.schema.merge import over_default
from taod.errors import BadRequest
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.services.jobs.command_builder import Planner, command_of
from taod.services.jobs.submission import Posting
from taod.types.device import DeviceKind
from taod.types.job import JobRun
from taod.types.plan import PlannedJob


class DryRun:
    """Plans requests for jobs with the code that makes and prepares them, and keeps nothing."""

    def __init__(
        self,
        *,
        root: Root,
        runners: RunnerRegistry,
        devices: DevicePool,
        posting: Posting,
        planner: Planner,
    ) -> None:
        self._root = root
        self._runners = runners
        self._devices = devices
        self._posting = posting
        self._planner = planner

    def plan(self, user_id: str, kind: str, owner_id: str, runs: Sequence[JobRun]) -> list[PlannedJob]:
        """One entry for each action, in order. Raises BadRequest wherever posting the same request would."""
        ids = _stand_ins()
        jobs = self._posting.new_jobs(user_id, kind, owner_id, runs, lambda: next(ids), for_plan=True)
        self._posting.check_command_lines(jobs)
        planned = {job.id: job for job in jobs}
        return [self._planned(job, planned) for job in jobs]

    def _planned(self, job: NewJob, planned: dict[str, NewJob]) -> PlannedJob:
        grants = self._grants(job)
        gpus = self._planner.gpus(job) if job.site else sum(grant.kind == DeviceKind.GPU for grant in grants)
        assembled, later = self._planner.preview(job, planned, gpus)
        name, launch = self._launch(job, assembled, grants, gpus)
        has_spec = assembled.spec_path is not None and assembled.spec_text is not None
        return PlannedJob(
            id=job.id,
            network=job.network,
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
            later=later,
            waits_for=self._planner.ready(job),
            warnings=job.warnings,
        )

    def _grants(self, job: NewJob) -> list[DeviceGrant]:
        """As many devices as the job would hold, none of them named: which ones, the scheduler decides."""
        if job.site:
            return [DeviceGrant(job.site, DeviceKind.CLUSTER, 0)]
        kinds = [device.kind for device in self._devices.devices]
        kind = DeviceKind.GPU if DeviceKind.GPU in kinds else DeviceKind.CPU
        return [DeviceGrant(f"<{kind} {place}>", kind, place) for place in range(job.devices_wanted)]

    def _launch(self, job: NewJob, assembled: Assembled, grants: list[DeviceGrant], gpus: int) -> tuple[str, Launch]:
        """The runner, and what it would execute; the key in the command line is masked already.

        Without a runner the tool's own command line, as it is.
        """
        whole = None if job.spec is None else over_default(job.network, job.action, job.spec)
        choice = self._runners.choose(job.network, job.action, whole, wanted=job.asked_runner, place=job.site)
        if choice.runner is None:
            return "", Launch(assembled.argv)
        command = command_of(assembled, job.action, [], gpus)
        request = RunRequest(job.id, 1, command, str(self._root.job(job.id).path), grants)
        try:
            return choice.runner.name, choice.runner.describe(request)
        except StartFailed as error:
            raise BadRequest(f"{job.action}: {error}") from error


def _stand_ins() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f"dry-run-{number}"
