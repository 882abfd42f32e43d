"""Models: create, read, change, delete."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from runners.registry import RunnerRegistry
from store import Store
from store.records import ModelRecord, ResourceFilter
from taod.automl.algorithms import algorithm
from taod.automl.builder import check_model
from taod.catalogue import Catalogue, Network
from taod.catalogue.commands import shell_safety
from taod.catalogue.commands.assemble import takes_key
from taod.catalogue.releases import BASE, KNOWN, covering, nearest
from taod.clock import Clock, iso
from taod.errors import BadRequest
from taod.ids import new_id
from taod.paths import Root
from taod.scheduler.scheduler import Scheduler
from taod.services.models.model_references import check_references
from taod.services.resources import Page, PageRequest, find, name_list, remove_folder, set_fields, take_immutable
from taod.telemetry.publisher import Publisher
from taod.types.common import MODEL, Sort
from taod.types.dataset import DatasetType
from taod.types.job import Job
from taod.types.model import Model, ModelCreate, ModelPatch

NO_AUTOML = frozenset({"mal", "annotations", "analytics", "augmentation", "auto_label", "image"})
_LISTS = ("automl_add_hyperparameters", "automl_remove_hyperparameters")
_CONVERTED = ("jobs", "actions", "encryption_key", "network_arch", "dataset_type")
_COPIED = tuple(name for name in Model.__struct_fields__ if name not in _CONVERTED)
_PRIVATE: dict[str, Any] = {
    "train_datasets": [],
    "eval_dataset": None,
    "inference_dataset": None,
    "calibration_dataset": None,
    "additional_id_info": None,
}
"""Field → value that replaces private ids in another user's public model."""


