"""Which datasets an owner's jobs may read, each with its role."""

from __future__ import annotations

from store import Store
from store.records import DatasetRecord

ROLES = {"eval": "eval_dataset", "inference": "inference_dataset", "calibration": "calibration_dataset"}
"""Roles of which a model has one dataset each, and the model's field."""


def datasets_read(store: Store, user_id: str, owner_kind: str, owner_id: str) -> list[tuple[str, DatasetRecord]]:
    """(role, dataset) of everything that a job of this model or dataset may read."""
    if owner_kind == "dataset":
        named = [("own", owner_id)]
    else:
        model = store.models.get(user_id, owner_id)
        if model is None:
            return []
        named = [("train", dataset_id) for dataset_id in model.train_datasets]
        named += [(role, dataset_id) for role, field in ROLES.items() if (dataset_id := getattr(model, field))]
    return [(role, found) for role, dataset_id in named if (found := store.datasets.get(user_id, dataset_id))]
