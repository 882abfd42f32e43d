"""The owner of jobs and specs, a dataset or a model, seen alike by the services of both."""

from __future__ import annotations

import msgspec

from store.records import DatasetRecord, ModelRecord
from taod.errors import BadRequest, NotFound
from taod.services.datasets.dataset_service import KIND as DATASET
from taod.services.datasets.dataset_service import Datasets
from taod.services.models.model_service import KIND as MODEL
from taod.services.models.model_service import Models


class Owner(msgspec.Struct, frozen=True):
    """Who has jobs and specs. `network` is the model's network_arch, or the dataset's type."""

    kind: str
    id: str
    name: str
    user_id: str | None
    network: str
    actions: list[str]
    model: ModelRecord | None = None
    dataset: DatasetRecord | None = None


class Owners:
    """Finds owners on behalf of a user."""

    def __init__(self, datasets: Datasets, models: Models) -> None:
        self._datasets = datasets
        self._models = models

    def find(self, user_id: str, kind: str, owner_id: str) -> Owner:
        """The owner, if the user may see it. Raises NotFound."""
        if kind == DATASET:
            dataset = self._datasets.record(user_id, owner_id)
            return Owner(
                kind=kind,
                id=dataset.id,
                name=dataset.name,
                user_id=dataset.user_id,
                network=dataset.type,
                actions=self._datasets.actions(dataset),
                dataset=dataset,
            )
        model = self._models.record(user_id, owner_id)
        return Owner(
            kind=MODEL,
            id=model.id,
            name=model.name,
            user_id=model.user_id,
            network=model.network_arch,
            actions=self._models.actions(model),
            model=model,
        )

    def writable(self, user_id: str, kind: str, owner_id: str) -> Owner:
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
