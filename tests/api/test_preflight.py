"""Preflight over HTTP, with small real datasets: what a dry run, a post's answer and a job's history report."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from PIL import Image

from taod.cli.commands.plan import plan
from taod.cli.support.output import Output
from taod.types.state import State
from taod.types.warning import Warning
from taod.types.warning_text import text
from tests.api.conftest import TOOL
from tests.api.test_jobs import reached
from tests.api.test_reviews import checked
from tests.datasets import valid_sets

NETWORKS = ("yolo_v4", "pose_classification", "ssd", "optical_inspection", "re_identification", "object_detection")


@pytest.fixture
def tool_path(tool_path: Path) -> Path:
    """With the entry points of these networks."""
    for network in (*NETWORKS, "annotations"):
        (tool_path / network).write_text(TOOL)
        (tool_path / network).chmod(0o755)
    return tool_path


async def linked(server: Any, folder: Path, type_: str, format_: str = "default", **more: Any) -> str:
    return await server.ready_dataset(folder, type_=type_, format_=format_, **more)


async def kitti(server: Any, folder: Path, name: str = "roofs") -> str:
    valid_sets.kitti(folder)
    return await linked(server, folder, "object_detection", "kitti", name=name)


async def planned(server: Any, model_id: str, action: str = "train") -> tuple[str, dict[str, str]]:
    """The specification file of a dry run, and its warnings by code."""
    (job,) = await server.call("POST", f"/model/{model_id}/job?dry_run=1", 200, json={"actions": [action]})
    warnings = msgspec.convert(job["warnings"], list[Warning])
    return job["spec_text"], {str(warning.code): text(warning) for warning in warnings}


async def test_the_extension_comes_from_the_files(server, tmp_path) -> None:
    dataset_id = await kitti(server, tmp_path / "roofs")
    assert (await server.call("GET", f"/dataset/{dataset_id}/summary", 200))["extensions"] == {".jpg": 3}
    model_id = await server.model("yolo_v4", train_datasets=[dataset_id])
    path = f"/model/{model_id}/specs/train"
    schema = await server.call("GET", f"{path}/schema", 200)
    assert schema["default"]["dataset_config"]["image_extension"] == "jpg"
    assert schema["properties"]["dataset_config"]["properties"]["image_extension"]["default"] == "jpg"
    spec, warnings = await planned(server, model_id)
    assert 'image_extension: "jpg"' in spec and "image_extension" not in warnings

    await server.call("POST", path, 201, json={"training_config": {"num_epochs": 2}})
    spec, warnings = await planned(server, model_id)
    assert 'image_extension: "jpg"' in spec and "image_extension" not in warnings

    await server.call("POST", path, 201, json={"dataset_config": {"image_extension": "png"}})
    spec, warnings = await planned(server, model_id)
    assert 'image_extension: "png"' in spec
    assert warnings["image_extension"].endswith("set dataset_config.image_extension to 'jpg'")


async def test_mixed_extensions_use_the_most_common_one(server, tmp_path) -> None:
    valid_sets.kitti(tmp_path / "roofs")
    Image.open(tmp_path / "roofs/images/0.jpg").save(tmp_path / "roofs/images/0.png")
    (tmp_path / "roofs/images/0.jpg").unlink()
    dataset_id = await linked(server, tmp_path / "roofs", "object_detection", "kitti", name="roofs")
    (job,) = await server.call(
        "POST", f"/dataset/{dataset_id}/job?dry_run=1", 200, json={"actions": ["convert_and_index"]}
    )
    assert 'image_extension: ".jpg"' in job["spec_text"]
    (mixed,) = [warning for warning in job["warnings"] if warning["code"] == "mixed_extensions"]
    assert mixed["arguments"]["found"] == ".jpg (2), .png (1)"


async def test_classes_and_batches_against_coco(server, tmp_path) -> None:
    valid_sets.coco(tmp_path / "coco")
    dataset_id = await linked(server, tmp_path / "coco", "object_detection", "coco", name="roofs")
    assert (await server.call("GET", f"/dataset/{dataset_id}/summary", 200))["highest_class_id"] == 2
    model_id = await server.model("dino", train_datasets=[dataset_id], eval_dataset=dataset_id)
    path = f"/model/{model_id}/specs/train"
    await server.call("POST", path, 201, json={"dataset": {"num_classes": 3, "batch_size": 3}})
    assert (await planned(server, model_id))[1] == {}
    await server.call("POST", path, 201, json={"dataset": {"num_classes": 2, "batch_size": 4}})
    warnings = (await planned(server, model_id))[1]
    assert set(warnings) == {"class_id", "no_batches"}
    assert "no step and leave no weights" in warnings["no_batches"]


async def test_a_skeleton_set_of_the_other_layout(server, tmp_path) -> None:
    (tmp_path / "poses").mkdir()
    valid_sets.skeletons(tmp_path / "poses")
    (tmp_path / "poses/kinetics").rename(tmp_path / "poses/nvidia")
    dataset_id = await linked(server, tmp_path / "poses", "pose_classification", name="poses")
    model_id = await server.model("pose_classification", train_datasets=[dataset_id])
    warnings = (await planned(server, model_id))[1]
    assert "lacks kinetics/train_data.npy" in warnings["path_missing"]
    assert warnings["path_missing"].endswith("set model.graph_layout to 'nvidia'")
    document = {"model": {"graph_layout": "nvidia"}, "dataset": {"num_classes": 6}}
    await server.call("POST", f"/model/{model_id}/specs/train", 201, json=document)
    assert "path_missing" not in (await planned(server, model_id))[1]


async def test_what_a_dataset_was_converted_by(server, tmp_path) -> None:
    dataset_id = await kitti(server, tmp_path / "roofs")
    model_id = await server.model("ssd", train_datasets=[dataset_id])
    warnings = (await planned(server, model_id))[1]
    assert "lacks tfrecords/tfrecords-*" in warnings["path_missing"]
    assert "ssd stops without validation data" in warnings["no_validation"]
    for action, warned in (("convert", True), ("convert_and_index", False)):
        (job_id,) = await server.call("POST", f"/dataset/{dataset_id}/job", 201, json={"actions": [action]})
        # What it will write is not missing.
        assert "path_missing" not in (await planned(server, model_id))[1]
        server.word("on")
        await reached(server, job_id, State.DONE)
        assert ("no_index_files" in (await planned(server, model_id))[1]) is warned
    detector = await server.model("yolo_v4", train_datasets=[dataset_id])
    assert "reads boxes in pixels; run convert on the dataset" in (await planned(server, detector))[1]["records_boxes"]
    (job,) = await server.call("POST", f"/dataset/{dataset_id}/job?dry_run=1", 200, json={"actions": ["convert"]})
    (warning,) = [each for each in job["warnings"] if each["code"] == "records_replaced"]
    assert warning["remedy"] == "convert a copy of the dataset to keep both"


async def test_a_batch_is_compared_with_the_samples_of_the_dataset(server, tmp_path) -> None:
    (tmp_path / "poses").mkdir()
    valid_sets.skeletons(tmp_path / "poses")
    dataset_id = await linked(server, tmp_path / "poses", "pose_classification", name="poses")
    model_id = await server.model("pose_classification", train_datasets=[dataset_id])
    document = {"model": {"graph_layout": "openpose"}, "dataset": {"num_classes": 6, "batch_size": 9_999}}
    await server.call("POST", f"/model/{model_id}/specs/train", 201, json=document)
    warning = (await planned(server, model_id))[1]["batch_size"]
    assert "dataset.batch_size = 9999 is more than the " in warning and " sequences of the training data" in warning


async def test_identities_and_a_batch_of_persons(server, tmp_path) -> None:
    valid_sets.persons(tmp_path / "persons")
    dataset_id = await linked(server, tmp_path / "persons", "re_identification", name="persons")
    model_id = await server.model("re_identification", train_datasets=[dataset_id])
    warnings = (await planned(server, model_id))[1]
    assert "has 2 identities to train on" in warnings["class_count"]
    assert "more than the 2 images" in warnings["no_batches"]


async def test_images_that_the_check_could_not_read(server, tmp_path) -> None:
    valid_sets.inspection(tmp_path / "boards")
    (tmp_path / "boards/images/board1/C1_WhiteLight.jpg").write_bytes(b"no image")
    dataset_id = await linked(server, tmp_path / "boards", "optical_inspection", name="boards")
    model_id = await server.model("optical_inspection", train_datasets=[dataset_id], eval_dataset=dataset_id)
    assert "unreadable_images" not in (await planned(server, model_id))[1]
    async with server.services.bus.subscribe(server.user.id) as events:
        await server.call("POST", f"/dataset/{dataset_id}/check", 201, json={})
        await checked(server, dataset_id, events)
    found = (await planned(server, model_id))[1]["unreadable_images"]
    assert "found 1 image that cannot be read, images/board1/C1_WhiteLight.jpg first" in found


async def test_a_job_keeps_its_warnings(server, images) -> None:
    train = await server.ready_dataset(images("train"), name="cats")
    model_id = await server.model(train_datasets=[train])
    document = {"model": {"head": {"num_classes": 2}}, "dataset": {"data": {"samples_per_gpu": 16}}}
    await server.call("POST", f"/model/{model_id}/specs/train", 201, json=document)
    answer = await server.client.post(f"{server.base}/model/{model_id}/job", json={"actions": ["train"]})
    header = answer.headers["X-Taod-Warnings"]
    assert "no eval_dataset" in header and "more than the 2 images" in header
    (job_id,) = answer.json()
    detail = await server.call("GET", f"/job/{job_id}", 200)
    assert [warning["code"] for warning in detail["warnings"]] == ["no_batches", "no_validation"]
    assert any("more than the 2 images" in entry["reason"] for entry in detail["history"])


async def test_a_changed_specification_is_compared_again(server, images) -> None:
    train = await server.ready_dataset(images("train"), name="cats")
    model_id = await server.model(train_datasets=[train], eval_dataset=train)
    document = {"dataset": {"data": {"samples_per_gpu": 16}}}
    await server.call("POST", f"/model/{model_id}/specs/train", 201, json=document)
    running, waiting = [
        (await server.call("POST", f"/model/{model_id}/job", 201, json={"actions": ["train"]}))[0] for _ in range(2)
    ]
    await reached(server, running, State.RUNNING)
    assert [each["code"] for each in (await server.call("GET", f"/job/{waiting}", 200))["warnings"]] == ["no_batches"]
    fitting = {"spec": {"dataset": {"data": {"samples_per_gpu": 2}}}}
    await server.call("PATCH", f"/job/{waiting}", 200, json=fitting)
    assert (await server.call("GET", f"/job/{waiting}", 200))["warnings"] == []


async def test_data_that_has_gone_is_no_matter_of_preflight(server, images) -> None:
    folder = images("train")
    model_id = await server.model(train_datasets=[await server.ready_dataset(folder)])
    shutil.rmtree(folder)
    await server.call("POST", f"/model/{model_id}/job", 201, json={"actions": ["train"]})


async def test_the_command_line_shows_them_in_a_plan(server, client, images, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    train = await server.ready_dataset(images("train"), name="cats")
    await server.model(train_datasets=[train], name="reader")
    work = plan.callback.__wrapped__.__wrapped__
    await work(client, Output(), owner="reader", actions=("train",), dataset=False, parent=None, spec=False)
    assert "the model has no eval_dataset: NVIDIA's classification_pyt stops" in capsys.readouterr().out
