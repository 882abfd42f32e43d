"""The catalogue over HTTP: spec files of the tools, schemas after the data's classes, plans, parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from taod.catalogue.schema.json_schema import schema
from taod.cli.commands.plan import plan
from taod.cli.support.output import Form, Output
from taod.errors import BadRequest
from taod.types.state import State
from tests.api.test_jobs import reached

PROTOBUF = "training_config {\n  num_epochs: 7\n  regularizer { type: L2 weight: 3e-09 }\n}\nrandom_seed: 42\n"
KITTI = "pedestrian 0.00 0 0.00 1 2 30 40 0 0 0 0 0 0 0\ncar 0.00 0 0.00 5 6 70 80 0 0 0 0 0 0 0\n"


@pytest.fixture
async def model(server, images) -> str:
    train = await server.ready_dataset(images("train"), name="train images")
    val = await server.ready_dataset(images("val"))
    test = await server.ready_dataset(images("test"))
    return await server.model(
        name="reader", encryption_key="very-secret", train_datasets=[train], eval_dataset=val, inference_dataset=test
    )


def sent(text: str, content_type: str) -> dict[str, Any]:
    return {"content": text.encode(), "headers": {"Content-Type": content_type}}


async def test_the_file_of_a_tool_is_taken_as_a_spec(server) -> None:
    path = f"/model/{await server.model('dino')}/specs/train"
    text = "train:\n  num_epochs: 3  # enough\n  optim: {lr: 1e-4}\n"
    expected = {"train": {"num_epochs": 3, "optim": {"lr": 0.0001}}}
    for content_type in ("application/yaml", "text/yaml; charset=utf-8", "text/plain"):
        assert await server.call("POST", path, 201, **sent(text, content_type)) == expected
    merged = await server.call("PUT", path, 200, **sent("{train: {num_epochs: 4}}", "application/x-yaml"))
    assert merged["train"] == {"num_epochs": 4, "optim": {"lr": 0.0001}}
    for content_type in ("application/yaml", "text/plain", "application/x-www-form-urlencoded"):
        document = {"train": {"num_epochs": 5}}
        assert await server.call("POST", path, 201, **sent(json.dumps(document), content_type)) == document

    path = f"/model/{await server.model('detectnet_v2')}/specs/train"
    saved = await server.call("POST", path, 201, **sent(PROTOBUF, "text/plain"))
    assert saved == {
        "training_config": {"num_epochs": 7, "regularizer": {"type": "__L2__", "weight": 3e-09}},
        "random_seed": 42,
    }
    assert await server.call("GET", path, 200) == saved


async def test_references_are_resolved_in_any_form_of_body(server) -> None:
    path = f"/model/{await server.model('dino')}/specs/train"
    body = b'\xef\xbb\xbf{"train": {"num_epochs": 3, "checkpoint_interval": "${.num_epochs}"}}'
    for kind in ("application/json", "text/plain"):
        saved = await server.call("POST", path, 201, content=body, headers={"Content-Type": kind})
        assert saved == {"train": {"num_epochs": 3, "checkpoint_interval": 3}}
    rejected = await server.rejected("POST", path, json={"train": {"num_epochs": "${oc.env:HOME}"}})
    assert "$.train.num_epochs: ${oc.env:HOME} would run a function of OmegaConf" in rejected


async def test_a_file_that_is_none_is_rejected_with_its_line(server) -> None:
    path = f"/model/{await server.model('detectnet_v2')}/specs/train"
    said = await server.rejected("POST", path, **sent(PROTOBUF + "}", "text/plain"))
    assert said.startswith("the body is not protobuf text as detectnet_v2 reads it: line 6")
    said = await server.rejected("POST", path, **sent("a: [1\n", "application/yaml"))
    assert said.startswith("the body is not YAML as detectnet_v2 reads it: line 2")
    latin = {"content": b"a: caf\xe9", "headers": {"Content-Type": "text/plain"}}
    assert "not UTF-8 text" in await server.rejected("POST", path, **latin)
    assert "the body is not JSON" in await server.rejected("POST", path, content=b"a: 1")
    wrong = sent("training_config: {num_epochs: many}", "application/yaml")
    assert "$.training_config.num_epochs: must be a whole number" in await server.rejected("POST", path, **wrong)


async def test_a_schema_follows_the_classes_of_all_train_sets(server, tmp_path) -> None:
    ids = []
    for name, labels in (("one", KITTI), ("two", KITTI.replace("car", "bus"))):
        folder = tmp_path / name
        (folder / "images").mkdir(parents=True)
        (folder / "labels").mkdir()
        (folder / "images" / "1.png").write_bytes(b"image")
        (folder / "labels" / "1.txt").write_text(labels)
        ids.append(await server.ready_dataset(folder, type_="object_detection", format_="kitti"))
    model = await server.model("detectnet_v2", train_datasets=ids)
    found = await server.call("GET", f"/model/{model}/specs/train/schema", 200)
    classes = [entry["key"] for entry in found["default"]["classwise_config"]]
    assert sorted(classes) == ["bus", "car", "pedestrian"]
    part = found["properties"]["classwise_config"]
    assert part["default"] == found["default"]["classwise_config"]
    assert part["items"]["properties"]["key"]["examples"] == classes
    without = await server.call("GET", f"/model/{await server.model('detectnet_v2')}/specs/train/schema", 200)
    assert "examples" not in without["properties"]["classwise_config"]["items"]["properties"]["key"]


def test_a_classifier_counts_the_classes_of_its_data() -> None:
    made = schema("classification_pyt", "train", ["cat", "dog", "eel"])
    head = made["properties"]["model"]["properties"]["head"]["properties"]["num_classes"]
    assert (head["default"], made["default"]["model"]["head"]["num_classes"]) == (3, 3)


async def test_a_dry_run_shows_everything_and_makes_nothing(server, model) -> None:
    body = {"actions": ["train", "evaluate", "export", "inference"]}
    jobs = await server.call("POST", f"/model/{model}/job?dry_run=1", 200, json=body)
    assert [(job["id"], job["action"], job["parent_id"]) for job in jobs] == [
        ("dry-run-1", "train", None),
        ("dry-run-2", "evaluate", "dry-run-1"),
        ("dry-run-3", "export", "dry-run-1"),
        ("dry-run-4", "inference", "dry-run-3"),
    ]
    train, evaluate = jobs[:2]
    assert train["argv"][:2] == ["classification_pyt", "train"]
    assert train["argv"][-1].startswith("--results_dir=")
    assert train["executes"][1:] == train["argv"][1:]
    assert train["environment"]["TAOD_RUN"] == "dry-run-1/1"
    assert train["environment"]["CUDA_VISIBLE_DEVICES"] == ""
    spec = yaml.safe_load(train["spec_text"])
    assert spec["dataset"]["data"]["train"]["data_prefix"].endswith("images-train/images_train")
    assert (train["spec_format"], train["runner"], train["devices_wanted"]) == ("yaml", "native", 1)
    assert (train["later"], evaluate["later"]) == ([], ["evaluate.checkpoint"])
    assert "very-secret" not in json.dumps(jobs)
    assert {"code": "default_spec", "subject": "train"} in train["warnings"]
    assert await server.call("GET", "/job", 200) == []
    assert not any(server.services.root.job("x").path.parent.glob("*"))


async def test_a_dry_run_shows_what_a_real_one_runs(server, model) -> None:
    (job_id,) = await server.call("POST", f"/model/{model}/job", 201, json={"actions": ["train"]})
    (planned,) = await server.call("POST", f"/model/{model}/job?dry_run=true", 200, json={"actions": ["train"]})
    await reached(server, job_id, State.RUNNING)
    folder = server.services.root.job(job_id)
    shown = json.loads(folder.command.read_text())
    assert planned["argv"] == [part.replace(job_id, planned["id"]) for part in shown["argv"]]
    assert planned["reads"] == shown["reads"]
    written = (folder.path / "spec.yaml").read_text().replace(job_id, planned["id"])
    assert planned["spec_text"] == written.replace("very-secret", "***")
    detail = await server.call("GET", f"/job/{job_id}", 200)
    environment = {k: v.replace(job_id, planned["id"]) for k, v in detail["process"]["environment"].items()}
    assert planned["environment"] == environment
    server.word("go")
    await reached(server, job_id, State.DONE)


async def test_a_dry_run_rejects_what_a_real_one_rejects(server, model) -> None:
    for body in ({"actions": ["export"]}, {"actions": ["trian"]}, {"actions": []}, {"actions": ["train"], "job": "x"}):
        for query in ("", "?dry_run=1"):
            await server.rejected("POST", f"/model/{model}/job{query}", json=body)
    assert "expected true or false" in await server.rejected("POST", f"/model/{model}/job?dry_run=2", json=body)


async def test_a_dry_run_names_the_data_that_is_not_there_yet(server) -> None:
    model = await server.model(train_datasets=[await server.dataset(name="still empty")])
    (job,) = await server.call("POST", f"/model/{model}/job?dry_run=1", 200, json={"actions": ["train"]})
    assert "'still empty' has no data yet" in job["waits_for"]


async def listed(server, path: str, status: int = 200) -> Any:
    answer = await server.client.get(f"/api/v1/networks/{path}")
    assert answer.status_code == status, answer.text
    return answer.json()


async def test_parameters_are_listed_with_filters(server) -> None:
    popular = await listed(server, "detectnet_v2/parameters?action=train&popular=1")
    epochs = next(row for row in popular if row["path"] == "training_config.num_epochs")
    assert (epochs["title"], epochs["type"], epochs["actions"]) == ("Epochs", "int", ["train"])
    assert epochs["description"].startswith("How many times the training goes through")
    assert all(row["popular"] for row in popular)
    swept = await listed(server, "classification_pyt/parameters?action=train&automl=true")
    assert [row["path"] for row in swept] == ["train.train_config.optimizer.weight_decay"]
    shown = await listed(server, "dino/parameters")
    everything = await listed(server, "dino/parameters?hidden=1")
    assert {row["path"] for row in everything} - {row["path"] for row in shown} >= {"results_dir", "encryption_key"}
    version = next(row for row in shown if row["path"] == "version")
    assert (version["constant"], version["actions"]) == (
        True,
        ["train", "evaluate", "export", "inference", "gen_trt_engine"],
    )
    found = await listed(server, "dino/parameters?action=train&text=LEARNING")
    assert {"train.optim.lr", "train.optim.lr_backbone"} <= {row["path"] for row in found}
    needed = await listed(server, "object_detection/parameters?action=kmeans&required=1")
    assert [row["path"] for row in needed] == ["size_x", "size_y"]


async def test_a_network_and_its_parameters_are_those_of_a_release(server) -> None:
    paths = {
        release: {row["path"] for row in await listed(server, f"segformer/parameters?action=train&release={release}")}
        for release in ("5.0", "7.3.0")
    }
    assert "dataset.segment.root_dir" in paths["7.3.0"] - paths["5.0"]
    assert (await listed(server, "segformer?release=7.3"))["release"] == "7.3"
    assert "the nearest is 5.0" in (await listed(server, "segformer?release=6.0", 400))["error_desc"]
    assert "'rtdetr' not found" in (await listed(server, "rtdetr?release=5.0", 404))["error_desc"]


async def test_parameters_of_what_is_not_there(server) -> None:
    assert "network 'dyno' not found" in (await listed(server, "dyno/parameters", 404))["error_desc"]
    assert "it has train, evaluate" in (await listed(server, "dino/parameters?action=prune", 404))["error_desc"]
    assert "expected true or false" in (await listed(server, "dino/parameters?popular=x", 400))["error_desc"]


async def test_a_network_reports_what_may_follow_what(server) -> None:
    actions = {action["name"]: action for action in (await listed(server, "detectnet_v2"))["actions"]}
    assert (actions["prune"]["may_follow"], actions["prune"]["needs_parent"]) == (["train", "retrain"], True)
    assert (actions["train"]["may_follow"], actions["train"]["needs_parent"]) == ([], False)


async def test_a_dry_run_needs_no_executable_and_masks_the_key(server) -> None:
    images = await server.dataset("object_detection", "coco")
    detr = await server.model(
        "deformable_detr", encryption_key="very-secret", train_datasets=[images], eval_dataset=images
    )
    (train,) = await server.call("POST", f"/model/{detr}/job?dry_run=1", 200, json={"actions": ["train"]})
    assert not any("key" in word for word in train["argv"])
    assert (train["runner"], train["executes"]) == ("", train["argv"])
    assert "the executable 'deformable_detr' was not found" in str(train["warnings"])
    assert "very-secret" not in json.dumps(train)


async def test_the_plan_on_the_command_line(server, model, client, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    work = plan.callback.__wrapped__.__wrapped__
    options = {"dataset": False, "parent": None, "spec": True}
    for name in ("reader", model, model[:8]):
        await work(client, Output(), owner=name, actions=("train", "evaluate"), **options)
        out = capsys.readouterr().out
        assert "dry-run-2: classification_pyt evaluate on dry-run-1" in out
        assert "evaluate.checkpoint" in out
        assert "data_prefix: " in out
    await work(client, Output(), owner="reader", actions=("train",), **{**options, "spec": False})
    assert "data_prefix: " not in capsys.readouterr().out
    await work(client, Output(Form.JSON), owner="reader", actions=("train",), **options)
    assert json.loads(capsys.readouterr().out)[0]["id"] == "dry-run-1"
    with pytest.raises(BadRequest, match="there is no model with id or name 'missing'"):
        await work(client, Output(), owner="missing", actions=("train",), **options)
