"""Posting jobs: every check that can already be made, then all jobs of a request in one transaction, or none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from runners.protocol import Elsewhere, Runner, place_of, uses_shell
from runners.registry import Choice, RunnerRegistry
from store import Store
from store.records import JobRecord, NewJob, SweepRecord
from taod.automl.builder import design
from taod.automl.space import GROUP
from taod.catalogue import Catalogue, Network
from taod.catalogue.schema.merge import over_default
from taod.config import AutomlConfig, SchedulerConfig
from taod.errors import BadRequest, NotFound
from taod.ids import is_id, new_id
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.policy.wait_reasons import FOR_PARENT
from taod.scheduler.scheduler import Scheduler
from taod.services.jobs.command_builder import Planner
from taod.services.jobs.job_owner import Owner, Owners
from taod.services.jobs.parent_selection import Link, choose_parent
from taod.services.jobs.preflight_facts import Preflight
from taod.services.jobs.requirements import EVALUATIONS, Machine, check_datasets, devices_wanted
from taod.services.jobs.spec_service import Saved, Specs
from taod.services.models.model_service import KIND as MODEL
from taod.services.publisher import Announcer
from taod.types.device import DeviceKind
from taod.types.job import JobRun
from taod.types.state import State
from taod.types.warning import Warning, WarningCode
from taod.types.warning_text import text

TRAIN = "train"
_KEPT = frozenset(
    {
        WarningCode.CHECKPOINT_INCOMPLETE,
        WarningCode.LINK_CHANGED,
        WarningCode.LINK_UNREADABLE,
        WarningCode.RECORDED,
        WarningCode.STALLED,
        WarningCode.STATUS_LINES,
    }
)
"""Warnings that do not depend on a job's specification."""


