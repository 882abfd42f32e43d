"""The data services as a user runs them: a model of their network, a dataset, a real run of the engine."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from taod.config import Config
from taod.datasets.formats.validate import ContentCheck
from taod.types.event import EventType
from taod.types.state import State
from tests.api.conftest import Server, config, gate, server, tool_path
from tests.api.test_reviews import checked
from tests.datasets import valid_sets
from tests.engine.test_data_masks import segmented
from tests.patience import PATIENCE_S

pytestmark = pytest.mark.slow(seconds=2)

__all__ = ["config", "gate", "server", "tool_path"]


@pytest.fixture
def config(config: Config) -> Config:  # noqa: F811
    config.runner.order = ["embedded", "native"]
    config.datasets.check = "off"
    return config


async def finished(server: Server, job_id: str) -> dict[str, Any]:
    """The job, once it has ended."""

    async def over() -> None:
        async with server.services.bus.subscribe(server.user.id, None) as events:
            while not State((await server.call("GET", f"/job/{job_id}", 200))["job"]["state"]).ended:
                while (await anext(events)).type is not EventType.JOB:
                    pass

    await asyncio.wait_for(over(), PATIENCE_S)
    return (await server.call("GET", f"/job/{job_id}", 200))["job"]


async def service(
    server: Server,
    arch: str,
    action: str,
    folder: Path,
    format_: str,
    spec: dict[str, Any],
    type_: str = "object_detection",
) -> Path:
    """Run a data service on a folder; returns the job's results."""
    return await serve(server, arch, action, await server.ready_dataset(folder, type_=type_, format_=format_), spec)


async def serve(server: Server, arch: str, action: str, dataset_id: str, spec: dict[str, Any]) -> Path:
    """Run a data service on a dataset; returns the job's results."""
    model_id = await server.model(arch, inference_dataset=dataset_id)
    await server.call("POST", f"/model/{model_id}/specs/{action}", 201, json=spec)
    (job_id,) = await server.call("POST", f"/model/{model_id}/job", 201, json={"actions": [action]})
    job = await finished(server, job_id)
    log = server.services.root.job(job_id).log.read_text()
    assert job["status"] == "Done", (job["reason"], log)
    return server.services.root.job(job_id).results


async def taken(server: Server, results: Path, **body: str) -> dict[str, Any]:
    """The dataset made of a job's results."""
    return await server.call("POST", f"/job/{results.parent.name}/dataset", 201, json=body)


async def test_annotations_are_converted_by_a_job_and_its_results_are_a_dataset(server: Server, tmp_path: Path) -> None:
    valid_sets.kitti(tmp_path / "kitti")
    spec = {"data": {"input_format": "KITTI", "output_format": "COCO"}}
    results = await service(server, "annotations", "convert", tmp_path / "kitti", "kitti", spec)
    document = json.loads((results / "annotations.json").read_text())
    assert len(document["annotations"]) == 6
    assert [each["name"] for each in document["categories"]] == ["roof", "tree"]
    made = await taken(server, results)
    assert (made["name"], made["format"], made["description"]) == (
        "convert of My Dataset",
        "coco",
        "Made by annotations convert",
    )
    summary = await server.call("GET", f"/dataset/{made['id']}/summary", 200)
    assert summary["parent_job"] == results.parent.name
    (source,) = [each["id"] for each in await server.call("GET", "/dataset", 200) if each["id"] != made["id"]]
    assert summary["parent_dataset"] == source
    assert summary["splits"] == [{"name": "images", "images": 3, "classes": {"roof": 3, "tree": 3}}]


async def test_a_dataset_is_analysed_and_augmented_by_jobs(server: Server, tmp_path: Path) -> None:
    valid_sets.coco(tmp_path / "coco")
    spec: dict[str, Any] = {"data": {"input_format": "COCO"}, "workers": 1}
    results = await service(server, "analytics", "analyze", tmp_path / "coco", "coco", spec)
    assert json.loads((results / "summary.json").read_text())["objects"] == 6
    said = await server.rejected("POST", f"/job/{results.parent.name}/dataset", json={})
    assert "has left no dataset: its results have no annotations.json" in said
    spec = {
        "data": {"dataset_type": "coco", "output_image_width": 96, "output_image_height": 96},
        "spatial_aug": {"rotation": {"angle": [0, 90, 180]}},
    }
    results = await service(server, "augmentation", "generate", tmp_path / "coco", "coco", spec)
    document = json.loads((results / "annotations.json").read_text())
    assert {(each["width"], each["height"]) for each in document["images"]} == {(96, 96)}
    assert len(document["annotations"]) == 6
    assert (await taken(server, results, name="turned"))["name"] == "turned"


