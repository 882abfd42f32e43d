"""The owner of jobs and specifications: a dataset or a model."""

from __future__ import annotations

import msgspec

from store.records import DatasetRecord, ModelRecord
from taod.catalogue import Catalogue, Network
from taod.catalogue.network import get_network
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
    """The tools' release of a model; 5.0 for a dataset."""
    model: ModelRecord | None = None
    dataset: DatasetRecord | None = None

    @property
    def catalogued(self) -> Network:
        """The network in the owner's release."""
        return get_network(self.network, self.release)


class Owners:
    """Finds owners on behalf of a user."""

    def __init__(self, records: DatasetRecords, models: Models, catalogue: Catalogue) -> None:
        self._records = records
        self._models = models
        self._catalogue = catalogue

    def find(self, user_id: str, kind: OwnerKind, owner_id: str) -> Owner:
        """The owner, if the user may see it. Raises NotFound."""
        if kind == DATASET:
            dataset = self._records.get(user_id, owner_id)
            actions = self._catalogue.actions_for_dataset(dataset.type, dataset.format)
            return Owner(kind, dataset.id, dataset.name, dataset.user_id, dataset.type, actions, dataset=dataset)
        model = self._models.record(user_id, owner_id)
        actions = self._models.actions(model)
        return Owner(
            kind, model.id, model.name, model.user_id, model.network_arch, actions, release=model.release, model=model
        )

    def writable(self, user_id: str, kind: OwnerKind, owner_id: str) -> Owner:
        """The owner, if it belongs to the user. Raises NotFound; BadRequest if the user may only read it."""
        owner = self.find(user_id, kind, owner_id)
        if owner.user_id != user_id:
            raise BadRequest(f"{kind} {owner.name!r} is not yours: it is read-only; make one of your own")
        return owner

    def check_action(self, owner: Owner, action: str) -> None:
        """Raise NotFound unless the owner has the action."""
        if action not in owner.actions:
            has = ", ".join(owner.actions) or "none"
            raise NotFound(f"{owner.network} has no action {action!r}; its actions are {has}")
