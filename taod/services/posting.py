"""Posting jobs: every check that can already be made, then all jobs of a request in one transaction, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from runners.registry import RunnerRegistry
from store import Store
from store.records import NewJob
from taod.catalogue import Catalogue, Network
from taod.catalogue.merge import default, merge
from taod.errors import BadRequest, NotFound
from taod.ids import is_id, new_id
from taod.scheduler.devices import DevicePool
from taod.scheduler.policy import FOR_PARENT
from taod.scheduler.scheduler import Scheduler
from taod.services.announce import Announcer
from taod.services.chains import Link, choose_parent
from taod.services.models import KIND as MODEL
from taod.services.needs import EVALUATIONS, Machine, check_datasets, devices_wanted
from taod.services.owner import Owner, Owners
from taod.services.specs import Saved, Specs
from taod.types.device import DeviceKind
from taod.types.job import JobRun
from taod.types.state import State

TRAIN = "train"


class Posting:
    """Makes jobs of a model's or a data set's actions."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        runners: RunnerRegistry,
        devices: DevicePool,
        scheduler: Scheduler,
        owners: Owners,
        specs: Specs,
        announcer: Announcer,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._runners = runners
        self._devices = devices
        self._scheduler = scheduler
        self._owners = owners
        self._specs = specs
        self._announcer = announcer

    def post(self, user_id: str, kind: str, owner_id: str, runs: Sequence[JobRun]) -> list[str]:
        """Make one job for each action, in order, and wake the scheduler; returns their ids.

        Raises BadRequest for the first thing that cannot be done as asked; then no job is made.
        """
        new = self.new_jobs(user_id, kind, owner_id, runs)
        with self._store.lasting():
            records = self._store.jobs.add(new)
            for record in records:
                for warning in record.warnings:
                    self._store.jobs.note(record.id, warning)
        for record in records:
            self._announcer.job(record)
        self._scheduler.wake()
        return [record.id for record in records]

    def new_jobs(
        self, user_id: str, kind: str, owner_id: str, runs: Sequence[JobRun], make_id: Callable[[], str] = new_id
    ) -> list[NewJob]:
        """The jobs that `post` would make, none of them made. Raises as it does."""
        owner = self._owners.writable(user_id, kind, owner_id)
        if not runs or not all(run.actions for run in runs):
            raise BadRequest('actions: name at least one, as in {"job": null, "actions": ["train"]}')
        return [job for run in runs for job in self._chain(user_id, owner, run, make_id)]

    def _chain(self, user_id: str, owner: Owner, run: JobRun, make_id: Callable[[], str]) -> list[NewJob]:
        """The jobs of one entry; its actions follow each other."""
        network = self._catalogue.network(owner.network)
        assert network is not None
        given = self._given(owner, run.job)
        earlier: list[Link] = []
        jobs: list[NewJob] = []
        for action in run.actions:
            self._check_action(owner, action)
            parent = choose_parent(
                network,
                action,
                earlier=earlier,
                given=given,
                existing=[] if given else self._existing(owner, network.may_follow(action)),
                must_have=action in EVALUATIONS and owner.model is not None and not owner.model.ptm,
            )
            job = self._job(make_id(), user_id, owner, network, action, parent)
            jobs.append(job)
            earlier.append(Link(job.id, action))
        return jobs

    def _job(
        self, job_id: str, user_id: str, owner: Owner, network: Network, action: str, parent: Link | None
    ) -> NewJob:
        model = owner.model
        if model is not None:
            check_datasets(model, action)
            if parent is None or action == TRAIN:
                self._check_weights(user_id, model.ptm)
        spec = self._specs.for_job(owner, action) if self._specs.takes_spec(owner, action) else None
        whole = None if spec is None else merge(default(owner.network, action), spec.document)
        wanted = devices_wanted(action, whole, self._machine())
        self._check_runner(owner, action, whole)
        state, reason = self._first_state(parent)
        return NewJob(
            id=job_id,
            user_id=user_id,
            owner_kind=owner.kind,
            owner_id=owner.id,
            network=owner.network,
            action=action,
            parent_id=None if parent is None else parent.id,
            state=state,
            reason=reason,
            devices_wanted=wanted,
            metric=self._metric(owner, network),
            spec=None if spec is None else spec.document,
            warnings=[] if spec is None else spec.warnings,
        )

    def check_spec(self, owner: Owner, action: str, document: dict[str, Any]) -> tuple[Saved, int]:
        """A new spec for a job that waits: checked as if it were posted; with the devices that it now wants."""
        saved = self._specs.check_for_job(owner, action, document)
        whole = merge(default(owner.network, action), document)
        wanted = devices_wanted(action, whole, self._machine())
        self._check_runner(owner, action, whole)
        return saved, wanted

    def _given(self, owner: Owner, job_id: str | None) -> Link | None:
        """The job that the client named as parent."""
        if job_id is None:
            return None
        job = self._store.jobs.owned(owner.kind, owner.id, job_id.lower()) if is_id(job_id) else None
        if job is None:
            raise BadRequest(f"job {job_id!r} cannot be the parent: {owner.kind} {owner.name!r} has no such job")
        if job.state in (State.FAILED, State.CANCELLED):
            raise BadRequest(
                f"job {job.id} ({job.action}) cannot be the parent: it is {job.state} ({job.reason}); "
                "resume it, or name another one"
            )
        return Link(job.id, job.action)

    def _existing(self, owner: Owner, actions: list[str]) -> list[Link]:
        """The owner's newest job of these actions that can be a parent, if there is one."""
        newest = self._store.jobs.newest(owner.kind, owner.id, actions, but=(State.FAILED, State.CANCELLED))
        return [] if newest is None else [Link(*newest)]

    def _check_action(self, owner: Owner, action: str) -> None:
        try:
            self._owners.check_action(owner, action)
        except NotFound as error:
            raise BadRequest(f"actions: {error.description}") from error
        if action == TRAIN and owner.model is not None and owner.model.automl_enabled:
            raise BadRequest(
                f"model {owner.name!r} has automl_enabled set, and this server runs no AutoML sweeps yet; "
                "set automl_enabled to false to train with one specification"
            )

    def _check_weights(self, user_id: str, ptm: list[str]) -> None:
        weights = self._store.models.weights(user_id) if ptm else {}
        for model_id in ptm:
            record = self._store.models.get(user_id, model_id)
            if record is not None and model_id not in weights:
                entry = msgspec.json.encode(
                    {"path": "<file or folder>", "network_arch": record.network_arch, "ngc_path": record.ngc_path}
                ).decode()
                raise BadRequest(
                    f"ptm {record.ngc_path or record.name!r} has no weights on this machine; register them by "
                    f"POST …/ptm {entry}, or set ptm to [] to start without"
                )

    def _check_runner(self, owner: Owner, action: str, spec: dict[str, Any] | None) -> None:
        choice = self._runners.choose(owner.network, action, spec)
        if choice.runner is None:
            raise BadRequest(choice.refusal)

    def _machine(self) -> Machine:
        kinds = [device.kind for device in self._devices.devices]
        return Machine(gpus=kinds.count(DeviceKind.GPU), cpu_slots=kinds.count(DeviceKind.CPU))

    def _first_state(self, parent: Link | None) -> tuple[State, str]:
        if parent is None:
            return State.WAITING, "waits for the scheduler"
        return State.WAITING, f"{FOR_PARENT}{parent.action} {parent.id[:8]}"

    def _metric(self, owner: Owner, network: Network) -> str | None:
        if owner.kind == MODEL and owner.model is not None and owner.model.metric != "kpi":
            return owner.model.metric
        return network.metric
