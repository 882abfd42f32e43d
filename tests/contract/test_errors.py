"""What the API says when it rejects: every text names the field, the value, and what is allowed or what to do."""

from __future__ import annotations

import asyncio
import json
import uuid
from typing import Any

import pytest

from taod.types.state import State
from tests.api.conftest import Server, config, gate, images, server, tool_path
from tests.patience import PATIENCE_S

__all__ = ["config", "gate", "images", "server", "tool_path"]

ABSENT = str(uuid.uuid4())
ARCH = {"network_arch": "classification_pyt"}
KIND = {"type": "bpnet", "format": "default"}
EPOCHS = {"train": {"train_config": {"runner": {"max_epochs": "many"}}}}
WEIGHT_DECAY = ["train.train_config.optimizer.weight_decay"]
RAW = {"Content-Type": "application/octet-stream"}

Row = tuple[str, str, int, dict[str, Any], tuple[str, ...]]


def body(value: Any) -> dict[str, Any]:
    return {"content": json.dumps(value)}


QUERIES: list[Row] = [
    ("GET", "/dataset?skip=-1", 400, {}, ("skip=-1", "whole number, 0 or more")),
    ("GET", "/dataset?size=ten", 400, {}, ("size=ten", "whole number, 0 or more")),
    ("GET", f"/dataset?size={2**63}", 400, {}, (f"size={2**63}", "whole number")),
    ("GET", "/dataset?sort=size", 400, {}, ("sort=size", "date-descending", "name-ascending")),
    ("GET", "/dataset?type=cats", 400, {}, ("type=cats", "object_detection", "re_identification")),
    ("GET", "/model?arch=resnet", 400, {}, ("arch=resnet", "detectnet_v2", "segformer")),
    ("GET", "/model?read_only=perhaps", 400, {}, ("read_only=perhaps", "true or false")),
    ("GET", "/ptm?network_arch=resnet", 400, {}, ("network_arch=resnet", "detectnet_v2")),
    ("GET", "/job?status=Lost", 400, {}, ("status=Lost", "Pending", "Done")),
    ("GET", "/job?state=lost", 400, {}, ("state=lost", "waiting", "cancelled")),
    ("GET", "/job?sort=name-ascending", 400, {}, ("sort=name-ascending", "date-ascending")),
    ("GET", "/model/{model}/job?size=", 400, {}, ("size=", "whole number")),
    ("GET", "/job/{done}/log?tail=x", 400, {}, ("tail=x", "whole number")),
    ("GET", "/job/{done}/log?follow=x", 400, {}, ("follow=x", "true or false")),
]

