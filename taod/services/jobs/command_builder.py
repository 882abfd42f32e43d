"""From a job to the command that runs it: gathers the facts, has the catalogue assemble them, writes the files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from runners.protocol import Command, place_of
from runners.registry import RunnerRegistry
from store import Store
from store.records import DatasetRecord, JobFilter, JobRecord, ModelRecord, NewJob, PendingJob
from taod import masking
from taod.automl import fidelity
from taod.catalogue import Catalogue
from taod.catalogue.commands import artifacts, conversions, shell_safety
from taod.catalogue.commands.assemble import assemble, later
from taod.catalogue.commands.inputs import Assembled, DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.schema.merge import over_default
from taod.datasets.linked_view import refresh
from taod.datasets.validation import extensions
from taod.errors import BadRequest
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.policy.wait_reasons import short
from taod.services.datasets.active_uploads import Uploads
from taod.services.datasets.lineage import Lineage
from taod.services.jobs import dataset_inputs
from taod.services.jobs.requirements import Machine, devices_wanted
from taod.telemetry import metric
from taod.types.common import JobSort
from taod.types.dataset import DatasetSummary
from taod.types.state import ACTIVE, State

AnyJob = JobRecord | NewJob | PendingJob
CONVERSIONS = ("convert", "dataset_convert")
"""How the actions begin that write into the dataset itself."""
_CPU = "cpu:"
_WEIGHTS_ACTIONS = frozenset({"train", "prune", "retrain", "export", "gen_trt_engine", "trtexec"})


class Planner:
    """Prepares jobs for their runners; the scheduler asks it when a job's turn comes."""

    def __init__(
        self,
        store: Store,
        root: Root,
        catalogue: Catalogue,
        runners: RunnerRegistry,
        devices: DevicePool,
        uploads: Uploads | None = None,
        checkpoint: str = "latest",
        lineage: Lineage | None = None,
    ) -> None:
        """`checkpoint`: which one of a training is worked on, the `latest` or the `best`."""
        self._store = store
        self._root = root
        self._catalogue = catalogue
        self._runners = runners
        self._devices = devices
        self._uploads = uploads if uploads is not None else Uploads()
        self._best = checkpoint == "best"
        self._lineage = lineage

    def ready(self, job: AnyJob) -> str | None:
        """None when every dataset that the job may read has its data, whole; else which one it waits for."""
        for role, dataset in self._datasets(job):
            if dataset.id in self._uploads:
                return f"its {role} dataset {dataset.name!r} is still being uploaded"
            if not dataset.has_data:
                return f"its {role} dataset {dataset.name!r} has no data yet: upload an archive or link a folder"
            if job.owner_id != dataset.id and (converting := self.converting(dataset)) is not None:
                held = " (held)" if converting.state is State.HELD else ""
                return f"its {role} dataset {dataset.name!r} is being converted by {short(converting)}{held}"
        return None

    def converting(self, dataset: DatasetRecord) -> JobRecord | None:
        """The conversion of the dataset that has not ended: what it writes lies in it, and is read with it."""
        wanted = JobFilter(owner_kind="dataset", owner_id=dataset.id, states=ACTIVE)
        jobs, _ = self._store.jobs.list(wanted, JobSort.DATE_ASCENDING)
        return next((job for job in jobs if job.action.startswith(CONVERSIONS)), None)

    def prepare(self, job: JobRecord) -> Command:
        """Make the job's folder with its spec and its results folder, and return the tool's command.

        Raises BadRequest in words for what the job needs and cannot have: weights of its parent, data that is gone.
        """
        folder = self._root.job(job.id)
        folder.results.mkdir(parents=True, exist_ok=True)
        model = self._model(job)
        gpus = self.gpus(job)
        facts = self._facts(job, model, self._parent(job), gpus)
        assembled = assemble(facts)
        if assembled.spec_path is not None and assembled.spec_text is not None:
            write_atomically(assembled.spec_path, assembled.spec_text.encode())
        secrets = [facts.key] if facts.key else []
        for path, text in assembled.files.items():
            write_atomically(path, text.encode())
        for path in assembled.writes:
            for pattern in conversions.stale(job.network, job.action):
                for file in path.glob(pattern):
                    file.unlink(missing_ok=True)
        write_atomically(folder.command, _shown(assembled))
        if assembled.status_folder is not None:
            _make_folder(assembled.status_folder)
        if self._lineage is not None:
            self._lineage.begin(job, self._datasets(job))
        return command_of(assembled, job.action, secrets, gpus)

    def gpus(self, job: JobRecord | NewJob) -> int:
        """How many GPUs its command asks for: those that it holds, or on a cluster those of its spec."""
        if not job.site:
            held = job.devices if isinstance(job, JobRecord) else []
            return sum(1 for device in held if not device.startswith(_CPU))
        whole = None if job.spec is None else over_default(job.network, job.action, job.spec)
        most = next((each.gpus for each in self._runners.elsewhere() if place_of(each) == job.site), 1)
        return devices_wanted(job.action, whole, Machine(gpus=most, cpu_slots=1))

    def whole_spec(self, job: JobRecord) -> dict[str, Any] | None:
        """The job's specification over the defaults of its action; None where it takes none."""
        return None if job.spec is None else over_default(job.network, job.action, job.spec)

    def secrets(self, job: JobRecord) -> list[str]:
        """The keys that are masked in its log; empty where the job's model is gone."""
        model = self._store.models.get(job.user_id, job.owner_id) if job.owner_kind == "model" else None
        return [model.encryption_key] if model is not None and model.encryption_key else []

    def shell_refusal(self, job: NewJob, planned: Mapping[str, NewJob]) -> str:
        """Why its tool's entry point cannot take its command line (`shell_safety`); empty where it can.

        What only the start knows (files of its parent, of a dataset still uploaded) is checked then.
        """
        model = self._model(job)
        if not any(map(shell_safety.found, self._given(job, model))):
            return ""
        above = self._stored(planned, job.parent_id)
        try:
            facts = self._facts(job, model, None if above is None else self._chain(above, planned), gpus=1)
            argv = assemble(facts).argv
        except BadRequest:
            return ""
        return shell_safety.refusal(argv, str(self._root.path))

    def _given(self, job: NewJob, model: ModelRecord | None) -> Iterator[str]:
        """Every text of a user that may come to stand on the job's command line."""
        yield str(self._root.path)
        if model is not None:
            yield model.encryption_key
            weights = self._store.models.weights(job.user_id) if model.ptm else {}
            yield from (weights[ptm] for ptm in model.ptm if ptm in weights)
        yield from (dataset.path or "" for _, dataset in self._datasets(job))
        yield from _texts(job.spec)

    def preview(self, job: NewJob, planned: Mapping[str, NewJob], gpus: int) -> tuple[Assembled, list[str]]:
        """The job as it would be assembled now, its key masked, and the fields that its parent will fill.

        Nothing is written. `planned` are jobs of the same plan by id, which parents may be among. Raises BadRequest.
        """
        facts = self.facts(job, planned, gpus)
        if facts.key:
            facts = msgspec.structs.replace(facts, key=masking.MASK)
        return assemble(facts), later(facts)

    def facts(self, job: JobRecord | NewJob, planned: Mapping[str, NewJob], gpus: int) -> JobFacts:
        """What is known of a job that does not run yet. Raises BadRequest for data or weights that are gone."""
        above = self._stored(planned, job.parent_id)
        return self._facts(job, self._model(job), None if above is None else self._chain(above, planned), gpus)

    def _stored(self, planned: Mapping[str, NewJob], job_id: str | None) -> JobRecord | NewJob | None:
        if job_id is None:
            return None
        return planned[job_id] if job_id in planned else self._store.jobs.get(job_id)

    def _facts(
        self, job: JobRecord | NewJob, model: ModelRecord | None, parent: ParentFacts | None, gpus: int
    ) -> JobFacts:
        folder = self._root.job(job.id)
        single = [] if model is None else dataset_inputs.single(self._store, job.user_id, model)
        train = [] if model is None else dataset_inputs.train(self._store, job.user_id, model)
        writing = conversions.writes(job.network, job.action)
        named = {role: self._facts_of(dataset) for role, dataset in single}
        trial = self._store.sweeps.trial_of(job.id) if isinstance(job, JobRecord) and job.sweep_id else None
        spec = job.spec
        if trial is not None and spec is not None:
            spec = fidelity.for_rung(job.network, spec, epochs=trial.epochs, done_epochs=trial.trained)
        own = self._store.datasets.get(job.user_id, job.owner_id) if model is None else None
        return JobFacts(
            network=job.network,
            action=job.action,
            folder=folder.path,
            results=folder.results,
            spec=spec,
            key=model.encryption_key if model is not None else "",
            ptms=self._ptms(job, model),
            parent=parent,
            train=[self._facts_of(dataset, writing=writing) for dataset in train],
            eval=named.get("eval"),
            inference=named.get("inference"),
            calibration=named.get("calibration"),
            own=None if own is None else self._facts_of(own, writing=writing),
            gpus=gpus,
        )

    def _model(self, job: JobRecord | NewJob) -> ModelRecord | None:
        if job.owner_kind != "model":
            return None
        model = self._store.models.get(job.user_id, job.owner_id)
        if model is None:
            raise BadRequest(f"the model of job {job.id} is gone")
        return model

    def _parent(self, job: JobRecord) -> ParentFacts | None:
        """The finished parent with its own parents. Raises BadRequest where its weights are not there any more."""
        if job.parent_id is None:
            return None
        parent = self._store.jobs.get(job.parent_id)
        if parent is None:
            raise BadRequest(f"the parent {job.parent_id} of this {job.action} is gone; post it again with another one")
        results = self._root.job(parent.id).results
        if parent.action in _WEIGHTS_ACTIONS and artifacts.weights(parent.network, parent.action, results) is None:
            raise BadRequest(
                f"the parent {parent.action} {parent.id} left no weights in {results}; "
                "run it again, or name another one"
            )
        return self._chain(parent)

    def _chain(self, job: JobRecord | NewJob, planned: Mapping[str, NewJob] = MappingProxyType({})) -> ParentFacts:
        above = self._stored(planned, job.parent_id)
        return ParentFacts(
            network=job.network,
            action=job.action,
            results=self._root.job(job.id).results,
            spec=job.spec,
            parent=None if above is None else self._chain(above, planned),
            scores=self._scores(job),
        )

    def _scores(self, job: AnyJob) -> dict[int, float]:
        """What each epoch of a training is worth by the job's metric, higher is better; empty where it matters not."""
        network = self._catalogue.network(job.network)
        if not self._best or network is None or not isinstance(job, JobRecord) or job.metric is None:
            return {}
        sign = -1 if network.minimises(job.metric) else 1
        result = self._store.jobs.result(job.id)
        return {epoch: sign * value for epoch, value in metric.values(result, job.metric).items()}

    def _ptms(self, job: JobRecord | NewJob, model: ModelRecord | None) -> list[Path]:
        """Where the weights of the model's pretrained models lie. Raises BadRequest where a file has gone."""
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

    def _datasets(self, job: AnyJob) -> list[tuple[str, DatasetRecord]]:
        """(role, dataset) of everything that the job may read."""
        return dataset_inputs.datasets_read(self._store, job.user_id, job.owner_kind, job.owner_id)

    def folder(self, dataset: DatasetRecord) -> Path:
        """Where jobs read the dataset's files, or will: for a linked folder that a conversion wrote to, its view."""
        own = self._root.dataset(dataset.id)
        return Path(dataset.path) if dataset.path and not own.is_dir() else own

    def _facts_of(self, dataset: DatasetRecord, *, writing: bool = False) -> DatasetFacts:
        """`writing`: the job writes into the dataset; what it writes for a linked folder goes to a view of it."""
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


