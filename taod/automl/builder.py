"""Builds the record of a sweep from a model's AutoML fields and its train specification. Pure."""

from __future__ import annotations

import secrets

from store.records import ModelRecord, SweepRecord
from taod.automl import space
from taod.automl.algorithms import algorithm
from taod.catalogue.network import Network, get_network
from taod.catalogue.schema import merge
from taod.catalogue.training_length import length, length_field
from taod.config import AutomlConfig
from taod.errors import BadRequest
from taod.types.sweep import SweepSettings

UNSET = "kpi"
"""The metric name that stands for the network's main metric."""


def check_model(network: Network, fields: dict[str, object]) -> None:
    """Raise BadRequest if a model's fields name parameters that its network's training does not have."""
    for field in ("automl_add_hyperparameters", "automl_remove_hyperparameters"):
        stored = fields.get(field)
        if isinstance(stored, str):
            space.check_names(network, field, space.names(field, stored))


def build_sweep(
    job_id: str,
    model: ModelRecord,
    document: merge.Document,
    *,
    saved: bool,
    devices: int,
    config: AutomlConfig,
    site: str = "",
) -> SweepRecord:
    """The sweep of a train job. Raises BadRequest or InvalidSpec for an invalid search."""
    network = get_network(model.network_arch, model.release)
    chosen = algorithm(model.automl_algorithm)
    metric = model.metric if model.metric != UNSET else network.metric
    if not metric:
        raise BadRequest(f"metric: {network.name} has no main metric; set metric to one that its training reports")
    if chosen.in_rungs and length_field(network) is None:
        raise BadRequest(
            f"automl_algorithm {chosen.name!r} trains in parts, and {network.name} has no field for its epochs; "
            "use Bayesian"
        )
    searched = space.build(
        network,
        document,
        saved=saved,
        add=space.names("automl_add_hyperparameters", model.automl_add_hyperparameters),
        remove=space.names("automl_remove_hyperparameters", model.automl_remove_hyperparameters),
    )
    base = space.without_search(document)
    whole = merge.merge(merge.default(network, "train"), base)
    settings = SweepSettings(
        algorithm=chosen.name,
        metric=metric,
        minimise=minimises(network, metric, config),
        max_recommendations=model.automl_max_recommendations,
        R=model.automl_R,
        nu=model.automl_nu,
        epoch_multiplier=model.epoch_multiplier,
        delete_checkpoints=model.automl_delete_intermediate_ckpt,
        max_parallel=config.max_parallel,
        epochs=length(network, whole),
        value=config.value,
        patience=config.patience,
        max_epochs=config.max_epochs,
        max_hours=config.max_hours,
        population=config.population,
        try_default=config.try_default,
        site=site,
    )
    return SweepRecord(
        job_id=job_id,
        settings=settings,
        space=searched.dimensions,
        notes=searched.notes,
        base=base,
        devices=devices,
        seed=secrets.randbits(31),
    )


def minimises(network: Network, metric: str, config: AutomlConfig) -> bool:
    """Whether lower values of the metric are better: by the configuration, else by the catalogue."""
    if metric in config.minimise:
        return True
    return metric not in config.maximise and network.minimises(metric)
