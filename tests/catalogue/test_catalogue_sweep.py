"""What a sweep's training is given, by a table over all networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from taod.catalogue.commands import placeholders, sweep
from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.commands.sweep import Recommendation, const_value, filled
from taod.catalogue.schema.tables import index, network_file

SWEPT = [name for name in index() if network_file(name).sweep_commands or network_file(name).sweep_fields]


def facts(tmp_path: Path, network: str, spec: dict[str, Any] | None = None, ptm: bool = True) -> JobFacts:
    folder = tmp_path / "job"
    (folder / "results").mkdir(parents=True, exist_ok=True)
    start = tmp_path / "start.pth"
    start.write_bytes(b"weights")
    return JobFacts(
        network=network,
        action="train",
        folder=folder,
        results=folder / "results",
        spec=spec,
        key="k",
        ptms=[start] if ptm else [],
    )


def test_all_networks_that_learn_can_be_swept() -> None:
    assert len(SWEPT) == 30
    assert {name for name in index() if "train" in index()[name].specs} - set(SWEPT) == {"mal"}


@pytest.mark.parametrize("name", SWEPT)
def test_every_function_is_known_and_gives_what_its_name_says(name: str, tmp_path: Path) -> None:
    file, job = network_file(name), facts(tmp_path, name)
    made = filled(job, Recommendation(number=4))
    suffix = {"yaml": "yaml", "protobuf": "protobuf"}[index()[name].spec_format]
    expected = {
        "automl_experiment_spec": f"{job.folder}/recommendation_4.{suffix}",
        "automl_output_dir": f"{job.results}/experiment_4/",
        "automl_resume_model": None,
        "automl_assign_ptm": str(tmp_path / "start.pth"),
        "automl_ptm_if_no_resume_model": str(tmp_path / "start.pth"),
        "automl_assign_resume_epoch": 0 if name == "efficientdet_tf2" else 1,
        "key": "k",
        "verbose": True,
        "from_csv": None,
    }
    for fields, values in ((file.sweep_commands, made.commands), (file.sweep_fields, made.fields)):
        for field, how in fields.items():
            function = how.partition(",")[0]
            assert function in sweep.functions() | placeholders.functions()
            if function != "assign_const_value":
                assert values.get(field) == expected[function], (field, how)


def test_a_later_rung_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    rung = Recommendation(number=2, epochs=9, done_epochs=3)
    checkpoint = tmp_path / "job/results/experiment_2/weights/yolov4_resnet18_epoch_003.hdf5"
    for network, command, field in (
        ("ssd", "resume_model_weights", None),
        ("yolo_v4", None, "training_config.resume_model_path"),
        ("classification_tf1", None, "train_config.pretrained_model_path"),
    ):
        job = facts(tmp_path, network)
        checkpoint.parent.mkdir(parents=True, exist_ok=True)
        checkpoint.write_bytes(b"weights")
        made = filled(job, rung)
        found = made.commands[command] if command is not None else made.fields[str(field)]
        assert found == str(checkpoint), network
    assert filled(facts(tmp_path, "ssd"), rung).commands["initial_epoch"] == 4
    assert filled(facts(tmp_path, "efficientdet_tf2"), rung).fields["train.init_epoch"] == 3
    other = filled(facts(tmp_path, "yolo_v4"), Recommendation(number=3))
    assert "training_config.resume_model_path" not in other.fields


INTERVAL = "assign_const_value,train.num_epochs"
VALIDATION = "assign_const_value,train.num_epochs,train.checkpoint_interval"


@pytest.mark.parametrize(
    ("how", "train", "epochs", "expected"),
    [
        (INTERVAL, {"num_epochs": 12, "validation_interval": 5}, None, 5),
        (INTERVAL, {"num_epochs": 3, "validation_interval": 5}, None, 3),
        (INTERVAL, {"validation_interval": 5}, None, 5),
        (INTERVAL, {"num_epochs": 12}, None, None),
        (INTERVAL, {"num_epochs": 12, "validation_interval": 5}, 9, 9),
        (VALIDATION, {"num_epochs": 12, "validation_interval": 5, "checkpoint_interval": 2}, None, 2),
        (VALIDATION, {"num_epochs": 1, "validation_interval": 5, "checkpoint_interval": 2}, None, 1),
        (VALIDATION, {"num_epochs": 12, "checkpoint_interval": 2}, 27, 27),
        ("assign_const_value", {"validation_interval": 5}, None, 5),
        ("assign_const_value", {}, None, None),
        ("assign_const_value", {}, 3, 3),
    ],
)
def test_intervals(how: str, train: dict[str, int], epochs: int | None, expected: int | None) -> None:
    assert const_value(how, "train.validation_interval", {"train": train}, epochs) == expected


@pytest.mark.parametrize("name", SWEPT)
def test_a_rung_of_hyperband_leaves_a_checkpoint_at_its_end(name: str, tmp_path: Path) -> None:
    made = filled(facts(tmp_path, name), Recommendation(number=0, epochs=27))
    intervals = {f: how for f, how in network_file(name).sweep_fields.items() if how.startswith("assign_const_value")}
    assert {made.fields[field] for field in intervals} <= {27}


def test_intervals_follow_the_recommended_length(tmp_path: Path) -> None:
    job = facts(tmp_path, "dino", {"train": {"num_epochs": 2, "checkpoint_interval": 5}})
    made = filled(job, Recommendation(number=0))
    assert made.fields["train.checkpoint_interval"] == 2
    assert made.fields["train.validation_interval"] == 2