async def test_an_uploaded_set_is_augmented_with_its_masks_and_the_result_checked(
    server: Server, tmp_path: Path
) -> None:
    document = segmented(tmp_path / "coco")
    document["annotations"][0]["segmentation"] = [[4, 5, 30, 5, 30, 25, 4, 25]]
    valid_sets.text(tmp_path / "coco" / "annotations.json", json.dumps(document))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(tmp_path / "coco", "coco")
    source = await server.dataset("instance_segmentation", "coco")
    files = {"file": ("coco.tar.gz", packed.getvalue())}
    await server.call("POST", f"/dataset/{source}/upload", 201, files=files)
    spec = {
        "data": {"dataset_type": "coco", "include_masks": True, "output_image_width": 96, "output_image_height": 96},
        "spatial_aug": {"rotation": {"angle": [0, 20, 90], "refine_box": {"enabled": True}}},
    }
    results = await serve(server, "augmentation", "generate", source, spec)
    made = await taken(server, results)
    assert (made["type"], made["format"]) == ("instance_segmentation", "coco")
    summary = await server.call("GET", f"/dataset/{made['id']}/summary", 200)
    assert (summary["parent_dataset"], summary["parent_job"]) == (source, results.parent.name)
    kept = json.loads((server.services.root.dataset(made["id"]) / "annotations.json").read_text())
    assert kept["categories"][0] == document["categories"][0]
    assert all(each["segmentation"] for each in kept["annotations"])
    async with server.services.bus.subscribe(server.user.id, None) as events:
        await server.call("POST", f"/dataset/{made['id']}/check", 201, json={"deep": True})
        report = await checked(server, made["id"], events)
    assert (report["state"], report["problems"], report["items"]) == ("done", 0, 5), report
    assert report["labels"] == len(kept["annotations"]) == len(document["annotations"])


async def test_a_coco_set_becomes_masks_and_masks_a_coco_set(server: Server, tmp_path: Path) -> None:
    segmented(tmp_path / "coco")
    spec = {"data": {"input_format": "COCO", "output_format": "UNET"}}
    results = await service(server, "annotations", "convert", tmp_path / "coco", "coco", spec, "semantic_segmentation")
    made = await taken(server, results, name="painted")
    assert (made["type"], made["format"]) == ("semantic_segmentation", "unet")
    top = server.services.root.dataset(made["id"])
    report = ContentCheck(top, "semantic_segmentation", "unet").run()
    assert (report.problems, report.items, sorted(report.classes)) == (0, 5, ["background", "bright", "dark"])
    summary = await server.call("GET", f"/dataset/{made['id']}/summary", 200)
    assert summary["classes"] == ["background", "bright", "dark"]
    assert sum(summary["shares"].values()) == pytest.approx(1, abs=1e-4)
    back = {"data": {"input_format": "UNET", "output_format": "COCO"}}
    results = await serve(server, "annotations", "convert", made["id"], back)
    again = await taken(server, results)
    assert (again["type"], again["format"]) == ("semantic_segmentation", "coco")
    as_instances = await taken(server, results, type="instance_segmentation")
    assert as_instances["type"] == "instance_segmentation"
    said = await server.rejected("POST", f"/job/{results.parent.name}/dataset", json={"type": "image_classification"})
    assert "Incompatible dataset format and type" in said


async def test_what_the_engine_cannot_do_is_rejected_when_it_is_posted(server: Server, tmp_path: Path) -> None:
    valid_sets.coco(tmp_path / "coco")
    dataset_id = await server.ready_dataset(tmp_path / "coco", type_="object_detection", format_="coco")
    model_id = await server.model("auto_label", inference_dataset=dataset_id)
    said = await server.rejected("POST", f"/model/{model_id}/job", json={"actions": ["generate"]})
    assert "no detector or segmenter" in said
    assert "[[runner.rule]]" in said
    found = (await server.client.get("/api/v1/networks/annotations")).json()
    assert [action["runners"] for action in found["actions"]] == [["embedded"]]


LABELLER = """#!/bin/sh
# Stands for NVIDIA's auto_label: reads what from and where to from its specification, and labels the first image.
for argument; do case $argument in --experiment_spec_file=*) spec=${argument#*=} ;; esac; done
read_path() { sed -n "s/^ *$1: *//p" "$spec"; }
ls "$(read_path img_dir)" > /dev/null && [ -f "$(read_path ann_path)" ] || exit 3
cp "@LABELS@" "$(read_path label_dump_path)"
echo '{"status": "SUCCESS", "message": "Labelled"}' >> "$(read_path results_dir)/status.json"
"""


