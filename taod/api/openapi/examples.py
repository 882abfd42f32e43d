"""Examples of requests and responses, and links between operations, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, get_args, get_origin

import msgspec

from taod.types.common import ErrorBody, Health, Login
from taod.types.dataset import (
    CheckState,
    Dataset,
    DatasetCheck,
    DatasetCreate,
    DatasetFormat,
    DatasetFromJob,
    DatasetLink,
    DatasetProblem,
    DatasetReport,
    DatasetSample,
    DatasetSummary,
    DatasetType,
    SplitSummary,
    UploadAnswer,
)
from taod.types.device import Device, DeviceKind, DeviceLease
from taod.types.job import (
    Artifact,
    DetailedStatus,
    HistoryEntry,
    Job,
    JobDetail,
    JobResources,
    JobRun,
    JobView,
    Kpi,
    ProcessInfo,
    Result,
)
from taod.types.leaderboard import Leaderboard, LeaderboardEntry
from taod.types.model import Model, ModelCreate, Ptm, PtmCreate
from taod.types.network import ActionInfo, NetworkArch, NetworkInfo, ParameterInfo
from taod.types.notification import (
    DeliveryState,
    NotifyDelivery,
    NotifyEvent,
    NotifyState,
    NotifyTarget,
    NotifyTestResult,
)
from taod.types.plan import PlannedJob
from taod.types.queue import QueueState
from taod.types.release_change import ActionChange, FieldChange, FieldChangeKind, ReleaseChange
from taod.types.state import State, Status
from taod.types.sweep import Dimension, Importance, SweepView, TrialView
from taod.types.tool import ActionCheck, EntryPoint, Environment, ToolInfo, ToolProgress, ToolState

Document = dict[str, Any]

_DATASET = "3f0c8e7a-52b4-4d1e-9c55-1f6f1b0c2a10"
_MODEL = "8a4b1f52-9d0e-4b3c-8f5a-6f3f0a7d9c21"
_JOB = "c1d2e3f4-0a1b-4c2d-8e3f-4a5b6c7d8e9f"
_TRIAL = "7d4c9e02-3b1f-5a86-9c0d-2e5f8a1b6c43"
_TUNED = "train.train_config.optimizer.weight_decay"
_PTM = "0b8d3c11-7a6e-5f40-9d21-3e4f5a6b7c8d"
_DATE = "2024-05-01T09:30:00.000000+00:00"
_NGC = "nvidia/tao/pretrained_fan_classification_imagenet:fan_hybrid_tiny"

_job = Job(
    id=_JOB,
    action="train",
    parent_id=None,
    status=Status.RUNNING,
    created_on=_DATE,
    last_modified=_DATE,
    result=Result(
        eta="0:04:10",
        kpi=[Kpi("val_loss", {"1": 0.91, "2": 0.63})],
        epoch=2,
        max_epoch=10,
        time_per_epoch="0:00:31",
        detailed_status=DetailedStatus("5/1/2024", "9:31:2", "RUNNING", "Training"),
    ),
)

_SPEC = {"train": {"train_config": {"runner": {"max_epochs": 10}}}}
_FOLDER = f"~/.local/share/taod/jobs/{_JOB}"
_ARGV = [
    "classification_pyt",
    "train",
    f"--experiment_spec_file={_FOLDER}/spec.yaml",
    f"--results_dir={_FOLDER}/results/",
]
_summary = DatasetSummary(
    "linked",
    images=640,
    files=641,
    bytes=5_242_880,
    classes=["daisy", "rose"],
    splits=[SplitSummary("train", 640, {"daisy": 320, "rose": 320})],
)
_view = JobView(
    **{name: getattr(_job, name) for name in Job.__struct_fields__},
    state=State.RUNNING,
    reason="Running with embedded",
    owner_kind="model",
    owner_id=_MODEL,
    owner_name="Flower reader",
    network="classification_pyt",
    runner="embedded",
    devices=["cpu:0"],
    started_at=_DATE,
    attempt=1,
    metric="val_loss",
    metric_value=0.63,
)

_environment = Environment(
    name="pytorch-7.3.0",
    tool="pytorch",
    release="7.3.0",
    package="nvidia-tao-pytorch",
    path="~/.local/share/taod/tools/pytorch-7.3.0",
    state=ToolState.READY,
    python="3.12.1",
    steps_done=7,
    steps=7,
    entry_points=[EntryPoint("dino", [ActionCheck("train", True)])],
    installed_at=_DATE,
    checked_at=_DATE,
    size_bytes=6_900_000_000,
)

SCHEMAS: dict[str, msgspec.Struct] = {
    "ToolInfo": ToolInfo(
        tool="pytorch",
        release="7.3.0",
        package="nvidia-tao-pytorch",
        title="PyTorch networks",
        python="3.12",
        licence="NVIDIA Proprietary Software",
        download_mb=3400,
        disk_mb=7200,
        cpu_download_mb=750,
        cpu_disk_mb=3000,
        environments=[_environment],
    ),
    "Environment": _environment,
    "NotifyState": NotifyState(
        targets=[
            NotifyTarget(
                name="mail",
                kind="apprise",
                address="mailtos://***",
                events=[NotifyEvent.FAILED, NotifyEvent.STALLED],
                users=[],
                networks=[],
                undelivered=1,
                error="SMTP server mail.example did not answer",
                delivered_on=_DATE,
            )
        ],
        undelivered=[
            NotifyDelivery(
                id=_TRIAL,
                target="mail",
                event=NotifyEvent.FAILED,
                subject="taod on vision-1: train of Flower reader failed",
                state=DeliveryState.PENDING,
                attempts=3,
                error="SMTP server mail.example did not answer",
                created_on=_DATE,
            )
        ],
    ),
    "NotifyTestResult": NotifyTestResult("mail", delivered=True),
    "ReleaseChange": ReleaseChange(
        model_id=_MODEL,
        network="classification_pyt",
        release="5.0",
        to="7.3",
        known=["5.0", "7.3"],
        actions=[
            ActionChange(
                "train",
                saved=True,
                changes=[
                    FieldChange(
                        FieldChangeKind.RENAMED, "train.train_config.runner.max_epochs", "train.num_epochs", 40
                    ),
                    FieldChange(FieldChangeKind.NEW, "train.optim.warmup_epochs", value=20),
                ],
                converted={"train": {"num_epochs": 40}},
            )
        ],
    ),
    "ToolProgress": ToolProgress("pytorch-7.3.0", 3, 7, "PyTorch", "torch", 520_000_000, 41.5),
    "ErrorBody": ErrorBody(400, "type = 5: Expected str, got int"),
    "Login": Login(user_id="5d0f4a6e-1c2b-4a3d-9e8f-7a6b5c4d3e2f", token="<a token>"),
    "Job": _job,
    "Dataset": Dataset(
        id=_DATASET,
        jobs=[],
        logo="https://www.nvidia.com",
        name="Flowers",
        type=DatasetType.IMAGE_CLASSIFICATION,
        format=DatasetFormat.CLASSIFICATION_PYT,
        actions=[],
        version="1.0.0",
        created_on=_DATE,
        description="My TAO Dataset",
        last_modified=_DATE,
    ),
    "DatasetSummary": _summary,
    "UploadAnswer": UploadAnswer("Received 641 files", files=641, bytes=5_242_880, summary=_summary),
    "DatasetReport": DatasetReport(
        CheckState.DONE,
        "Checked 640 items with 640 labels: 1 problem",
        items=640,
        labels=640,
        classes={"daisy": 320, "rose": 320},
        problems=1,
        first=[DatasetProblem("images_train/rose/7.jpg", 0, "the image cannot be read", "a whole image")],
        progress=1.0,
    ),
    "DatasetSample": DatasetSample(0, "images_train/rose/1.jpg", ["rose"]),
    "Model": Model(
        id=_MODEL,
        ptm=[],
        jobs=[_job],
        logo="https://www.nvidia.com",
        name="Flower reader",
        metric="kpi",
        public=False,
        actions=["train", "evaluate", "export", "gen_trt_engine", "inference"],
        version="1.0.0",
        automl_R=27,
        ngc_path="",
        automl_nu=3,
        read_only=False,
        created_on=_DATE,
        description="My TAO Model",
        dataset_type=DatasetType.IMAGE_CLASSIFICATION,
        eval_dataset=_DATASET,
        network_arch=NetworkArch.CLASSIFICATION_PYT,
        last_modified=_DATE,
        automl_enabled=False,
        train_datasets=[_DATASET],
        automl_algorithm=None,
        epoch_multiplier=1,
        inference_dataset=None,
        additional_id_info=None,
        calibration_dataset=None,
        automl_add_hyperparameters="[]",
        automl_max_recommendations=20,
        automl_remove_hyperparameters="[]",
        automl_delete_intermediate_ckpt=False,
        encryption_key="tlt_encode",
    ),
    "JobView": _view,
    "Leaderboard": Leaderboard(
        metric="val_loss",
        lower_is_better=True,
        metrics=["val_loss", "val_acc"],
        total=1,
        entries=[
            LeaderboardEntry(
                job_id=_view.id,
                owner_kind="model",
                owner_id=_MODEL,
                owner_name="Flower reader",
                network="classification_pyt",
                action="train",
                state=State.DONE,
                best=0.59,
                epoch=7,
                last=0.63,
                ended_at=_DATE,
                datasets=["Flowers"],
                release="5.0",
            )
        ],
    ),
    "QueueState": QueueState(
        paused=True,
        by="local",
        reason="a new driver",
        since=_DATE,
        running=1,
        queued=3,
        waiting=2,
        held=0,
        max_running=0,
        max_running_per_user=0,
        max_queued_per_user=0,
        ageing_s_per_point=3600.0,
    ),
    "JobDetail": JobDetail(
        _view,
        history=[HistoryEntry(_DATE, State.RUNNING, "Running with embedded")],
        spec=_SPEC,
        process=ProcessInfo(command=_ARGV, pid=4711, started_at=_DATE),
        folder=_FOLDER,
        resources=JobResources(412.5, False, 9_126_805_504, 21_474_836_480),
    ),
    "Artifact": Artifact("results/train/epoch_1.pth", 44_843_271, _DATE),
    "PlannedJob": PlannedJob(
        id="dry-run-1",
        network="classification_pyt",
        action="train",
        parent_id=None,
        runner="embedded",
        image="tlt-pytorch",
        devices_wanted=1,
        argv=_ARGV,
        executes=_ARGV,
        environment={"CUDA_VISIBLE_DEVICES": "0"},
        reads=["~/data/flowers"],
    ),
    "Health": Health(status="ok", version="0.1.0", uptime_s=12.5),
    "Device": Device(
        id="cpu:0",
        kind=DeviceKind.CPU,
        index=0,
        name="CPU slot 0",
        leases=[DeviceLease(_JOB, "train", "classification_pyt", 0, _DATE)],
        utilisation_percent=71.5,
    ),
    "NetworkInfo": NetworkInfo(
        name="dino",
        kind="network",
        dataset_type="object_detection",
        formats=["coco"],
        image="tlt-pytorch",
        spec_format="yaml",
        actions=[ActionInfo("train", runners=["embedded"]), ActionInfo("evaluate", may_follow=["train"])],
        metric="val_mAP",
    ),
    "ParameterInfo": ParameterInfo(
        path="train.num_epochs",
        title="num epochs",
        description="Number of epochs",
        type="int",
        actions=["train"],
        default=12,
        minimum=1,
        popular=True,
    ),
    "Ptm": Ptm(_PTM, "fan_hybrid_tiny", NetworkArch.CLASSIFICATION_PYT, _NGC, "/srv/weights/fan_hybrid_tiny.pth"),
    "SweepView": SweepView(
        job_id=_JOB,
        state=State.RUNNING,
        reason="Runs its experiments",
        algorithm="Bayesian",
        sampler="gp",
        metric="loss",
        direction="minimise",
        best=0,
        best_value=0.63,
        best_params={_TUNED: 0.05},
        trials=[
            TrialView(
                number=0,
                job_id=_TRIAL,
                params={_TUNED: 0.05},
                value=0.63,
                epochs=10,
                state=State.DONE,
                outcome="done",
            )
        ],
        planned=20,
        space=[Dimension(path=_TUNED, kind="float", low=0.005, high=0.5, log=True, default=0.05)],
        notes=[],
        importances=[Importance(_TUNED, 1.0)],
        epochs_trained=10,
        started_at=_DATE,
    ),
}
"""Name of a Struct → example instance, for its schema."""

_new_model = ModelCreate(
    network_arch="classification_pyt",
    name="Flower reader",
    encryption_key="tlt_encode",
    train_datasets=[_DATASET],
    eval_dataset=_DATASET,
)

BODIES: dict[str, dict[str, Any]] = {
    "create_dataset": {"images": DatasetCreate("image_classification", "classification_pyt", name="Flowers")},
    "put_dataset": {"renamed": {"name": "Flowers", "version": "1.1.0"}},
    "patch_dataset": {"renamed": {"name": "Flowers"}},
    "make_dataset": {"named": DatasetFromJob(name="Flowers as COCO", type="instance_segmentation")},
    "begin_check": {"whole": DatasetCheck(deep=True)},
    "link_dataset": {"folder": DatasetLink("~/data/flowers")},
    "create_model": {"classifier": _new_model, "least": {"network_arch": "detectnet_v2"}},
    "put_model": {"replaced": _new_model},
    "patch_model": {"data": {"train_datasets": [_DATASET]}, "automl": {"automl_enabled": True, "automl_R": 9}},
    "move_release": {
        "converted": {"release": "7.3"},
        "defaults": {"release": "7.3", "convert": False, "abandon_checkpoints": True},
    },
    "register_ptm": {"file": PtmCreate("~/weights/fan_hybrid_tiny.pth", "classification_pyt", _NGC)},
    "dataset_run_jobs": {"convert": [JobRun(["convert"])]},
    "model_run_jobs": {
        "train": [JobRun(["train"])],
        "chain": [JobRun(["evaluate", "export"], job=_JOB)],
        "object": JobRun(["train"]),
    },
    "dataset_post_specs": {"empty": {}},
    "dataset_put_specs": {"nothing": {}},
    "model_post_specs": {"epochs": {"train": {"train_config": {"runner": {"max_epochs": 10}}}}},
    "model_put_specs": {"epochs": {"train": {"train_config": {"runner": {"max_epochs": 20}}}}},
    "job_change": {
        "first": {"priority": 10},
        "held": {"held": True},
        "moved": {"before": _JOB},
        "front": {"position": "front"},
    },
    "install_tool": {
        "cpu": {"accept_license": True, "cpu": True},
        "release": {"accept_license": True, "release": "5.1.0"},
    },
    "test_notify": {"all": {}, "one": {"target": "mail"}},
    "change_queue": {"pause": {"paused": True, "reason": "a new driver"}, "open": {"paused": False}},
}
"""Operation id → examples of request bodies."""

ANSWERS: dict[str, Any] = {
    "index": {"networks": "/api/v1/networks", "devices": "/api/v1/devices", "openapi": "/openapi.json"},
    "user_index": {"name": "local", "dataset": "/api/v1/user/5d0f4a6e-1c2b-4a3d-9e8f-7a6b5c4d3e2f/dataset"},
    "counts": {state: int(state is State.RUNNING) for state in State},
    "run_jobs": [_JOB],
    "get_schema": {"type": "object", "properties": {"train": {"type": "object"}}, "default": _SPEC},
    "get_specs": _SPEC,
    "post_specs": _SPEC,
    "put_specs": _SPEC,
    "get_log": "Epoch 1 of 10\n",
    "get_file": "the file's bytes",
    "get_sample": "the JPEG's bytes",
    "get_sweep_csv": f"number,job_id,outcome,state,loss,epochs,{_TUNED},reason\n0,{_TRIAL},done,done,0.63,10,0.05,\n",
    "metrics": 'taod_jobs{state="running"} 1.0\n',
    "events": {
        "id": "4d9978c1-26",
        "event": "dataset",
        "data": f'{{"id":"{_DATASET}","change":"updated","detail":""}}',
    },
}
"""Name of a handler → example of a response that is not a Struct."""


def answer(handler: str, kind: Any) -> Any:
    """Example of a handler's successful response; None for an archive. Raises KeyError without an example."""
    if handler == "download":
        return None
    if handler in ANSWERS and not is_plan(kind):
        return ANSWERS[handler]
    if get_origin(kind) is list:
        return [SCHEMAS[get_args(kind)[0].__name__]]
    return SCHEMAS[kind.__name__]


