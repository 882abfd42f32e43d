"""What a job needs besides its parent: datasets and devices."""

from __future__ import annotations

import pytest

from store.records import ModelRecord
from taod.errors import BadRequest
from taod.services.jobs.requirements import Machine, check_datasets, devices_wanted

CPU = Machine(gpus=0, cpu_slots=1)
TWO_GPUS = Machine(gpus=2, cpu_slots=0)


def model(arch="classification_pyt", **fields):
    return ModelRecord(
        id="m", user_id="u", network_arch=arch, name="digits", description="", logo="", version="",
        created_on="", last_modified="", dataset_type="image_classification", **fields,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "field"),
    [("train", "train_datasets"), ("retrain", "train_datasets"), ("evaluate", "eval_dataset"),
     ("inference", "inference_dataset")],
)  # fmt: skip
def test_a_missing_dataset_is_named_with_how_to_set_it(action, field) -> None:
    with pytest.raises(BadRequest) as raised:
        check_datasets(model(), action)
    assert field in raised.value.description
    assert f'PATCH …/model/m {{"{field}": ' in raised.value.description


def test_present_and_unneeded_datasets_are_not_requested() -> None:
    check_datasets(model(train_datasets=["d"]), "train")
    check_datasets(model(eval_dataset="d"), "evaluate")
    check_datasets(model(), "export")
    check_datasets(model("pointpillars", train_datasets=["d"]), "evaluate")


def test_data_services_read_the_inference_dataset() -> None:
    with pytest.raises(BadRequest, match="inference_dataset"):
        check_datasets(model("analytics"), "analyze")
    check_datasets(model("analytics", inference_dataset="d"), "analyze")


@pytest.mark.parametrize(
    ("action", "spec", "machine", "wanted"),
    [
        ("train", {"gpus": 2}, TWO_GPUS, 2),
        ("train", {"train": {"num_gpus": 2}}, TWO_GPUS, 2),
        ("train", {"train": {"gpu_ids": [0, 1]}}, TWO_GPUS, 2),
        ("train", {"gpu_id": 1}, TWO_GPUS, 1),
        ("train", {"gpus": None}, TWO_GPUS, 1),
        ("train", {"gpus": 1}, CPU, 1),
        ("evaluate", {"gpus": 2}, TWO_GPUS, 1),
        ("export", None, CPU, 1),
    ],
)
def test_training_requests_the_devices_of_its_spec(action, spec, machine, wanted) -> None:
    assert devices_wanted(action, spec, machine) == wanted


@pytest.mark.parametrize(
    ("spec", "machine", "words"),
    [
        ({"gpus": 3}, TWO_GPUS, "gpus = 3: this machine has 2 GPUs; set gpus to 2 or less"),
        ({"train": {"num_gpus": 2}}, CPU, "train.num_gpus = 2: this machine has no GPU"),
        ({"gpus": -1}, CPU, "gpus = -1"),
        ({"gpu_ids": [0, 2]}, TWO_GPUS, "there is no GPU 2"),
        ({}, Machine(0, 0), "devices.cpu_slots"),
    ],
)
def test_more_devices_than_exist_are_rejected(spec, machine, words) -> None:
    with pytest.raises(BadRequest, match=words):
        devices_wanted("train", spec, machine)
