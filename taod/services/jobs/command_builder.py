"""Builds the command of a job: gathers facts, lets the catalogue assemble them, writes the job's files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from runners.protocol import Command, OffHostRunner, Runner
from store import Store
from store.records import WITH_DATA, DatasetRecord, JobRecord, ModelRecord, NewJob, PendingJob, SpecifiedJob
from taod import atomic_file, masking
from taod.automl import fidelity
from taod.catalogue import Catalogue
from taod.catalogue.commands import artifacts, conversions, shell_safety
from taod.catalogue.commands.assemble import assemble, pending_fields
from taod.catalogue.commands.inputs import Assembled, DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.network import get_network
from taod.datasets.linked_view import refresh
from taod.datasets.validation import extensions
from taod.errors import BadRequest
from taod.paths import Root
from taod.scheduler.resolved_job import ResolvedJob
from taod.services.datasets.dataset_records import Uploads
from taod.services.datasets.lineage import ROLES, Lineage, datasets_named
from taod.services.jobs.requirements import Machine, devices_wanted
from taod.services.jobs.resolution import Resolver
from taod.services.snapshots import Snapshots
from taod.telemetry import metric
from taod.types.dataset import DatasetSummary
from taod.types.reason import Reason, ReasonCode
from taod.types.state import ACTIVE, State

_CPU = "cpu:"
_STARTS = "starts of jobs"
"""The lane of snapshots for jobs that start."""
_WEIGHTS_ACTIONS = frozenset(
    {"train", "distill", "quantize", "prune", "retrain", "export", "gen_trt_engine", "trtexec"}
)


class CommandBuilder:
    """Builds and previews the commands of jobs."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        catalogue: Catalogue,
        resolver: Resolver,
        uploads: Uploads,
        lineage: Lineage,
        snapshots: Snapshots,
        checkpoint: str = "latest",
    ) -> None:
        """`checkpoint`: the checkpoint of a training that its child jobs read, `latest` or `best`."""
        self._store = store
        self._root = root
        self._catalogue = catalogue
        self._resolver = resolver
        self._uploads = uploads
        self._lineage = lineage
        self._snapshots = snapshots
        self._best = checkpoint == "best"

    def unready(self, job: JobRecord | NewJob | PendingJob) -> Reason | None:
        """The first dataset of the job that is not ready, as a reason; None if all are."""
        # A model may have a thousand datasets, and each scheduling pass asks.
        named = datasets_named(self._store, job.user_id, job.owner_kind, job.owner_id)
        states = self._store.datasets.states(job.user_id, (each for _, each in named))
        conversion = self.conversions(each for each in states if each != job.owner_id)
        for role, dataset_id in named:
            if dataset_id not in states:
                continue
            name, state = states[dataset_id]
            if dataset_id in self._uploads:
                return Reason(ReasonCode.DATA_UPLOADING, {"role": role, "dataset": name})
            if state not in WITH_DATA:
                return Reason(ReasonCode.DATA_MISSING, {"role": role, "dataset": name})
            if (running := conversion.get(dataset_id)) is not None:
                by = {"job": running.id, "action": running.action, "held": running.state is State.HELD}
                return Reason(ReasonCode.DATA_CONVERTING, {"role": role, "dataset": name, **by})
        return None

    def conversions(self, dataset_ids: Iterable[str]) -> dict[str, JobRecord]:
        """Dataset's id → its first conversion that has not ended: it writes into the dataset."""
        active = self._store.jobs.of_owners("dataset", dataset_ids, ACTIVE)
        return {job.owner_id: job for job in reversed(active) if conversions.is_conversion(job.action)}

    async def prepare(self, job: JobRecord) -> tuple[Runner, Command]:
        """Create the job's folder with its specification and results folder. Returns its runner and the tool's command.

        Raises BadRequest if the job or its model was deleted, without a runner, for missing weights of the parent,
        missing data, or a value that the entry point of the tool would pass to a shell unquoted.
        """
        resolved, command = await self._snapshots.run(_STARTS, self._prepared, job.id)
        self._lineage.begin(resolved.job.id, resolved.job.warnings, resolved.datasets)
        return resolved.runner, command

    def _prepared(self, job_id: str) -> tuple[ResolvedJob, Command]:
        """The resolved job, and its command, whose files are written."""
        job = self._store.jobs.specified(job_id)
        if job is None:
            raise BadRequest(f"job {job_id} was deleted")
        resolved = self._resolver.resolve(job)
        _ = resolved.runner  # raises BadRequest before anything is written
        folder = self._root.job(job.id)
        folder.results.mkdir(parents=True, exist_ok=True)
        self._check_parent(resolved)
        facts = self.job_facts(resolved, self.gpus(resolved))
        assembled = assemble(facts)
        # Not durable: after a power cut the job is prepared again; an fsync costs as much as a fork.
        if assembled.spec_path is not None and assembled.spec_text is not None:
            atomic_file.write(assembled.spec_path, assembled.spec_text.encode(), durable=False, mode=0o600)
        for path, text in assembled.files.items():
            atomic_file.write(path, text.encode(), durable=False)
        for path in assembled.writes:
            for pattern in conversions.stale(job.network, job.action):
                for file in path.glob(pattern):
                    file.unlink(missing_ok=True)
        atomic_file.write(folder.command, _masked_json(assembled), durable=False)
        if assembled.status_folder is not None:
            _make_folder(assembled.status_folder)
        command = command_of(assembled, job, [facts.key] if facts.key else [], facts.gpus)
        for line in [command.argv, *command.then] if resolved.may_use_shell else []:
            if fault := shell_safety.fault(line, str(self._root.path)):
                raise BadRequest(fault)
        return resolved, command

    def gpus(self, resolved: ResolvedJob) -> int:
        """Number of GPUs in the job's command: those that it holds, or on a cluster those of its specification."""
        job = resolved.job
        if job.site:
            runner = resolved.runner
            most = runner.gpus if isinstance(runner, OffHostRunner) else 1
            return devices_wanted(job.action, resolved.spec, Machine(gpus=most, cpu_slots=1))
        held = job.devices if isinstance(job, JobRecord) else []
        return sum(1 for device in held if not device.startswith(_CPU))

    def secrets(self, job: JobRecord) -> list[str]:
        """The keys to mask in the job's log; empty if its model was deleted."""
        model = self._store.models.get(job.user_id, job.owner_id) if job.owner_kind == "model" else None
        return [model.encryption_key] if model is not None and model.encryption_key else []

    def shell_fault(self, resolved: ResolvedJob) -> str:
        """Why the tool's entry point cannot take the command line (`shell_safety`); empty if it can.

        `prepare` checks the values that are known only at the start (files of the parent or of a running upload).
        """
        if not any(map(shell_safety.unsafe_character, self._user_texts(resolved))):
            return ""
        try:
            argv = assemble(self.job_facts(resolved, gpus=1)).argv
        except BadRequest:
            return ""
        return shell_safety.fault(argv, str(self._root.path))

    def _user_texts(self, resolved: ResolvedJob) -> Iterator[str]:
        """All texts of the user that may become part of the job's command line."""
        job, model = resolved.job, resolved.model
        yield str(self._root.path)
        if model is not None:
            yield model.encryption_key
            weights = self._store.models.weights(job.user_id) if model.ptm else {}
            yield from (weights[ptm] for ptm in model.ptm if ptm in weights)
        yield from (dataset.path or "" for _, dataset in resolved.datasets)
        yield from _texts(job.spec)

    def preview(self, resolved: ResolvedJob, gpus: int) -> tuple[Assembled, list[str]]:
        """Assemble the job without writing anything, its key masked. Also returns the fields that its parent will fill.

        Raises BadRequest for missing data or weights.
        """
        facts = self.job_facts(resolved, gpus)
        if facts.key:
            facts = msgspec.structs.replace(facts, key=masking.MASK)
        return assemble(facts), pending_fields(facts)

    def job_facts(self, resolved: ResolvedJob, gpus: int) -> JobFacts:
        """The facts that the catalogue assembles a command from. Raises BadRequest for missing data or weights."""
        job, model = resolved.job, resolved.model
        folder = self._root.job(job.id)
        writing = conversions.writes(job.network, job.action)
        by_role = {role: self._facts_of(dataset) for role, dataset in resolved.datasets if role in ROLES}
        written = {
            role: [self._facts_of(dataset, writing=writing) for each, dataset in resolved.datasets if each == role]
            for role in ("train", "own")
        }
        trial = self._store.sweeps.trial_of(job.id) if isinstance(job, JobRecord) and job.sweep_id else None
        spec = job.spec
        if trial is not None and spec is not None:
            spec = fidelity.for_rung(
                get_network(job.network, job.release), spec, epochs=trial.epochs, done_epochs=trial.trained
            )
        return JobFacts(
            network=job.network,
            release=job.release,
            action=job.action,
            folder=folder.path,
            results=folder.results,
            spec=spec,
            key=model.encryption_key if model is not None else "",
            ptms=self._ptms(job, model),
            parent=self._parent_facts(resolved.ancestors),
            train=written["train"],
            eval=by_role.get("eval"),
            inference=by_role.get("inference"),
            calibration=by_role.get("calibration"),
            own=next(iter(written["own"]), None),
            gpus=gpus,
        )

    def _check_parent(self, resolved: ResolvedJob) -> None:
        """Raise BadRequest if the parent or its weights were deleted."""
        job = resolved.job
        if job.parent_id is None:
            return
        if not resolved.ancestors:
            raise BadRequest(
                f"the parent {job.parent_id} of this {job.action} was deleted; post it again with another one"
            )
        parent = resolved.ancestors[0]
        results = self._root.job(parent.id).results
        network = get_network(parent.network, parent.release)
        if parent.action in _WEIGHTS_ACTIONS and artifacts.weights(network, parent.action, results) is None:
            raise BadRequest(
                f"the parent {parent.action} {parent.id} left no weights in {results}; "
                "run it again, or name another one"
            )

    def _parent_facts(self, ancestors: Sequence[SpecifiedJob | NewJob]) -> ParentFacts | None:
        facts: ParentFacts | None = None
        for job in reversed(ancestors):
            facts = ParentFacts(
                network=job.network,
                release=job.release,
                action=job.action,
                results=self._root.job(job.id).results,
                spec=job.spec,
                parent=facts,
                scores=self._scores(job),
            )
        return facts

    def _scores(self, job: JobRecord | NewJob) -> dict[int, float]:
        """Epoch → metric of a training, higher is better; empty unless child jobs read the best checkpoint."""
        network = self._catalogue.network(job.network, job.release)
        if not self._best or network is None or not isinstance(job, JobRecord) or job.metric is None:
            return {}
        sign = -1 if network.minimises(job.metric) else 1
        result = self._store.jobs.result(job.id)
        return {epoch: sign * value for epoch, value in metric.values(result, job.metric).items()}

    def _ptms(self, job: JobRecord | NewJob, model: ModelRecord | None) -> list[Path]:
        """Paths of the weights of the model's pretrained models. Raises BadRequest if one does not exist."""
        found: list[Path] = []
        if model is None or not model.ptm:
            return found
        weights = self._store.models.weights(job.user_id)
        for ptm_id in model.ptm:
            record = self._store.models.get(job.user_id, ptm_id)
            if record is None or ptm_id not in weights:
                continue
            path = Path(weights[ptm_id])
            if not path.exists():
                raise BadRequest(
                    f"the weights of ptm {record.ngc_path or record.name!r} are not at {path} any more; "
                    "register them again by POST …/ptm"
                )
            found.append(path)
        return found

    def folder(self, dataset: DatasetRecord) -> Path:
        """The folder where jobs read the dataset; for a linked dataset with conversion output, its view."""
        own = self._root.dataset(dataset.id)
        return Path(dataset.path) if dataset.path and not own.is_dir() else own

    def _facts_of(self, dataset: DatasetRecord, *, writing: bool = False) -> DatasetFacts:
        """`writing`: the job writes into the dataset; for a linked folder it writes into a view of it."""
        root = Path(dataset.path) if dataset.path else self._root.dataset(dataset.id)
        if dataset.has_data and not root.is_dir():
            raise BadRequest(f"the data of dataset {dataset.name!r} is not at {root} any more; upload or link it again")
        linked = None
        view = self._root.dataset(dataset.id)
        if dataset.state == "linked" and (writing or view.is_dir()):
            refresh(view, root, conversions.OUTPUTS.get(dataset.type, ()))
            root, linked = view, root
        summary = dataset.summary or DatasetSummary(dataset.state)
        return DatasetFacts(
            root=root,
            type=dataset.type,
            format=dataset.format,
            classes=list(summary.classes),
            linked=linked,
            name=dataset.name,
            images=summary.images or None,
            parts={split.name: split.images for split in summary.splits},
            highest_class_id=summary.highest_class_id,
            lowest_class_id=summary.lowest_class_id,
            extensions=summary.extensions or extensions.listed(root, dataset.type),
        )


def command_of(assembled: Assembled, job: JobRecord | NewJob, secrets: list[str], gpus: int = 0) -> Command:
    """The runner's command for an assembled job."""
    return Command(
        network=job.network,
        action=job.action,
        argv=assembled.argv,
        further=assembled.further,
        image=assembled.image,
        environment=assembled.environment,
        reads=[str(path) for path in assembled.reads],
        writes=[str(path) for path in assembled.writes],
        secrets=secrets,
        gpus=gpus,
        release=job.release,
        then=assembled.then,
    )


def _texts(value: Any) -> Iterator[str]:
    """All texts in a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadRequest(
            f"the tool writes into {path}, and that cannot be created: {error.strerror}; "
            "use an uploaded dataset, or make the folder writable"
        ) from error


def _masked_json(assembled: Assembled) -> bytes:
    """Content of command.json, secrets masked."""
    document = {
        "argv": masking.argv(assembled.argv),
        "then": [masking.argv(line) for line in assembled.then],
        "status_folder": None if assembled.status_folder is None else str(assembled.status_folder),
        "image": assembled.image,
        "environment": masking.environment(assembled.environment),
        "reads": [str(path) for path in assembled.reads],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"
