"""Submits jobs: validates a request, then creates all of its jobs in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import msgspec

from runners.protocol import Runner, uses_shell
from runners.registry import RunnerRegistry
from store import Store
from store.records import ModelRecord, NewJob, SweepRecord
from taod.automl.builder import build_sweep
from taod.automl.space import without_search
from taod.catalogue import Catalogue, Network
from taod.catalogue.commands.assemble import takes_key
from taod.config import AutomlConfig, SchedulerConfig
from taod.errors import BadRequest, NotFound
from taod.ids import is_id, new_id
from taod.scheduler.resolved_job import ResolvedJob
from taod.scheduler.scheduler import Scheduler
from taod.services.jobs.command_builder import CommandBuilder
from taod.services.jobs.job_owner import Owner, Owners
from taod.services.jobs.parent_selection import Link, choose_parent
from taod.services.jobs.preflight_facts import Preflight
from taod.services.jobs.requirements import EVALUATIONS, check_datasets, devices_wanted
from taod.services.jobs.resolution import Resolver
from taod.services.jobs.spec_service import Specs
from taod.services.snapshots import Snapshots
from taod.services.users import require_first
from taod.telemetry.publisher import Publisher
from taod.types.common import MODEL, OwnerKind
from taod.types.job import JobKind, JobRun
from taod.types.model import DEFAULT_KEY
from taod.types.reason import POSTED, noted, waits_for_parent
from taod.types.state import State
from taod.types.warning import Warning, WarningCode

TRAIN = "train"
MOST_JOBS = 100
"""Jobs that one request may create."""
MOST_SPEC_BYTES = 4 << 20
"""Of the specifications of several jobs of one request, which are stored in one transaction."""
NO_PARENT = (State.FAILED, State.CANCELLED)
"""States of jobs that no new job can follow."""


class Submission:
    """Creates jobs from the actions of a model or a dataset."""

    def __init__(
        self,
        *,
        store: Store,
        catalogue: Catalogue,
        runners: RunnerRegistry,
        scheduler: Scheduler,
        owners: Owners,
        specs: Specs,
        resolver: Resolver,
        commands: CommandBuilder,
        publisher: Publisher,
        preflight: Preflight,
        snapshots: Snapshots,
        config: SchedulerConfig,
        automl: AutomlConfig,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._runners = runners
        self._scheduler = scheduler
        self._owners = owners
        self._specs = specs
        self._resolver = resolver
        self._commands = commands
        self._publisher = publisher
        self._preflight = preflight
        self._snapshots = snapshots
        self._config = config
        self._automl = automl

    async def post(
        self,
        user_id: str,
        kind: OwnerKind,
        owner_id: str,
        runs: Sequence[JobRun],
        data_warnings: Sequence[Warning] = (),
    ) -> list[str]:
        """Create one job per action, in order, and wake the scheduler. Returns their ids.

        `data_warnings`: warnings about the jobs' data, which are added to the jobs and their histories.
        Raises BadRequest for the first fault of the request; then no job is created.
        """
        while True:
            owner = self._owners.writable(user_id, kind, owner_id)
            new = await self._snapshots.run(user_id, self._checked, user_id, kind, owner_id, runs)
            self._check_queue_limit(user_id, len(new))
            if self._owners.writable(user_id, kind, owner_id) == owner and self._have_parents(new):
                break  # else it was changed meanwhile
        for resolved in new:
            resolved.job.warnings = [*resolved.job.warnings, *data_warnings]
        with self._store.durable():
            records = self._store.jobs.add([_new(resolved) for resolved in new])
            for resolved, record in zip(new, records, strict=True):
                if resolved.sweep is not None:
                    self._store.sweeps.add(resolved.sweep)
                self._store.jobs.note_all((record.id, noted(warning)) for warning in record.warnings)
        for record in records:
            self._publisher.job(record)
        self._scheduler.wake()
        return [record.id for record in records]

    def _checked(self, user_id: str, kind: OwnerKind, owner_id: str, runs: Sequence[JobRun]) -> list[ResolvedJob]:
        """The jobs that a request creates, with command lines that their tools can take."""
        new = self.resolve(user_id, kind, owner_id, runs)
        self.check_command_lines(new)
        size = sum(len(msgspec.json.encode(resolved.job.spec)) for resolved in new)
        if len(new) > 1 and size > MOST_SPEC_BYTES:
            raise BadRequest(
                f"actions: the specifications of {len(new)} jobs have {size} bytes, and {MOST_SPEC_BYTES} are allowed "
                "in one request; send several requests"
            )
        return new

    def _have_parents(self, new: Sequence[ResolvedJob]) -> bool:
        """Whether the earlier jobs that new ones follow can still be parents."""
        ids = {resolved.job.id for resolved in new}
        earlier = {parent for resolved in new if (parent := resolved.job.parent_id) is not None} - ids
        found = self._store.jobs.named(earlier)
        return all(job_id in found and found[job_id].state not in NO_PARENT for job_id in earlier)

    def resolve(
        self,
        user_id: str,
        kind: OwnerKind,
        owner_id: str,
        runs: Sequence[JobRun],
        make_id: Callable[[], str] = new_id,
        *,
        for_plan: bool = False,
    ) -> list[ResolvedJob]:
        """The jobs that `post` would create, without storing them. Raises as `post`.

        `for_plan`: a job without a runner gets a warning instead of being rejected.
        """
        owner = self._owners.writable(user_id, kind, owner_id)
        if not runs or not all(run.actions for run in runs):
            raise BadRequest('actions: name at least one, as in {"job": null, "actions": ["train"]}')
        if (count := sum(len(run.actions) for run in runs)) > MOST_JOBS:
            raise BadRequest(f"actions: {count} in one request, and {MOST_JOBS} are allowed; send several requests")
        jobs: list[ResolvedJob] = []
        for run in runs:
            jobs += self._chain(user_id, owner, run, make_id, for_plan)
        self._check_queue_limit(user_id, len(jobs))
        for resolved in jobs:
            resolved.job.warnings = [*resolved.job.warnings, *self._preflight.warnings(resolved, jobs)]
        return jobs

    def check_command_lines(self, jobs: Sequence[ResolvedJob]) -> None:
        """Raise BadRequest for a value that the entry point of a job's tool would pass to a shell unquoted."""
        for resolved in jobs:
            if resolved.may_use_shell and (fault := self._commands.shell_fault(resolved)):
                raise BadRequest(f"{resolved.job.action}: {fault}")

    def _check_queue_limit(self, user_id: str, more: int) -> None:
        most = self._config.max_queued_per_user
        have = self._store.queue.pending_of(user_id) if most else 0
        if most and have + more > most:
            raise BadRequest(
                f"actions: {more} more would make {have + more} jobs of yours that have not started, and "
                f"scheduler.max_queued_per_user = {most} allows {most}; wait until some have, or cancel some"
            )

    def _chain(
        self, user_id: str, owner: Owner, run: JobRun, make_id: Callable[[], str], for_plan: bool
    ) -> list[ResolvedJob]:
        """The jobs of one entry of the request, in which each action may follow an earlier one."""
        network = owner.catalogued
        given = self._named_parent(owner, run.job)
        self._check_runner(user_id, run.runner)
        earlier: list[Link] = []
        jobs: list[ResolvedJob] = []
        for action in run.actions:
            self._check_action(owner, action)
            parent = choose_parent(
                network,
                action,
                earlier=earlier,
                given=given,
                existing=[] if given else self._newest_parent(owner, network.may_follow(action)),
                must_have=action in EVALUATIONS and owner.model is not None and not owner.model.ptm,
            )
            planned = {each.job.id: _new(each) for each in jobs}
            jobs.append(self._job(make_id(), user_id, owner, network, action, parent, run.runner, for_plan, planned))
            earlier.append(Link(jobs[-1].job.id, action))
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
        planned: Mapping[str, NewJob],
    ) -> ResolvedJob:
        model = owner.model
        if model is not None:
            check_datasets(model, action)
            if parent is None or action == TRAIN:
                self._check_weights(user_id, model.ptm)
        spec = self._specs.for_job(owner, action) if self._specs.takes_spec(owner, action) else None
        document = None if spec is None else spec.document
        warnings = [] if spec is None else spec.warnings
        if document is not None and model is not None and action == TRAIN:
            document = without_search(document)
        chosen = self._resolver.choose(
            owner.network, action, document, asked_runner=asked_runner, release=network.release
        )
        if chosen.choice.runner is None and for_plan:
            wanted, site = devices_wanted(action, chosen.spec, self._resolver.machine), ""
            no_runner = Warning(WarningCode.NO_RUNNER, "", {"text": chosen.choice.reason}, chosen.choice.remedy)
            warnings = [*warnings, no_runner]
        else:
            wanted, site = self._resolver.placement(action, chosen)
        warnings = [*warnings, *_key_warnings(model, network, action, chosen.choice.runner)]
        sweep: SweepRecord | None = None
        if spec is not None and model is not None and action == TRAIN and model.automl_enabled:
            sweep = build_sweep(
                job_id, model, spec.document, saved=spec.saved, devices=wanted, config=self._automl, site=site
            )
            warnings = [*warnings, *(Warning(WarningCode.NOT_SEARCHED, "", {"text": note}) for note in sweep.notes)]
        job = NewJob(
            id=job_id,
            user_id=user_id,
            owner_kind=owner.kind,
            owner_id=owner.id,
            network=owner.network,
            action=action,
            parent_id=None if parent is None else parent.id,
            state=State.WAITING,
            reason=POSTED if parent is None else waits_for_parent(parent.id, parent.action),
            kind=JobKind.RUN if sweep is None else JobKind.SWEEP,
            devices_wanted=wanted if sweep is None else 0,
            metric=self._metric(owner, network),
            spec=document,
            warnings=warnings,
            site=site if sweep is None else "",
            asked_runner=asked_runner,
            release=network.release,
        )
        return self._resolver.resolve(job, chosen, planned, sweep)

    def _named_parent(self, owner: Owner, job_id: str | None) -> Link | None:
        """The job that the client named as parent. Raises BadRequest if it cannot be one."""
        if job_id is None:
            return None
        job = self._store.jobs.owned(owner.kind, owner.id, job_id.lower()) if is_id(job_id) else None
        if job is None:
            raise BadRequest(f"job {job_id!r} cannot be the parent: {owner.kind} {owner.name!r} has no such job")
        if job.state in NO_PARENT:
            raise BadRequest(
                f"job {job.id} ({job.action}) cannot be the parent: it is {job.state} ({job.reason_text}); "
                "resume it, or name another one"
            )
        if job.release != owner.release:
            raise BadRequest(
                f"job {job.id} ({job.action}) cannot be the parent: it is of release {job.release}, and {owner.kind} "
                f"{owner.name!r} of release {owner.release}; train it again"
            )
        return Link(job.id, job.action)

    def _newest_parent(self, owner: Owner, actions: list[str]) -> list[Link]:
        """The owner's newest job of these actions that can be a parent; at most one."""
        newest = self._store.jobs.newest(owner.kind, owner.id, actions, but=NO_PARENT, release=owner.release)
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

    def _check_runner(self, user_id: str, name: str | None) -> None:
        """Raise BadRequest for an unknown runner, or if the user is not the first one, who may choose it."""
        if name is None:
            return
        require_first(self._store, user_id, f"runner = {name!r}", "choose a runner", "leave it out")
        if name not in self._runners.names():
            raise BadRequest(f"runner = {name!r}: unknown runner; known are {', '.join(self._runners.names())}")

    def _metric(self, owner: Owner, network: Network) -> str | None:
        if owner.kind == MODEL and owner.model is not None and owner.model.metric != "kpi":
            return owner.model.metric
        return network.metric


def _new(resolved: ResolvedJob) -> NewJob:
    assert isinstance(resolved.job, NewJob)
    return resolved.job


def _key_warnings(model: ModelRecord | None, network: Network, action: str, runner: Runner | None) -> list[Warning]:
    """A warning if the machine's process list would show the user's own key."""
    if model is None or model.encryption_key in ("", DEFAULT_KEY) or network.takes_only_overrides:
        return []
    if not (program := takes_key(network.name, action)) or (runner is not None and not uses_shell(runner)):
        return []
    remedy = "use a key that they may know, or a machine without other accounts"
    return [Warning(WarningCode.KEY_SHOWN, "encryption_key", {"program": program}, remedy)]