BODIES: list[Row] = [
    ("POST", "/dataset", 400, {"content": "{"}, ("the body is not JSON", "send a JSON document")),
    ("POST", "/dataset", 400, body([1]), ("the body is [1]", "expected a JSON object")),
    ("POST", "/dataset", 400, body({}), ("type is required", "object_detection")),
    ("POST", "/dataset", 400, body({"type": "bpnet"}), ("format is required", "kitti", "default")),
    ("POST", "/dataset", 400, body(KIND | {"type": "cats"}), ("type 'cats'", "object_detection")),
    ("POST", "/dataset", 400, body(KIND | {"format": "kitti"}), ("format 'kitti'", "'bpnet'", "default")),
    ("POST", "/dataset", 400, body(KIND | {"name": 5}), ("name = 5", "Expected str")),
    ("POST", "/dataset", 400, body(KIND | {"nmae": 5}), ("'nmae' is unknown", "did you mean 'name'")),
    ("POST", "/dataset", 400, body(KIND | {"jobs": []}), ("'jobs' cannot be set", "known: ", "version")),
    ("PATCH", "/dataset/{dataset}", 400, body({"type": "bpnet"}), ("type cannot be changed", "'bpnet'", "new one")),
    ("PUT", "/dataset/{dataset}", 400, body({"format": "raw"}), ("format cannot be changed", "'raw'", "new one")),
    ("POST", "/dataset/{dataset}/link", 400, body({}), ("path is required",)),
    ("POST", "/dataset/{dataset}/link", 400, body({"path": "x"}), ("path 'x'", "give an absolute path")),
    ("POST", "/dataset/{dataset}/link", 400, body({"path": "/etc"}), ("path '/etc'", "storage.link_roots")),
    (
        "POST",
        "/dataset/{dataset}/link",
        400,
        body({"path": "{folder}/no"}),
        ("/no'", "is not a folder", "link its folder"),
    ),
    ("POST", "/dataset/{dataset}/check", 400, body({"deep": 2}), ("deep = 2", "Expected bool")),
    ("POST", "/dataset/{boxes}/check", 400, body({}), ("has no files to check", "upload or link them first")),
    ("POST", "/job/{done}/dataset", 400, body({}), ("only jobs of analytics, annotations", "leave datasets")),
    ("DELETE", "/dataset/{boxes}/check", 404, {}, ("no check", "GET …/report")),
    ("GET", "/dataset/{boxes}/samples/0", 404, {}, ("no sample 0", "GET …/samples")),
    ("GET", "/dataset/{boxes}/samples/x", 404, {}, ("no sample 'x'", "GET …/samples")),
    ("GET", "/dataset/{boxes}/samples/0?boxes=7", 400, {}, ("boxes=7", "true or false")),
    ("POST", "/model", 400, body({}), ("network_arch is required", "detectnet_v2")),
    ("POST", "/model", 400, body({"network_arch": "resnet"}), ("network_arch 'resnet'", "detectnet_v2")),
    ("POST", "/model", 400, body(ARCH | {"dataset_type": "bpnet"}), ("dataset_type 'bpnet'", "'image_classification'")),
    ("POST", "/model", 400, body(ARCH | {"automl_R": 0}), ("automl_R = 0", ">= 1")),
    ("POST", "/model", 400, body(ARCH | {"automl_nu": 2**31}), ("automl_nu = 2147483648", "<= 2147483647")),
    ("POST", "/model", 400, body(ARCH | {"automl_algorithm": "luck"}), ("automl_algorithm 'luck'", "Bayesian, HyperB")),
    (
        "POST",
        "/model",
        400,
        body(ARCH | {"automl_add_hyperparameters": ["train.train_config.optimizer.le"]}),
        ("automl_add_hyperparameters", "'train.train_config.optimizer.le'", "'train.train_config.optimizer.lr'"),
    ),
    (
        "PATCH",
        "/model/{model}",
        400,
        body({"automl_remove_hyperparameters": "['weight_decay']"}),
        ("automl_remove_hyperparameters: 'weight_decay'", "nearest is 'train.train_config.optimizer.weight_decay'"),
    ),
    (
        "POST",
        "/model/{model}/specs/train",
        400,
        body({"automl": {"train.train_config.optimizer.lr": {"min": 0.1, "max": 0.01}}}),
        ("$.automl.train.train_config.optimizer.lr", "min 0.1 is not below max 0.01"),
    ),
    (
        "POST",
        "/model/{model}/specs/train",
        400,
        body({"automl": {"train.train_config.optimizer.lr": {"least": 0.1}}}),
        ("$.automl.train.train_config.optimizer.lr", "`least`", "known are min, max, log, values"),
    ),
    ("POST", "/model", 400, body({"network_arch": "mal", "automl_enabled": True}), ("automl_enabled = true", "false")),
    (
        "POST",
        "/model",
        400,
        body(ARCH | {"automl_add_hyperparameters": "a.b"}),
        ("automl_add_hyperparameters", "'a.b'", "['a.b', 'c']"),
    ),
    ("POST", "/model", 400, body(ARCH | {"train_datasets": "x"}), ('train_datasets = "x"', "Expected array")),
    ("POST", "/model", 400, body(ARCH | {"train_datasets": [ABSENT]}), ("train_datasets", ABSENT, "GET …/dataset")),
    ("POST", "/model", 400, body(ARCH | {"eval_dataset": "{boxes}"}), ("eval_dataset", "'kitti' boxes", "needs")),
    ("POST", "/model", 400, body(ARCH | {"ptm": [ABSENT]}), ("ptm", ABSENT, "GET …/ptm")),
    ("POST", "/model", 400, body(ARCH | {"ptm": ["{model}"]}), ("ptm", "no pretrained model", "GET …/ptm")),
    ("PATCH", "/model/{model}", 400, body({"network_arch": "dino"}), ("network_arch cannot", "'dino'", "new one")),
    ("PATCH", "/model/{kept}", 400, body({"name": "x"}), ("'kept'", "set read_only to false first")),
    ("DELETE", "/model/{kept}", 400, {}, ("'kept' has read_only set", "set read_only to false first")),
    ("DELETE", "/dataset/{dataset}", 400, {}, ("'images'", "'reader'", "remove it from them first")),
    ("POST", "/ptm", 400, body(ARCH), ("path is required",)),
    ("POST", "/ptm", 400, body(ARCH | {"path": "{folder}/no"}), ("/no'", "no such file", "name one below")),
    ("POST", "/ptm", 400, body(ARCH | {"path": "/no"}), ("path '/no'", "storage.link_roots", "add")),
    ("POST", "/ptm", 400, body(ARCH | {"path": "/etc/passwd"}), ("path '/etc/passwd'", "storage.link_roots", "add")),
    ("POST", "/ptm", 400, body({"network_arch": "r", "path": "/"}), ("network_arch 'r'", "detectnet_v2")),
    ("PATCH", "/job/{done}", 400, body({"priority": 1}), ("is done", "has not started", "post a new one")),
    ("PATCH", "/job/{held}", 400, body({"priority": 10**9}), ("priority = 1000000000", "<= 100")),
    ("PATCH", "/job/{held}", 400, body({"state": "done"}), ("'state' cannot be set", "known: after", "held")),
    ("PATCH", "/job/{held}", 400, body({"priority": -101}), ("priority = -101", ">= -100")),
    ("PATCH", "/job/{held}", 400, body({"spec": EPOCHS}), ("max_epochs", "many")),
    (
        "PATCH",
        "/job/{held}",
        400,
        body({"position": "front"}),
        ("position", "is held", "only a queued job has a position"),
    ),
    ("PATCH", "/job/{held}", 400, body({"position": "first"}), ("position", "'first'")),
    ("PATCH", "/job/{held}", 400, body({"before": ABSENT, "after": ABSENT}), ("before and after", "one of them")),
    ("PATCH", "/job/{held}", 400, body({"devices_wanted": 0}), ("devices_wanted = 0", ">= 1")),
    ("PATCH", "/job/{held}", 400, body({"devices_wanted": 2}), ("devices_wanted = 2", "takes 1", "send 1 or less")),
    ("GET", "/queue?size=x", 400, {}, ("size=x", "whole number")),
]

