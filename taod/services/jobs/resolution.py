"""Resolves jobs: chooses the runner, merges the specification over its defaults, finds data and parents.

Submission, dry run, preflight, updates and the launch all read the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from runners.protocol import OffHostRunner, Runner, place_of
from runners.registry import Choice, RunnerRegistry
from store import Store
from store.records import ModelRecord, NewJob, SpecifiedJob, SweepRecord
from taod.catalogue.network import get_network
from taod.catalogue.releases import BASE
from taod.catalogue.schema.merge import over_default
from taod.errors import BadRequest
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.resolved_job import ResolvedJob
from taod.services.datasets.lineage import datasets_read
from taod.services.jobs.requirements import Machine, devices_wanted
from taod.types.device import DeviceKind

Spec = dict[str, Any] | None


class RunChoice(msgspec.Struct, frozen=True):
    """The runner chosen for an action, and the specification merged over the defaults."""

    spec: Spec
    choice: Choice


class Resolver:
    """Resolves jobs against the store, the runners and the devices of this daemon."""

    def __init__(self, store: Store, runners: RunnerRegistry, devices: DevicePool) -> None:
        self._store = store
        self._runners = runners
        self._devices = devices

    def choose(
        self,
        network: str,
        action: str,
        spec: Spec,
        *,
        asked_runner: str | None = None,
        site: str | None = None,
        release: str = BASE,
    ) -> RunChoice:
        """Choose the runner for an action. `site`: the queue that the job waits in already, if any."""
        merged = None if spec is None else over_default(get_network(network, release), action, spec)
        choice = self._runners.choose(
            network, action, merged, wanted=asked_runner, place=site, release=get_network(network, release).release
        )
        return RunChoice(merged, choice)

    def choose_for(self, job: SpecifiedJob | NewJob, spec: Spec) -> RunChoice:
        """Choose the runner for a job with this specification, within the queue that it waits in."""
        return self.choose(
            job.network, job.action, spec, asked_runner=job.asked_runner, site=job.site, release=job.release
        )

    def resolve(
        self,
        job: SpecifiedJob | NewJob,
        chosen: RunChoice | None = None,
        planned: Mapping[str, NewJob] = MappingProxyType({}),
        sweep: SweepRecord | None = None,
    ) -> ResolvedJob:
        """The job with its runner, specification, model, datasets and ancestors.

        `chosen`: the runner if already chosen. `planned`: id → job of the same request, as candidates for parents.
        Raises BadRequest if the job's model was deleted.
        """
        if chosen is None:
            chosen = self.choose_for(job, job.spec)
        return ResolvedJob(
            job=job,
            spec=chosen.spec,
            choice=chosen.choice,
            model=self._model(job),
            datasets=datasets_read(self._store, job.user_id, job.owner_kind, job.owner_id),
            ancestors=list(self._ancestors(job, planned)),
            sweep=sweep,
        )

    def placement(self, action: str, chosen: RunChoice) -> tuple[int, str]:
        """Number of devices for a job, and the site of its queue (empty: this machine).

        Raises BadRequest if no runner can run it, or its specification asks for more devices than there are.
        """
        runner = self._offered(chosen.choice)
        if isinstance(runner, OffHostRunner):
            # The cluster allocates its own GPUs: the job takes one slot, the number of GPUs is only validated.
            devices_wanted(action, chosen.spec, Machine(gpus=runner.gpus, cpu_slots=1))
            return 1, place_of(runner)
        return devices_wanted(action, chosen.spec, self.machine), ""

    @property
    def machine(self) -> Machine:
        """The devices available to one run on this machine: one MIG instance, or all whole GPUs."""
        devices = self._devices.devices
        gpus = [device for device in devices if device.kind is DeviceKind.GPU]
        most = max(sum(device.parent is None for device in gpus), min(len(gpus), 1))
        return Machine(gpus=most, cpu_slots=sum(device.kind is DeviceKind.CPU for device in devices))

    def _offered(self, choice: Choice) -> Runner:
        if choice.runner is None:
            raise BadRequest(choice.rejection)
        if place_of(choice.runner) not in {"", *(device.id for device in self._devices.devices)}:
            raise BadRequest(
                f"runner = {choice.runner.name!r}: its runs need slots that are not offered; "
                "name it in runner.order or in a runner.rule"
            )
        return choice.runner

    def _model(self, job: SpecifiedJob | NewJob) -> ModelRecord | None:
        if job.owner_kind != "model":
            return None
        model = self._store.models.get(job.user_id, job.owner_id)
        if model is None:
            raise BadRequest(f"the model of job {job.id} was deleted")
        return model

    def _ancestors(self, job: SpecifiedJob | NewJob, planned: Mapping[str, NewJob]) -> Iterator[SpecifiedJob | NewJob]:
        parent_id = job.parent_id
        while parent_id is not None:
            parent = planned[parent_id] if parent_id in planned else self._store.jobs.specified(parent_id)
            if parent is None:
                return
            yield parent
            parent_id = parent.parent_id
