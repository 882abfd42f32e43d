"""Which datasets an owner's jobs may read, each with its role."""

from __future__ import annotations

from store import Store
from store.records import DatasetRecord, ModelRecord

ROLES = {"eval": "eval_dataset", "inference": "inference_dataset", "calibration": "calibration_dataset"}


def datasets_read(store: Store, user_id: str, owner_kind: str, owner_id: str) -> list[tuple[str, DatasetRecord]]:
    """(role, dataset) of everything that a job of this model or dataset may read."""
    if owner_kind == "dataset":
        own = store.datasets.get(user_id, owner_id)
        return [] if own is None else [("own", own)]
    model = store.models.get(user_id, owner_id)
    if model is None:
        return []
    return [("train", dataset) for dataset in train(store, user_id, model)] + single(store, user_id, model)


def train(store: Store, user_id: str, model: ModelRecord) -> list[DatasetRecord]:
    """The datasets that the model is trained on."""
    return [found for dataset_id in model.train_datasets if (found := store.datasets.get(user_id, dataset_id))]


def single(store: Store, user_id: str, model: ModelRecord) -> list[tuple[str, DatasetRecord]]:
    """The datasets of which a model has one each."""
    found = []
    for role, field in ROLES.items():
        dataset_id = getattr(model, field)
        dataset = store.datasets.get(user_id, dataset_id) if dataset_id else None
        if dataset is not None:
            found.append((role, dataset))
    return found