SPECS: list[Row] = [
    ("POST", "/model/{model}/specs/train", 400, body(EPOCHS), ("$.train.train_config.runner.max_epochs", 'not "many"')),
    ("POST", "/model/{model}/specs/train", 400, body([]), ("the body is []", "JSON object")),
    (
        "PUT",
        "/model/{model}/specs/evaluate",
        404,
        body({}),
        ("no spec was saved for evaluate", "/schema has a default"),
    ),
    ("GET", "/model/{model}/specs/evaluate", 404, {}, ("no spec was saved for evaluate", "/schema has a default")),
    ("GET", "/model/{model}/specs/fly", 404, {}, ("no action 'fly'", "train, evaluate")),
    ("GET", "/model/{model}/specs/fly/schema", 404, {}, ("no action 'fly'", "train, evaluate")),
]

RUNS: list[Row] = [
    ("POST", "/model/{model}/job", 400, body([]), ("the body is []", '"actions"')),
    ("POST", "/model/{model}/job", 400, body("train"), ('the body is "train"', '"actions"')),
    ("POST", "/model/{model}/job", 400, body([[]]), ("[0]: Expected object, got array",)),
    ("POST", "/model/{model}/job", 400, body([{"job": None}]), ("[0].actions is required",)),
    ("POST", "/model/{model}/job", 400, body([{"actions": []}]), ("actions: name at least one", '["train"]')),
    ("POST", "/model/{model}/job", 400, body([{"actions": ["fly"]}]), ("actions", "'fly'", "train, evaluate")),
    ("POST", "/model/{model}/job", 400, body([{"actions": "train"}]), ('[0].actions = "train"', "Expected array")),
    ("POST", "/model/{model}/job", 400, body([{"actions": ["export"], "job": ABSENT}]), (ABSENT, "no such job")),
    (
        "POST",
        "/model/{model}/job",
        400,
        body([{"actions": ["export"], "job": "{failed}"}]),
        ("{failed}", "cannot be the parent", "resume it, or name another one"),
    ),
    ("POST", "/model/{bare}/job", 400, body([{"actions": ["train"]}]), ("needs train_datasets", "PATCH …/model/")),
    ("POST", "/model/{bare}/job", 400, body([{"actions": ["export"]}]), ("needs a parent", "follows train", "run one")),
    (
        "POST",
        "/model/{model}/job",
        400,
        body([{"actions": ["gen_trt_engine"], "job": "{done}"}]),
        ("{done}", "cannot be the parent of gen_trt_engine", "follows export"),
    ),
    (
        "POST",
        "/model/{sweep}/job",
        400,
        body([{"actions": ["train"]}]),
        ("automl_enabled", "nothing to search for classification_pyt", "name parameters in automl_add_hyperparameters"),
    ),
    (
        "POST",
        "/model/{unreal}/job",
        400,
        body([{"actions": ["train"]}]),
        ("segformer train", "native", "runner.native.path"),
    ),
    ("POST", "/model/{model}/job/{held}/resume", 400, {}, ("it is held", "only a paused, cancelled or failed train")),
    ("POST", "/job/{held}/pause", 400, {}, ("it is a train, held", "only a running train, distill or retrain")),
    ("DELETE", "/job/{held}", 400, {}, ("Pending (held)", "cancel it first")),
    ("POST", "/model/{model}/job/{done}/cancel", 404, {}, ("it is Done already", "only a job that has not ended")),
    ("POST", "/model/{model}/job/{failed}", 404, {}, ("it is Error already", "only a job that has not ended")),
]