async def test_what_a_tool_has_labelled_becomes_a_dataset_with_its_images(
    server: Server, tool_path: Path, tmp_path: Path
) -> None:
    document = segmented(tmp_path / "coco")
    labels = tmp_path / "labels.json"
    labels.write_text(json.dumps(document | {"annotations": document["annotations"][:1]}))
    (tool_path / "auto_label").write_text(LABELLER.replace("@LABELS@", str(labels)))
    (tool_path / "auto_label").chmod(0o755)
    source = await server.ready_dataset(tmp_path / "coco", type_="instance_segmentation", format_="coco")
    results = await serve(server, "auto_label", "generate", source, {})
    made = await taken(server, results, name="labelled by machine")
    assert (made["type"], made["format"]) == ("instance_segmentation", "coco")
    summary = await server.call("GET", f"/dataset/{made['id']}/summary", 200)
    assert (summary["parent_dataset"], summary["parent_job"]) == (source, results.parent.name)
    assert summary["images"] == len(document["images"])
    top = server.services.root.dataset(made["id"])
    assert json.loads((top / "annotations.json").read_text())["annotations"] == document["annotations"][:1]
    assert ContentCheck(top, "instance_segmentation", "coco").run().problems == 0
    assert not list(results.parent.glob("from-job-*"))
    for image in (tmp_path / "coco" / "images").iterdir():
        image.unlink()
    (tmp_path / "coco" / "images").rmdir()
    said = await server.rejected("POST", f"/job/{results.parent.name}/dataset", json={})
    assert "has left labels without images, and the images that it read are gone" in said


async def test_labels_without_images_become_a_dataset_with_the_images_of_their_source(
    server: Server, tmp_path: Path
) -> None:
    """Given what NVIDIA's converters leave, `<dataset-id>.json` or flat .txt files, the images are linked to it."""
    valid_sets.kitti(tmp_path / "kitti")
    source = await server.ready_dataset(tmp_path / "kitti", type_="object_detection", format_="kitti")
    results = await serve(server, "annotations", "convert", source, {"data": {"with_images": False}})
    assert not (results / "images").exists()
    (results / "annotations.json").rename(results / f"{source}.json")
    (results / "skipped_files.txt").write_text("7.jpg\n")
    made = await taken(server, results)
    top = server.services.root.dataset(made["id"])
    assert (made["format"], ContentCheck(top, "object_detection", "coco").run().problems) == ("coco", 0)
    assert (top / "images" / "1.jpg").samefile(tmp_path / "kitti" / "images" / "1.jpg")
    back = await serve(server, "annotations", "convert", made["id"], {"data": {"with_images": False}})
    for file in (back / "labels").iterdir():
        file.rename(back / file.name)
    (back / "labels").rmdir()
    again = await taken(server, back)
    top = server.services.root.dataset(again["id"])
    assert (again["format"], ContentCheck(top, "object_detection", "kitti").run().problems) == ("kitti", 0)
    assert sorted(path.name for path in top.iterdir()) == ["images", "labels"]
    summary = await server.call("GET", f"/dataset/{again['id']}/summary", 200)
    assert summary["parent_dataset"] == made["id"]


async def test_corrected_labels_become_a_dataset(server: Server, tmp_path: Path) -> None:
    valid_sets.coco(tmp_path / "coco")
    results = await service(server, "analytics", "validate", tmp_path / "coco", "coco", {})
    made = await taken(server, results)
    assert made["format"] == "coco"
    assert (await server.call("GET", f"/dataset/{made['id']}/summary", 200))["images"] == 3


@pytest.mark.slow
async def test_a_service_starts_from_the_format_of_its_dataset(server: Server, tmp_path: Path) -> None:
    """Given no specification, or one of another format, the dataset's own format is read."""
    valid_sets.kitti(tmp_path / "kitti")
    valid_sets.coco(tmp_path / "coco")
    for format_, given, wanted in (("kitti", "KITTI", "COCO"), ("coco", "COCO", "KITTI")):
        dataset_id = await server.ready_dataset(tmp_path / format_, type_="object_detection", format_=format_)
        results = await serve(server, "annotations", "convert", dataset_id, {})
        last = (results / "status.json").read_text().splitlines()[-1]
        assert json.loads(last)["message"] == f"Converted 3 images with 6 objects from {given} to {wanted}"
        await serve(server, "augmentation", "generate", dataset_id, {})
        await serve(server, "analytics", "analyze", dataset_id, {})