class Models:
    """Operations on models; a user sees their own, public ones, and pretrained ones."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        catalogue: Catalogue,
        runners: RunnerRegistry,
        scheduler: Scheduler,
        publisher: Publisher,
        clock: Clock,
    ) -> None:
        self._store = store
        self._root = root
        self._catalogue = catalogue
        self._runners = runners
        self._scheduler = scheduler
        self._publisher = publisher
        self._clock = clock

    def record(self, user_id: str, model_id: str) -> ModelRecord:
        """The stored model, if the user may see it. Raises NotFound."""
        return find(self._store.models, "model", user_id, model_id)

    def owned_record(self, user_id: str, model_id: str) -> ModelRecord:
        """The stored model, if it is the user's. Raises NotFound; BadRequest if the user may only read it."""
        record = self.record(user_id, model_id)
        if record.user_id != user_id:
            what = "a pretrained model" if record.user_id is None else "another user's public model"
            raise BadRequest(f"model {record.name!r} is {what}: it is read-only; create a model of your own")
        return record

    def get(self, user_id: str, model_id: str) -> Model:
        """One model with its jobs. Raises NotFound."""
        return self._view(user_id, [self.record(user_id, model_id)])[0]

    def page(self, user_id: str, wanted: ResourceFilter, sort: Sort, page: PageRequest) -> Page[Model]:
        """The models that the user may see: their own and public ones, then pretrained ones."""
        records, total = self._store.models.list(user_id, wanted, sort, page.skip, page.size)
        return Page(self._view(user_id, records), total)

    def create(self, user_id: str, body: ModelCreate) -> Model:
        """Create a model. Raises BadRequest naming the invalid field."""
        fields = set_fields(body)
        if "network_arch" not in fields:
            raise BadRequest(f"network_arch is required; one of {', '.join(self._catalogue.networks())}")
        arch, wanted = fields["network_arch"], fields.pop("release", None)
        network = self._network(arch, self._release(arch))
        if wanted is not None:
            network = self._network(arch, known_release(self._catalogue, arch, wanted))
        now = iso(self._clock.time())
        fields.setdefault("dataset_type", network.dataset_type)
        self._check(user_id, network, fields)
        record = ModelRecord(
            id=new_id(), user_id=user_id, created_on=now, last_modified=now, release=network.release, **fields
        )
        with self._store.durable():
            self._store.models.add(record)
        self._publisher.model(user_id, record.id, "created")
        return self._view(user_id, [record])[0]

    def update(self, user_id: str, model_id: str, body: ModelCreate | ModelPatch) -> None:
        """Set the given fields (PUT: all writable fields). Raises BadRequest naming the invalid field.

        A read-only model accepts only updates that set `read_only` to false.
        """
        record = self.owned_record(user_id, model_id)
        fields = set_fields(body)
        if record.read_only and fields.get("read_only") is not False:
            raise BadRequest(f"model {record.name!r} is read-only; set read_only to false first")
        if fields.get("release", record.release) != record.release:
            raise BadRequest(
                f"release = {fields['release']!r}: the model is of release {record.release}; POST …/release moves it"
            )
        take_immutable(fields, record, "network_arch", "dataset_type", "release")
        self._check(user_id, self._network(record.network_arch, record.release), fields)
        if fields:
            with self._store.durable():
                self._store.models.update(record.id, **fields)
        self._publisher.model(user_id, record.id, "updated")
        self._scheduler.wake()  # Jobs that waited for the old datasets may start with the new ones.

    async def delete(self, user_id: str, model_id: str) -> None:
        """Cancel the model's jobs, then delete it with their files.

        Raises BadRequest if it is read-only or public, or another model uses it.
        """
        record = self.owned_record(user_id, model_id)
        for field in ("read_only", "public"):
            if getattr(record, field):
                raise BadRequest(f"model {record.name!r} has {field} set; set {field} to false first")
        users = self._store.models.users_of_ptm(record.id)
        if users:
            names = ", ".join(f"{name!r} ({user})" for user, name in users)
            raise BadRequest(f"model {record.name!r} is used as ptm by the models {names}; remove it from them first")
        await self._scheduler.cancel_owner(MODEL, record.id)
        jobs = self._store.jobs.ids_of(MODEL, record.id)
        with self._store.durable():
            self._store.models.delete(record.id)
        self._publisher.model(user_id, record.id, "deleted")
        for job_id in jobs:
            await asyncio.to_thread(remove_folder, self._root.job(job_id).path)

    def _release(self, name: str) -> str:
        """The default release of a new model: that of the tools that would train it here.

        If no runner can train it, its first release.
        """
        known = self._catalogue.releases_of(name)
        if len(known) < 2:
            return known[0] if known else BASE
        network = self._catalogue.network(name, known[-1])
        assert network is not None
        return self._runners.release(name, network.actions[0], known[::-1]) or known[0]

    def _network(self, name: str, release: str) -> Network:
        network = self._catalogue.network(name, release)
        if network is None or network.kind != "network":
            raise BadRequest(
                f"Invalid network arch: network_arch {name!r}; known are {', '.join(self._catalogue.networks())}"
            )
        return network

    def _check(self, user_id: str, network: Network, fields: dict[str, Any]) -> None:
        """Validate fields that depend on each other, and normalise `fields` in place. Raises BadRequest."""
        wanted_type = fields.get("dataset_type", network.dataset_type)
        if wanted_type != network.dataset_type:
            raise BadRequest(
                f"dataset_type {wanted_type!r} does not fit {network.name}; "
                f"leave it out, or send {network.dataset_type!r}"
            )
        if fields.get("automl_enabled") and network.name in NO_AUTOML:
            raise BadRequest(f"automl_enabled = true: {network.name} has no AutoML; leave it false")
        if fields.get("automl_algorithm") is not None:
            fields["automl_algorithm"] = algorithm(fields["automl_algorithm"]).name
        key = fields.get("encryption_key") or ""
        if shell_safety.unsafe_character(key) and not network.takes_only_overrides:
            for program in filter(None, (takes_key(network.name, action) for action in network.actions)):
                raise BadRequest(shell_safety.key_fault(key, program))
        for name in _LISTS:
            if name in fields:
                fields[name] = name_list(name, fields[name])
        check_model(network, fields)
        for name in ("ptm", "train_datasets"):
            if name in fields:
                fields[name] = [reference.lower() for reference in dict.fromkeys(fields[name])]
        check_references(self._store, user_id, network, fields)

    def _view(self, user_id: str, records: list[ModelRecord]) -> list[Model]:
        trained = [record.id for record in records if record.user_id is not None]
        jobs = self._store.jobs.public(MODEL, trained) if trained else {}
        return [
            self._own(record, jobs.get(record.id, []))
            if record.user_id == user_id
            else self._foreign(record, jobs.get(record.id, []))
            for record in records
        ]

    def _own(self, record: ModelRecord, jobs: list[Job]) -> Model:
        return Model(
            jobs=jobs,
            actions=self.actions(record),
            network_arch=record.network_arch,
            dataset_type=DatasetType(record.dataset_type),
            encryption_key=record.encryption_key,
            **{name: getattr(record, name) for name in _COPIED},
        )

    def _foreign(self, record: ModelRecord, jobs: list[Job]) -> Model:
        """The model for other users: without its key and private ids."""
        shown = self._own(record, [redacted(job) for job in jobs])
        catalogue = self._store.models.ptm_ids(public=True) if record.ptm else set()
        ptm = [ptm_id for ptm_id in record.ptm if ptm_id in catalogue]
        return msgspec.structs.replace(shown, encryption_key=msgspec.UNSET, ptm=ptm, **_PRIVATE)

    def actions(self, record: ModelRecord) -> list[str]:
        """The actions of the model's network; none for a pretrained model."""
        if record.user_id is None:
            return []
        network = self._catalogue.network(record.network_arch, record.release)
        return list(network.actions) if network is not None else []


def known_release(catalogue: Catalogue, network: str, wanted: str) -> str:
    """The network's release for a requested version (`7.3`, `7.3.0`). Raises BadRequest naming the nearest."""
    release = covering(wanted)
    if release is None:
        raise BadRequest(f"release = {wanted!r}: taod knows {', '.join(KNOWN)}; the nearest is {nearest(wanted)}")
    known = catalogue.releases_of(network)
    if release not in known:
        raise BadRequest(f"release = {wanted!r}: {network} is of release {' and '.join(known)} only")
    return release


def redacted(job: Job) -> Job:
    """A public model's job for other users: without messages, which quote the owner's paths and logs."""
    return msgspec.structs.replace(job, result=msgspec.structs.replace(job.reported, detailed_status=None))