ABSENCES: list[Row] = [
    ("GET", f"/dataset/{ABSENT}", 404, {}, (f"dataset {ABSENT} not found", "GET …/dataset")),
    ("GET", "/dataset/7", 404, {}, ("dataset 7 not found", "GET …/dataset")),
    ("GET", f"/model/{ABSENT}", 404, {}, (f"model {ABSENT} not found", "GET …/model")),
    ("GET", f"/job/{ABSENT}", 404, {}, (f"job {ABSENT} not found", "GET …/job")),
    ("GET", f"/model/{{model}}/job/{ABSENT}", 404, {}, (f"has no job {ABSENT}", "GET …/model/")),
    ("GET", f"/dataset/{{dataset}}/job/{ABSENT}", 404, {}, (f"has no job {ABSENT}", "GET …/dataset/")),
    ("GET", "/job/{held}/log", 404, {}, ("has no log yet", "it is held")),
    ("GET", "/job/{held}/download", 404, {}, ("nothing to download yet", "it is held")),
    ("GET", "/model/{model}/job/{done}/sweep", 404, {}, ("is no sweep", "a train of a model with automl_enabled is")),
    ("POST", "/model/{model}/job/{done}/sweep/finish", 404, {}, ("is no sweep",)),
    ("GET", "/job/{done}/files/no.txt", 404, {}, ("no file 'no.txt'", "GET …/files")),
    ("GET", "/job/{done}/files/../../taod.db", 404, {}, ("job taod.db not found", "GET …/job")),
    ("GET", "/nowhere", 404, {}, ("nothing at /api/v1/user/", "/nowhere", "GET /api/v1 lists")),
    ("DELETE", "/dataset", 405, {}, ("DELETE", "/dataset", "it allows GET, HEAD, OPTIONS, POST")),
    ("GET", "/job/{done}/log", 416, {"headers": {"Range": "bytes=999999-"}}, ("bytes=999999-", "there are")),
]