def is_plan(kind: Any) -> bool:
    """Whether a type is the response of a dry run, which is a handler's second response."""
    return bool(kind == list[PlannedJob])


_OWNER = ("get_{kind}", "patch_{kind}", "put_{kind}", "delete_{kind}", "{kind}_list_jobs", "{kind}_run_jobs")
_OWNED = ("{kind}_get_job", "{kind}_cancel_job", "{kind}_delete_job", "{kind}_download", "{kind}_get_log")


def links(path: str, method: str) -> Document:
    """Links from the response of a POST to operations on the created owner, or on the first created job."""
    if method != "post":
        return {}
    user = {"user_id": "$request.path.user_id"}
    for kind in ("dataset", "model"):
        name = f"{kind}_id"
        if path.endswith(f"/{kind}"):
            more: Iterable[str] = (
                ("upload_dataset", "link_dataset", "get_summary", "begin_check", "get_report", "get_samples")
                if kind == "dataset"
                else ()
            )
            return _links((*_OWNER, *more), kind, user | {name: "$response.body#/id"})
        if path.endswith(f"/{kind}/{{{name}}}/job"):
            known = user | {name: f"$request.path.{name}", "job_id": "$response.body#/0"}
            more = ("cancel_or_pause_job", "resume_job") if kind == "model" else ()
            return _links((*_OWNED, *more), kind, known) | _links(
                ("job_detail", "job_pause", "job_resume"), kind, user | {"job_id": "$response.body#/0"}
            )
    return {}


def _links(names: Iterable[str], kind: str, known: Document) -> Document:
    ids = [name.format(kind=kind) for name in names]
    return {each: {"operationId": each, "parameters": known} for each in ids}
