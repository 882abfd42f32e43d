"""Resolving a job: runners are asked about the merged specification, and parents are found among planned jobs."""

from __future__ import annotations

from typing import Any

import pytest

from runners.registry import RunnerRegistry
from store import Store
from store.records import NewJob
from taod.catalogue.schema.merge import default
from taod.config import DevicesConfig, RunnerConfig
from taod.errors import BadRequest
from taod.ids import new_id
from taod.scheduler.devices.inventory import DevicePool
from taod.services.jobs.resolution import Resolver
from taod.types.state import State

NETWORK = "classification_pyt"


class Recorded(RunnerRegistry):
    """Records what runners are asked about."""

    asked: list[Any]

    def choose(self, network: str, action: str, spec: Any = None, **more: Any) -> Any:
        self.asked.append((spec, more["wanted"], more["place"]))
        return super().choose(network, action, spec, **more)


@pytest.fixture
def runners() -> Recorded:
    config = RunnerConfig(order=["embedded"])
    made = Recorded.from_config(config)
    assert isinstance(made, Recorded)
    made.asked = []
    return made


@pytest.fixture
def resolver(runners: Recorded) -> Resolver:
    return Resolver(Store.open(None), runners, DevicePool.detect(DevicesConfig(gpus=False)))


def job(action: str, spec: dict[str, Any] | None = None, **more: Any) -> NewJob:
    fields = {"parent_id": None, "state": State.WAITING, "reason": "", **more}
    return NewJob(new_id(), "user", "dataset", "d", NETWORK, action, spec=spec, **fields)


def test_the_runner_is_asked_about_the_merged_specification_once(resolver: Resolver, runners: Recorded) -> None:
    spec = {"model": {"backbone": {"type": "resnet_18"}}, "train": {"train_config": {"runner": {"max_epochs": 3}}}}
    resolved = resolver.resolve(job("train", spec))
    assert resolved.spec is not None
    group = resolved.spec["train"]["train_config"]
    assert group["runner"]["max_epochs"] == 3
    assert group["optimizer"] == default(NETWORK, "train")["train"]["train_config"]["optimizer"]
    assert runners.asked == [(resolved.spec, None, "")]
    assert resolved.runner.name == "embedded"


def test_a_chosen_runner_is_not_chosen_again(resolver: Resolver, runners: Recorded) -> None:
    chosen = resolver.choose(NETWORK, "train", None)
    resolved = resolver.resolve(job("train"), chosen)
    assert len(runners.asked) == 1 and resolved.choice is chosen.choice


def test_parents_are_found_among_the_jobs_of_the_same_request(resolver: Resolver) -> None:
    train = job("train")
    export = job("export", parent_id=train.id)
    planned = {each.id: each for each in (train, export)}
    assert resolver.resolve(job("gen_trt_engine", parent_id=export.id), None, planned).ancestors == [export, train]
    assert resolver.resolve(job("export", parent_id=new_id())).ancestors == []


def test_a_missing_runner_raises_its_reason_when_needed(resolver: Resolver) -> None:
    resolved = resolver.resolve(job("train", asked_runner="native"))
    with pytest.raises(BadRequest, match=f"no runner can do {NETWORK} train"):
        _ = resolved.runner


def test_a_job_whose_model_was_deleted_is_not_resolved(resolver: Resolver) -> None:
    gone = NewJob(new_id(), "user", "model", new_id(), NETWORK, "train", None, State.WAITING, "")
    with pytest.raises(BadRequest, match="was deleted"):
        resolver.resolve(gone)