UPLOADS: list[Row] = [
    ("POST", "/dataset/{empty}/upload", 400, {"content": b"x", "headers": {"Content-Type": "text/plain"}},
     ("begins with b'x'", ".tar.gz", ".zip")),
    ("POST", "/dataset/{empty}/upload", 400, {"files": {"notes": ("a.zip", b"x")}}, ("b'x'", ".tar.gz", ".zip")),
    ("POST", "/dataset/{empty}/upload", 400, {"files": {"note": (None, "x")}}, ("carries no file", "note", "'file'")),
    ("POST", "/dataset/{empty}/upload", 400, {"content": b"not an archive", "headers": RAW}, (".tar", ".zip")),
    ("POST", "/dataset", 413, {"content": b" " * (1 << 18) + b"{}"}, ("limits.body_bytes", "send less", "taod.toml")),
]  # fmt: skip

GATE: list[Row] = [
    (
        "GET",
        "/dataset",
        401,
        {"headers": {"Authorization": ""}},
        ("the token is not known", "send Authorization: Bear"),
    ),
    ("GET", "/dataset", 401, {"headers": {"Authorization": "Bearer x"}}, ("token is not known", "GET /api/v1/login/")),
    ("GET", "/dataset", 403, {"headers": {"Host": "evil"}}, ("Host 'evil'", "server.allowed_hosts")),
    ("GET", "/dataset", 403, {"headers": {"Origin": "http://evil"}}, ("Origin 'http://evil'", "only pages of its own")),
]


async def reached(server: Server, job_id: str, *states: State) -> None:
    async with server.services.bus.subscribe(None) as events:
        while server.services.store.jobs.get(job_id).state not in states:
            await asyncio.wait_for(anext(events), PATIENCE_S)


@pytest.fixture
async def ids(server: Server, images, tmp_path) -> dict[str, str]:
    """One of everything that a error needs: done, failed, held, read-only, empty, in use."""
    data = await server.ready_dataset(images("train"), name="images")
    has = {"train_datasets": [data], "eval_dataset": data}
    model = await server.model(name="reader", **has)
    masks = await server.dataset("semantic_segmentation", "unet")
    jobs = {}
    for name, word in (("done", "go"), ("failed", "fail")):
        (jobs[name],) = await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}])
        server.word(word)
        await reached(server, jobs[name], State.DONE, State.FAILED)
    (busy, held) = [
        (await server.call("POST", f"/model/{model}/job", 201, json=[{"actions": ["train"]}]))[0] for _ in range(2)
    ]
    await server.call("PATCH", f"/job/{held}", 200, json={"held": True})
    await reached(server, busy, State.RUNNING)
    server.word("go")
    await reached(server, busy, State.DONE)
    return jobs | {
        "held": held,
        "dataset": data,
        "boxes": await server.dataset("object_detection", "kitti", name="'kitti' boxes"),
        "empty": await server.dataset(),
        "model": model,
        "bare": await server.model(),
        "kept": await server.model(name="kept", read_only=True),
        "sweep": await server.model(automl_enabled=True, automl_remove_hyperparameters=WEIGHT_DECAY, **has),
        "unreal": await server.model("segformer", train_datasets=[masks]),
        "folder": str(tmp_path),
    }


def filled(value: Any, ids: dict[str, str]) -> Any:
    """The ids in place of their names."""
    if isinstance(value, dict):
        return {name: filled(each, ids) for name, each in value.items()}
    if isinstance(value, str):
        for name, each in ids.items():
            value = value.replace(f"{{{name}}}", each)
    return value


async def test_every_error_names_the_field_the_value_and_the_remedy(server: Server, ids: dict[str, str]) -> None:
    wrong = []
    rows = [*QUERIES, *BODIES, *SPECS, *RUNS, *ABSENCES, *UPLOADS, *GATE]
    for method, path, status, options, words in rows:
        answer = await server.client.request(method, server.base + filled(path, ids), **filled(options, ids))
        said = answer.json()["error_desc"] if answer.status_code >= 400 else answer.text
        lacks = [word for word in words if filled(word, ids) not in said]
        if answer.status_code != status or lacks:
            wrong.append(f"{method} {path} {options}: {answer.status_code} {said!r} lacks {lacks}")
        elif answer.json() != {"error_code": status, "error_desc": said}:
            wrong.append(f"{method} {path}: {answer.json()} is not the body of an error")
        elif "Traceback" in said or "\n" in said or len(said) > 2000:
            wrong.append(f"{method} {path}: {said!r} is no sentence")
    assert not wrong, "\n".join(wrong)
    assert len(rows) >= 100
