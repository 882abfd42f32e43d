"""The owner of jobs and specifications: a dataset or a model."""

from __future__ import annotations

import msgspec

from store.records import DatasetRecord, ModelRecord
from taod.catalogue import Catalogue, Network
from taod.catalogue.network import of
from taod.catalogue.releases import BASE
from taod.errors import BadRequest, NotFound
from taod.services.datasets.dataset_records import DatasetRecords
from taod.services.models.model_service import Models
from taod.types.common import DATASET, OwnerKind


class Owner(msgspec.Struct, frozen=True):
    """A dataset or model. `network` is the model's network_arch, or the dataset's type."""

    kind: OwnerKind
    id: str
    name: str
    user_id: str | None
    network: str
    actions: list[str]
    release: str = BASE
    """Of the tools of a model; a dataset's are of 5.0."""
    model: ModelRecord | None = None
    dataset: DatasetRecord | None = None

    @property
    def catalogued(self) -> Network:
        """The network in the owner's release."""
        return of(self.network, self.release)


class Owners:
    """Finds owners on behalf of a user."""

    def __init__(self, records: DatasetRecords, models: Models, catalogue: Catalogue) -> None:
        self._records = records
        self._models = models
        self._catalogue = catalogue

    def find(self, user_id: str, kind: OwnerKind, owner_id: str) -> Owner:
        """The owner, if the user may see it. Raises NotFound."""
        dataset = self._records.get(user_id, owner_id) if kind == DATASET else None
        model = self._models.record(user_id, owner_id) if dataset is None else None
        record = dataset or model
        assert record is not None
        return Owner(
            kind=kind,
            id=record.id,
            name=record.name,
            user_id=record.user_id,
            network=record.type if isinstance(record, DatasetRecord) else record.network_arch,
            actions=(
                self._catalogue.actions_for_dataset(record.type, record.format)
                if isinstance(record, DatasetRecord)
                else self._models.actions(record)
            ),
            release=BASE if model is None else model.release,
            model=model,
            dataset=dataset,
        )

    def writable(self, user_id: str, kind: OwnerKind, owner_id: str) -> Owner:
        """The owner, if the user may run jobs of it and save specs. Raises NotFound, BadRequest."""
        owner = self.find(user_id, kind, owner_id)
        if owner.user_id != user_id:
            raise BadRequest(f"{kind} {owner.name!r} is not yours: it is read-only; make one of your own")
        return owner

    def check_action(self, owner: Owner, action: str) -> None:
        """Raise NotFound unless the owner has the action."""
        if action not in owner.actions:
            has = ", ".join(owner.actions) or "none"
            raise NotFound(f"{owner.network} has no action {action!r}; its actions are {has}")
