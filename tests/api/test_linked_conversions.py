"""Conversions of linked folders over HTTP: the tool writes, and the linked folder stays as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from taod.config import Config
from taod.types.state import State
from tests.api.test_jobs import reached

CONVERTER = """#!/bin/sh
# detectnet_v2 and ssd dataset_convert: write records at --output_filename, and ssd an index beside each.
for argument; do
  case $argument in
    --output_filename=*) records=${argument#--output_filename=} ;;
    --results_dir=*) results=${argument#--results_dir=} ;;
    --class_names_file=*) classes=${argument#--class_names_file=} ;;
  esac
done
mkdir -p "$(dirname "$records")" "$results"
echo converted > "$records-fold-000-of-001"
[ -z "$classes" ] || cp "$classes" "$(dirname "$records")/idx-$(basename "$records")-fold-000-of-001"
echo '{"status": "SUCCESS", "message": "Finished"}' >> "$results/status.json"
"""


@pytest.fixture
def config(config: Config, tool_path: Path) -> Config:
    for name in ("detectnet_v2", "ssd", "yolo_v4"):
        (tool_path / name).write_text(CONVERTER)
        (tool_path / name).chmod(0o755)
    return config


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    folder = tmp_path / "kitti"
    for part in ("images", "labels", "tfrecords"):
        (folder / part).mkdir(parents=True)
    for number in range(2):
        Image.new("RGB", (32, 32)).save(folder / f"images/{number}.png")
        (folder / f"labels/{number}.txt").write_text("Car 0 0 0 1 1 20 20 0 0 0 0 0 0 0\n")
    (folder / "tfrecords/tfrecords-fold-000-of-001").write_text("made by hand")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def convert(server, dataset_id: str, action: str) -> None:
    await server.call("POST", f"/dataset/{dataset_id}/specs/{action}", 201, json={})
    body = {"job": None, "actions": [action]}
    (job_id,) = await server.call("POST", f"/dataset/{dataset_id}/job", 201, json=body)
    job = await reached(server, job_id, State.DONE, State.FAILED)
    assert job["state"] == State.DONE, job["reason"]


async def test_the_linked_folder_stays_as_it_was_and_models_read_the_records(server, kitti: Path) -> None:
    before = contents(kitti)
    dataset_id = await server.ready_dataset(kitti, type_="object_detection", format_="kitti")
    await convert(server, dataset_id, "convert")
    assert contents(kitti) == before
    view = server.services.root.dataset(dataset_id)
    assert (view / "tfrecords/tfrecords-fold-000-of-001").read_text() == "converted\n"
    plan = await planned(server, dataset_id, "detectnet_v2")
    assert f'tfrecords_path: "{view}/tfrecords/*"' in plan["spec_text"]
    assert str(kitti) in plan["reads"]


async def test_index_files_are_no_records_and_carry_the_classes(server, kitti: Path) -> None:
    dataset_id = await server.ready_dataset(kitti, type_="object_detection", format_="kitti")
    await convert(server, dataset_id, "convert_and_index")
    view = server.services.root.dataset(dataset_id)
    assert (view / "tfrecords/idx-tfrecords-fold-000-of-001").read_text() == "Car\n"
    for network in ("detectnet_v2", "yolo_v4"):
        assert f'tfrecords_path: "{view}/tfrecords/[!i]*"' in (await planned(server, dataset_id, network))["spec_text"]
    await convert(server, dataset_id, "convert")
    assert not list((view / "tfrecords").glob("idx-*"))


async def planned(server, dataset_id: str, network: str) -> dict:
    model_id = await server.model(network, encryption_key="k")
    await server.call("PATCH", f"/model/{model_id}", 200, json={"train_datasets": [dataset_id]})
    (job,) = await server.call("POST", f"/model/{model_id}/job?dry_run=1", 200, json={"actions": ["train"]})
    return job