def command_of(assembled: Assembled, action: str, secrets: list[str], gpus: int = 0) -> Command:
    """What a runner is given of an assembled job."""
    return Command(
        network=assembled.argv[0],
        action=action,
        argv=assembled.argv,
        image=assembled.image,
        environment=assembled.environment,
        reads=[str(path) for path in assembled.reads],
        writes=[str(path) for path in assembled.writes],
        secrets=secrets,
        gpus=gpus,
        then=assembled.then,
    )


def _texts(value: Any) -> Iterator[str]:
    """The texts in a document."""
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


def write_atomically(path: Path, content: bytes) -> None:
    """Write aside and rename: whoever looks finds the old file or the whole new one.

    No fsync: after a power cut the job is prepared again before it is started, and an fsync costs as much as the fork.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(content)
    aside.replace(path)


def _shown(assembled: Assembled) -> bytes:
    """command.json: what is run, secrets masked."""
    shown = {
        "argv": masking.argv(assembled.argv),
        "then": [masking.argv(line) for line in assembled.then],
        "status_folder": None if assembled.status_folder is None else str(assembled.status_folder),
        "image": assembled.image,
        "environment": masking.environment(assembled.environment),
        "reads": [str(path) for path in assembled.reads],
    }
    return msgspec.json.format(msgspec.json.encode(shown), indent=2) + b"\n"