class Posting:
    """Makes jobs of a model's or a dataset's actions."""

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
        planner: Planner,
        announcer: Announcer,
        preflight: Preflight,
        config: SchedulerConfig,
        automl: AutomlConfig | None = None,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._runners = runners
        self._devices = devices
        self._scheduler = scheduler
        self._owners = owners
        self._specs = specs
        self._planner = planner
        self._announcer = announcer
        self._preflight = preflight
        self._config = config
        self._automl = automl if automl is not None else AutomlConfig()

    def post(
        self, user_id: str, kind: str, owner_id: str, runs: Sequence[JobRun], noticed: Sequence[Warning] = ()
    ) -> list[str]:
        """Make one job for each action, in order, and wake the scheduler; returns their ids.

        `noticed` are warnings about what the jobs will read; they go into their histories.

        Raises BadRequest for the first thing that cannot be done as asked; then no job is made.
        """
        new = self.new_jobs(user_id, kind, owner_id, runs)
        self.check_command_lines(new)
        for job in new:
            job.warnings = [*job.warnings, *noticed]
        with self._store.lasting():
            records = self._store.jobs.add(new)
            for record in records:
                if record.devices_wanted == 0:
                    self._store.sweeps.add(self._design(user_id, record))
                for warning in record.warnings:
                    self._store.jobs.note(record.id, text(warning))
        for record in records:
            self._announcer.job(record)
        self._scheduler.wake()
        return [record.id for record in records]

    def new_jobs(
        self,
        user_id: str,
        kind: str,
        owner_id: str,
        runs: Sequence[JobRun],
        make_id: Callable[[], str] = new_id,
        *,
        for_plan: bool = False,
    ) -> list[NewJob]:
        """The jobs that `post` would create, none of them created. Raises as it does.

        `for_plan`: a job that no runner can run here gets a warning instead of being rejected.
        """
        owner = self._owners.writable(user_id, kind, owner_id)
        if not runs or not all(run.actions for run in runs):
            raise BadRequest('actions: name at least one, as in {"job": null, "actions": ["train"]}')
        jobs = [job for run in runs for job in self._chain(user_id, owner, run, make_id, for_plan)]
        self._check_room(user_id, len(jobs))
        planned = {job.id: job for job in jobs}
        for job in jobs:
            job.warnings = [*job.warnings, *self._preflight.warnings(job, planned)]
        return jobs

    def check_command_lines(self, jobs: Sequence[NewJob]) -> None:
        """Raises BadRequest for a value that the entry point of a job's tool would hand to a shell unquoted."""
        planned = {job.id: job for job in jobs}
        for job in jobs:
            if why := self._planner.shell_refusal(job, planned):
                whole = None if job.spec is None else over_default(job.network, job.action, job.spec)
                runner = self._runners.choose(job.network, job.action, whole, wanted=job.asked_runner).runner
                if runner is None or uses_shell(runner):
                    raise BadRequest(f"{job.action}: {why}")

    def _check_room(self, user_id: str, more: int) -> None:
        most = self._config.max_queued_per_user
        have = self._store.queue.pending_of(user_id) if most else 0
        if most and have + more > most:
            raise BadRequest(
                f"actions: {more} more would make {have + more} jobs of yours that have not started, and "
                f"scheduler.max_queued_per_user = {most} allows {most}; wait until some have, or cancel some"
            )

    def _chain(
        self, user_id: str, owner: Owner, run: JobRun, make_id: Callable[[], str], for_plan: bool
    ) -> list[NewJob]:
        """The jobs of one entry; its actions follow each other."""
        network = self._catalogue.network(owner.network)
        assert network is not None
        given = self._given(owner, run.job)
        self._check_asked(user_id, run.runner)
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
            job = self._job(make_id(), user_id, owner, network, action, parent, run.runner, for_plan)
            jobs.append(job)
            earlier.append(Link(job.id, action))
        return jobs

    def _job(
        self,
        job_id: str,
        user_id: str,
        owner: Owner,
        network: Network,
        action: str,
        parent: Link | None,
        asked_runner: str | None,
        for_plan: bool,
    ) -> NewJob:
        model = owner.model
        if model is not None:
            check_datasets(model, action)
            if parent is None or action == TRAIN:
                self._check_weights(user_id, model.ptm)
        spec = self._specs.for_job(owner, action) if self._specs.takes_spec(owner, action) else None
        whole = None if spec is None else over_default(owner.network, action, spec.document)
        document = None if spec is None else spec.document
        warnings = [] if spec is None else spec.warnings
        choice = self._runners.choose(owner.network, action, whole, wanted=asked_runner)
        if choice.runner is None and for_plan:
            wanted, site = devices_wanted(action, whole, self._machine()), ""
            warnings = [*warnings, Warning(WarningCode.NO_RUNNER, "", {"text": choice.reason}, choice.remedy)]
        else:
            runner = self._offered(choice)
            wanted, site = self._devices_wanted(runner, action, whole), place_of(runner)
        if spec is not None and model is not None and action == TRAIN:
            if model.automl_enabled:
                sweep = design(
                    job_id, model, spec.document, saved=spec.saved, devices=wanted, config=self._automl, site=site
                )
                document = sweep.base
                warnings = [*warnings, *(Warning(WarningCode.NOT_SEARCHED, "", {"text": note}) for note in sweep.notes)]
                # The sweep itself holds no device; its trials do.
                wanted = 0
            elif GROUP in spec.document:
                document = {name: group for name, group in spec.document.items() if name != GROUP}
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
            spec=document,
            warnings=warnings,
            site=site if wanted else "",
            asked_runner=asked_runner,
        )

    def _design(self, user_id: str, job: JobRecord) -> SweepRecord:
        """The sweep of a job that was found good a moment ago."""
        owner = self._owners.writable(user_id, job.owner_kind, job.owner_id)
        assert owner.model is not None
        spec = self._specs.for_job(owner, job.action)
        whole = over_default(owner.network, job.action, spec.document)
        runner = self._runner(owner, job.action, whole, job.asked_runner)
        wanted, site = self._devices_wanted(runner, job.action, whole), place_of(runner)
        return design(
            job.id, owner.model, spec.document, saved=spec.saved, devices=wanted, config=self._automl, site=site
        )

    def check_spec(self, owner: Owner, job: JobRecord, document: dict[str, Any]) -> tuple[Saved, int]:
        """Check a new spec for a job that waits as if it were posted; what is kept of it, and the devices it wants."""
        saved = self._specs.check_for_job(owner, job.action, document)
        document = saved.document
        whole = over_default(owner.network, job.action, document)
        runner = self._runner(owner, job.action, whole, job.asked_runner, job.site)
        wanted = self._devices_wanted(runner, job.action, whole)
        changed = msgspec.structs.replace(job, spec=document, devices_wanted=wanted)
        kept = [warning for warning in job.warnings if warning.code in _KEPT]
        return Saved(document, [*saved.warnings, *self._preflight.warnings(changed), *kept]), wanted

    def check_devices(self, owner: Owner, action: str, spec: dict[str, Any] | None, wanted: int) -> int:
        """How many devices a job is to take, where that is no more than its spec asks for. Raises BadRequest."""
        whole = None if spec is None else over_default(owner.network, action, spec)
        most = devices_wanted(action, whole, self._machine())
        if wanted > most:
            asks = "its spec asks for" if most > 1 else f"a run of {action} takes"
            raise BadRequest(
                f"devices_wanted = {wanted}: {asks} {most}; send {most} or less, or a spec that asks for more"
            )
        return wanted

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

    def _check_asked(self, user_id: str, name: str | None) -> None:
        """Naming a runner goes around what the machine's owner has configured: only they may."""
        if name is None:
            return
        if user_id != self._store.users.first():
            raise BadRequest(f"runner = {name!r}: only the first user of this root may choose a runner; leave it out")
        if name not in self._runners.names():
            raise BadRequest(
                f"runner = {name!r}: there is no such runner; there are {', '.join(self._runners.names())}"
            )

    def _runner(
        self, owner: Owner, action: str, spec: dict[str, Any] | None, asked: str | None, site: str | None = None
    ) -> Runner:
        return self._offered(self._runners.choose(owner.network, action, spec, wanted=asked, place=site))

    def _offered(self, choice: Choice) -> Runner:
        """The chosen runner. Raises BadRequest where there is none, or where its slots are not offered."""
        if choice.runner is None:
            raise BadRequest(choice.refusal)
        if place_of(choice.runner) not in {"", *(device.id for device in self._devices.devices)}:
            raise BadRequest(
                f"runner = {choice.runner.name!r}: its runs need slots that are not offered; "
                "name it in runner.order or in a runner.rule"
            )
        return choice.runner

    def _devices_wanted(self, runner: Runner, action: str, spec: dict[str, Any] | None) -> int:
        if isinstance(runner, Elsewhere):
            # Its GPUs are the cluster's matter; that there may be as many is checked here.
            devices_wanted(action, spec, Machine(gpus=runner.gpus, cpu_slots=1))
            return 1
        return devices_wanted(action, spec, self._machine())

    def _machine(self) -> Machine:
        devices = self._devices.devices
        gpus = [device for device in devices if device.kind is DeviceKind.GPU]
        # A run can use one MIG instance, or whole GPUs.
        most = max(sum(device.parent is None for device in gpus), min(len(gpus), 1))
        return Machine(gpus=most, cpu_slots=sum(device.kind is DeviceKind.CPU for device in devices))

    def _first_state(self, parent: Link | None) -> tuple[State, str]:
        if parent is None:
            return State.WAITING, "waits for the scheduler"
        return State.WAITING, f"{FOR_PARENT}{parent.action} {parent.id[:8]}"

    def _metric(self, owner: Owner, network: Network) -> str | None:
        if owner.kind == MODEL and owner.model is not None and owner.model.metric != "kpi":
            return owner.model.metric
        return network.metric
