"""Data for the tests of all screens: jobs, devices, datasets and a model with fixed ids, times and values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from taod.types.dataset import Dataset, DatasetFormat, DatasetSummary, DatasetType, SplitSummary
from taod.types.event import EventType
from taod.types.job import Categorical, CategoryValue, Graphical, HistoryEntry, Job, Result
from taod.types.model import Model
from taod.types.queue import QueueState
from taod.types.release_change import ActionChange, FieldChange, FieldChangeKind, ReleaseChange
from taod.types.state import State, Status
from taod.types.sweep import Dimension, Importance, SweepView, TrialView
from taod.types.tool import ActionCheck, Consent, EntryPoint, Environment, ToolInfo, ToolState

NOW = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
SCHEMA = {
    "type": "object",
    "default": {"train": {"num_epochs": 10, "optim": {"type": "AdamW", "lr": 0.001}}, "gpus": 1},
    "popular": {"train": {"num_epochs": 10}},
    "properties": {
        "train": {
            "type": "object",
            "properties": {
                "num_epochs": {
                    "type": "integer", "minimum": 1, "title": "epochs", "default": 10,
                    "description": "How often the training images are gone through.",
                },
                "optim": {
                    "type": "object",
                    "properties": {
                        "type": {"type": "string", "enum": ["AdamW", "SGD"], "default": "AdamW", "title": "optimiser"},
                        "lr": {"type": "number", "exclusiveMinimum": 0, "default": 0.001, "title": "learning rate"},
                    },
                },
            },
        },
        "gpus": {"type": "integer", "minimum": 1, "default": 1, "title": "GPUs"},
    },
}  # fmt: skip


def uuid(number: int) -> str:
    return f"{number:08x}-1111-4222-8333-{number:012x}"


def fill(world: Any, contract: Any) -> Any:
    """Jobs that run, wait, are done, failed, cancelled and held; two devices, two datasets, a model."""
    world.stamp = lambda seconds_ago=0.0: (NOW - timedelta(seconds=seconds_ago)).isoformat(timespec="microseconds")
    digits, birds = uuid(0xD1), uuid(0xD2)
    running = world.add_job(
        id=uuid(0xA1B2C3D4), owner_id=digits, result=Result(epoch=3, max_epoch=8, eta="0:00:41.2"),
        reason="running on GPU0", metric="accuracy_top-1", metric_value=0.9134, devices=["GPU-0"], runner="embedded",
        seconds_ago=300, started_at=world.stamp(280), queued_at=world.stamp(299), attempt=1,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA2), action="evaluate", parent_id=running.id, owner_id=digits, state=State.WAITING,
        reason="waits for its parent train a1b2c3d4", seconds_ago=299,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA3), owner_name="birds of the north", owner_id=birds, network="dino", state=State.QUEUED,
        reason="waits for a free device (1 before it)", seconds_ago=200, metric="mAP",
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA4), owner_name="birds of the north", owner_id=birds, network="dino", state=State.HELD,
        reason="held by user", seconds_ago=190,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA5), owner_name="pedestrians", owner_id=uuid(0xD3), network="dino", state=State.FAILED,
        reason="exit code 137: killed, out of memory? It used 79.1 of 80.0 GiB", seconds_ago=4000,
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA6), owner_id=digits, state=State.DONE, result=Result(epoch=8, max_epoch=8), metric="accuracy_top-1",
        metric_value=0.8811, seconds_ago=90_000, started_at=world.stamp(89_990), ended_at=world.stamp(89_200),
    )  # fmt: skip
    world.add_job(
        id=uuid(0xA7), owner_id=digits, action="export", state=State.CANCELLED, reason="Cancelled by user",
        seconds_ago=900_000,
    )  # fmt: skip
    world.results[running.id] = Result(
        epoch=3, max_epoch=8, eta="0:00:41.2", time_per_epoch="0:00:08.2",
        kpi=[contract.kpi("accuracy_top-1", 0.61, 0.84, 0.9134), contract.kpi("train_loss", 1.9, 0.71, 0.34)],
        graphical=[Graphical("lr", contract.curve(1e-3, 9e-4, 7e-4))],
        categorical=[
            Categorical("accuracy", [CategoryValue("seven", 0.71), CategoryValue("two", 0.93)]),
        ],
    )  # fmt: skip
    world.histories[running.id] = [
        HistoryEntry(world.stamp(300), State.QUEUED, "posted"),
        HistoryEntry(world.stamp(281), State.STARTING, "on GPU0"),
        HistoryEntry(world.stamp(280), State.RUNNING, "running on GPU0"),
    ]
    world.specs[running.id] = {"train": {"num_epochs": 8, "optim": {"type": "AdamW", "lr": 0.001}}, "gpus": None}
    world.logs[running.id] = bytearray(
        b"2026-01-05 09:55:20 INFO starting train of classification_pyt\n"
        b"2026-01-05 09:55:21 WARNING 3 images cannot be read, they are left out\n"
        + b"".join(b"2026-01-05 09:56:%02d INFO epoch %d/8 loss %.2f\n" % (n, n, 2 / n) for n in range(1, 4))
        + b"2026-01-05 09:57:00 ERROR could not write the image of the network: no graphviz\n"
    )
    world.devices = [
        contract.gpu(0, leases=[contract.lease(running)]),
        contract.gpu(1, utilisation_percent=0.0, memory_used_bytes=2**30, temperature_c=34.0, power_w=71.0),
    ]
    world.schema = SCHEMA
    stamps = {"created_on": world.stamp(7200), "last_modified": world.stamp(7200)}
    for number, name in ((0xE1, "digits"), (0xE2, "digits, tilted")):
        world.datasets[uuid(number)] = Dataset(
            uuid(number), [], "", name, DatasetType.IMAGE_CLASSIFICATION, DatasetFormat.CLASSIFICATION_PYT, [],
            "1.0.0", description="handwritten", **stamps,
        )  # fmt: skip
        world.summaries[uuid(number)] = DatasetSummary(
            "linked", 1071, 3_400_000, 1072,
            splits=[SplitSummary("train", 1071, {"one": 107, "two": 110, "seven": 50})], path="/data/digits",
        )  # fmt: skip
    result = Result(epoch=3, max_epoch=8)
    job = Job(running.id, "train", None, Status.RUNNING, running.created_on, running.created_on, result)
    world.models[digits] = Model(
        digits, [], [job], "", "digits", "kpi", False, ["train", "evaluate", "export"], "1.0.0", 27, "", 3, False,
        stamps["created_on"], "My TAO Model", DatasetType.IMAGE_CLASSIFICATION, uuid(0xE2), "classification_pyt",
        stamps["created_on"], False, [uuid(0xE1)], None, 1, None, None, None, "[]", 20, "[]", False,
    )  # fmt: skip
    world.release_change = fill_release(digits)
    world.tools = tools(world.stamp(7200))
    world.running = running
    return world


def fill_release(model_id: str) -> ReleaseChange:
    """A move of a model that has checkpoints."""
    return ReleaseChange(
        model_id, "classification_pyt", "5.0", "7.3", ["5.0", "7.3"],
        [
            ActionChange("train", True, [
                FieldChange(
                    FieldChangeKind.RENAMED, "train.train_config.runner.max_epochs", "train.num_epochs", 8
                ),
                FieldChange(
                    FieldChangeKind.REJECTED, "model.head.type", "", "FANLinearClsHead",
                    "must be one of TAOLinearClsHead",
                ),
                FieldChange(FieldChangeKind.NEW, "train.optim.warmup_epochs", value=20),
            ], {"train": {"num_epochs": 8}}),
            ActionChange("evaluate", False, [], {}),
        ],
        blocked="model 'digits' has checkpoints of release 5.0 (train a1b2c3d4), which another release cannot use",
    )  # fmt: skip


def tools(stamp: str) -> list[ToolInfo]:
    """One tool that is installed for the CPU, with a network that cannot be used, and one that is not installed."""
    pytorch = ToolInfo(
        "pytorch", "7.3.0", "nvidia-tao-pytorch", "PyTorch networks", "3.12", "NVIDIA Proprietary Software",
        3400, 7200, 750, 3000,
        [Environment(
            "pytorch-7.3.0-cpu", "pytorch", "7.3.0", "nvidia-tao-pytorch", "/data/taod/tools/pytorch-7.3.0-cpu",
            ToolState.READY, cpu=True, python="3.12.1", steps_done=7, steps=7,
            consent=Consent("NVIDIA Proprietary Software", stamp, "ann"), installed_at=stamp, checked_at=stamp,
            size_bytes=6_700_000_000,
            entry_points=[
                EntryPoint("dino", [ActionCheck("train", True), ActionCheck("evaluate", True)]),
                EntryPoint("bevfusion", [ActionCheck("train", False, "No module named 'mmdet3d'")]),
            ],
        )],
    )  # fmt: skip
    services = ToolInfo(
        "data-services", "7.3.0", "nvidia-tao-ds", "data services", "3.11", "Apache License 2.0", 4000, 9000, 900, 3000
    )
    return [pytorch, services]


def sweep(world: Any) -> Any:
    """Start a sweep: of its four trials one is the best, one failed, one runs. Clients get its events."""
    job = world.add_job(
        id=uuid(0xB0), trials=4, owner_name="cats", owner_id=uuid(0xD4), reason="runs its trials", seconds_ago=60,
        started_at=world.stamp(55), metric="val_acc", metric_value=0.93,
    )  # fmt: skip
    found = []
    for number, (state, outcome, value, params) in enumerate(
        (
            (State.DONE, "done", 0.81, {"train.optim.lr": 0.01, "train.optim.type": "SGD"}),
            (State.DONE, "done", 0.93, {"train.optim.lr": 0.001, "train.optim.type": "AdamW"}),
            (State.FAILED, "failed", None, {"train.optim.lr": 0.9, "train.optim.type": "SGD"}),
            (State.RUNNING, "open", None, {"train.optim.lr": 0.0007, "train.optim.type": "AdamW"}),
        )
    ):
        trial = world.add_job(
            id=uuid(0xB1 + number), state=state, sweep_id=job.id, trial=number, owner_name="cats", owner_id=uuid(0xD4),
            reason="exit code 1: the loss is NaN" if outcome == "failed" else "", seconds_ago=50 - number,
            metric="val_acc", metric_value=value, devices=["GPU-1"] if outcome == "open" else [],
        )  # fmt: skip
        found.append(
            TrialView(
                number=number, job_id=trial.id, params=params, value=value, epochs=4, state=state, outcome=outcome
            )
        )
    world.sweeps[job.id] = SweepView(
        job_id=job.id, state=State.RUNNING, reason="", algorithm="Bayesian", sampler="gp", metric="val_acc",
        direction="maximise", best=1, best_value=0.93, best_params=found[1].params, trials=found, planned=8,
        space=[
            Dimension(path="train.optim.lr", kind="float", low=1e-5, high=1.0, log=True),
            Dimension(path="train.optim.type", kind="choice", choices=["AdamW", "SGD"]),
        ],
        notes=["gpus: is no hyperparameter"],
        importances=[Importance("train.optim.lr", 0.82), Importance("train.optim.type", 0.18)], epochs_trained=14,
    )  # fmt: skip
    for each in (job, *(world.jobs[trial.job_id] for trial in found)):
        world.publish(EventType.JOB, each)
    return job


def paused_queue(world: Any) -> QueueState:
    return msgspec.structs.replace(
        world.queue, paused=True, by="ann", since=world.stamp(600), reason="a new driver is put in"
    )
