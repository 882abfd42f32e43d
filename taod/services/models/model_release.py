"""Moves a model to another release of NVIDIA's tools: previews the changes, and converts its saved specifications."""

from __future__ import annotations

from store import Store
from store.records import JobFilter, ModelRecord
from taod.catalogue import Catalogue, Network
from taod.catalogue.commands import artifacts
from taod.catalogue.network import get_network
from taod.catalogue.schema.merge import default
from taod.catalogue.schema.release_moves import convert
from taod.errors import BadRequest, Conflict, NotFound
from taod.paths import Root
from taod.services.models.model_service import Models, known_release
from taod.services.snapshots import Snapshots
from taod.telemetry.publisher import Publisher
from taod.types.common import MODEL
from taod.types.release_change import ActionChange, ReleaseChange, ReleaseMove

_WITH_CHECKPOINTS = ("train", "distill", "retrain", "prune", "quantize")


class ModelReleases:
    """Previews and moves between releases."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        catalogue: Catalogue,
        models: Models,
        publisher: Publisher,
        snapshots: Snapshots,
    ) -> None:
        self._store = store
        self._root = root
        self._catalogue = catalogue
        self._models = models
        self._publisher = publisher
        self._snapshots = snapshots

    def preview(self, user_id: str, model_id: str, release: str) -> ReleaseChange:
        """The changes of a move, without storing them. Raises NotFound; BadRequest naming the nearest release."""
        record = self._models.record(user_id, model_id)
        if record.user_id != user_id:
            raise NotFound(f"specs of model {record.name!r} are its owner's alone; create a model of your own")
        return self._change(record, release)

    async def move(self, user_id: str, model_id: str, body: ReleaseMove) -> ReleaseChange:
        """Move the model and convert its saved specifications.

        Raises NotFound; BadRequest if it is read-only, or for an unknown release, naming the nearest; Conflict if a
        job has not ended, or there are checkpoints that the request does not abandon.
        """
        record = self._models.owned_record(user_id, model_id)
        if record.read_only:
            raise BadRequest(f"model {record.name!r} is read-only; set read_only to false first")
        saved_before = self._store.specs.encoded(MODEL, record.id)
        change = await self._snapshots.run(user_id, self._change, record, body.release)
        as_before = self._store.specs.encoded(MODEL, record.id) == saved_before
        if not as_before or self._models.owned_record(user_id, model_id) != record:
            raise Conflict(f"model {record.name!r} was changed meanwhile; repeat the request")
        if change.to == change.release:
            return change
        jobs, _ = self._store.jobs.list(JobFilter(owner_kind=MODEL, owner_id=record.id))
        if open_jobs := [job for job in jobs if not job.state.ended]:
            first = open_jobs[0]
            raise Conflict(
                f"{first.action} {first.id} of model {record.name!r} has not ended and is of release {first.release}; "
                "cancel it, or wait for its end"
            )
        if change.blocked and not body.abandon_checkpoints:
            raise Conflict(f"{change.blocked}; set abandon_checkpoints, or create a model of release {change.to}")
        with self._store.durable():
            self._store.models.update(record.id, release=change.to)
            saved = {action.action: action.converted for action in change.actions if action.saved and body.convert}
            for action in self._network(record, change.release).actions:
                if action in saved:
                    self._store.specs.save(MODEL, record.id, action, saved[action])
                else:
                    self._store.specs.delete(MODEL, record.id, action)
        self._publisher.model(user_id, record.id, "updated")
        return change

    def _change(self, record: ModelRecord, wanted: str) -> ReleaseChange:
        old = self._network(record, record.release)
        new = self._network(record, known_release(self._catalogue, record.network_arch, wanted))
        actions: list[ActionChange] = []
        for action in old.actions if new.release != old.release else ():
            if action in new.actions and old.takes_spec(action) and new.takes_spec(action):
                saved = self._store.specs.get(MODEL, record.id, action)
                document = default(old, action) if saved is None else saved
                actions.append(convert(old, new, action, document, saved=saved is not None))
        return ReleaseChange(
            model_id=record.id,
            network=record.network_arch,
            release=old.release,
            to=new.release,
            known=list(self._catalogue.releases_of(record.network_arch)),
            actions=actions,
            added=[action for action in new.actions if action not in old.actions],
            removed=[action for action in old.actions if action not in new.actions],
            blocked=self._blocked(record) if new.release != old.release else "",
        )

    def _blocked(self, record: ModelRecord) -> str:
        """The checkpoints that block a move, as a sentence; empty if there are none."""
        jobs, _ = self._store.jobs.list(JobFilter(owner_kind=MODEL, owner_id=record.id))
        for job in jobs:
            if job.action in _WITH_CHECKPOINTS and job.release == record.release:
                results = self._root.job(job.id).results
                if results.is_dir() and artifacts.weights(get_network(job.network, job.release), job.action, results):
                    return (
                        f"model {record.name!r} has checkpoints of release {record.release} ({job.action} {job.id}), "
                        "which another release cannot use"
                    )
        return ""

    def _network(self, record: ModelRecord, release: str) -> Network:
        network = self._catalogue.network(record.network_arch, release)
        assert network is not None
        return network
