"""Violations and warnings of specifications, and their texts."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from taod.catalogue.schema import descriptions, merge
from taod.catalogue.schema.json_schema import schema
from taod.catalogue.schema.tables import table
from taod.catalogue.schema.validate import check
from taod.types.warning import WarningCode
from taod.types.warning_text import text

OPTIMIZER = "train.train_config.optimizer"


def spec(path: str, value: Any) -> dict[str, Any]:
    document: dict[str, Any] = {}
    merge.put(document, path, value)
    return document


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (f"{OPTIMIZER}.lr", 2, "must be a number between 0 and 1, not 2"),
        (f"{OPTIMIZER}.lr", "fast", 'must be a number between 0 and 1, not "fast"'),
        (f"{OPTIMIZER}.lr", True, "must be a number between 0 and 1, not true"),
        (f"{OPTIMIZER}.weight_decay", -0.1, "must be a number of at least 0, not -0.1"),
        ("train.train_config.runner.max_epochs", 0, "must be a whole number of at least 1, not 0"),
        ("train.train_config.runner.max_epochs", 1.5, "must be a whole number of at least 1, not 1.5"),
        ("train.train_config.validate", "yes", 'must be true or false, not "yes"'),
        ("model.backbone.type", 18, "must be text, not 18"),
        ("model.backbone", "resnet", 'must be an object, not "resnet"'),
        ("dataset.data.train.pipeline", {}, "must be a list, not {}"),
        ("num_gpus", -1, "must be a whole number of at least 0, or a list of them, not -1"),
        ("train.gpu_ids", [0, "a"], 'must be a whole number of at least 0, or a list of them, not [0,"a"]'),
    ],
)
def test_a_violation_names_its_path(path: str, value: Any, said: str) -> None:
    checked = check("classification_pyt", "train", spec(path, value), strict=True)
    assert [str(v) for v in checked.violations] == [f"$.{path}: {said}"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (f"{OPTIMIZER}.lr", 1),
        ("train.train_config.runner.max_epochs", 40.0),
        (f"{OPTIMIZER}.lr", None),
        ("train", None),
        ("model.backbone.custom_args.depths", [1, 2]),
        ("dataset.data.train.pipeline", [{"type": "Resize", "size": [1, 2]}, "anything"]),
        ("num_gpus", 2),
        ("gpu_ids", [0, 1]),
        ("version", "1"),
        ("gpus", None),
    ],
)
def test_valid_documents(path: str, value: Any) -> None:
    checked = check("classification_pyt", "train", spec(path, value), strict=True)
    assert checked.violations == []


@pytest.mark.parametrize(
    ("network", "action", "path", "value", "rule"),
    [
        ("classification_pyt", "train", f"{OPTIMIZER}.lr", 2, "must be a number between 0 and 1"),
        ("classification_pyt", "gen_trt_engine", "gen_trt_engine.tensorrt.data_type", "fp8", "must be one of fp32"),
        ("detectnet_v2", "train", "augmentation_config.preprocessing.output_image_height", 730, "multiple of 16"),
        ("classification_pyt", "train", "train.train_config.checkpoint_config.interval", 50, "must be less than"),
        ("faster_rcnn", "train", "model_config.freeze_blocks", [7], "must be a number between 0 and 3"),
    ],
)
def test_a_value_outside_the_reference_is_a_warning(
    network: str, action: str, path: str, value: Any, rule: str
) -> None:
    checked = check(network, action, spec(path, value))
    assert checked.violations == []
    assert [warning.code for warning in checked.warnings] == [WarningCode.OUTSIDE_REFERENCE]
    said = text(checked.warnings[0])
    assert f"$.{path}" in said and rule in said and said.endswith("; it is passed on as it is")
    strict = check(network, action, spec(path, value), strict=True)
    assert rule in strict.violations[0].rule and strict.warnings == []


@pytest.mark.parametrize(
    ("network", "path", "value"),
    [
        ("classification_pyt", f"{OPTIMIZER}.lr", "fast"),
        ("classification_pyt", "train.train_config.runner.max_epochs", 1.5),
        ("classification_pyt", "train.train_config.validate", "yes"),
        ("ssd", "training_config.regularizer.type", "L3"),
        ("ssd", "training_config.visualizer.wandb_config.mode", "__AWAY__"),
        ("ssd", "training_config.num_epochs", -1),
        ("ssd", "training_config.visualizer.wandb_config.tags", [3]),
    ],
)
def test_values_that_the_tool_rejects_are_violations(network: str, path: str, value: Any) -> None:
    checked = check(network, "train", spec(path, value))
    assert [violation.path.split("[")[0] for violation in checked.violations] == [f"$.{path}"]
    assert checked.warnings == []


def test_options_and_multiples() -> None:
    given = spec("gen_trt_engine.tensorrt.data_type", "fp8")
    checked = check("classification_pyt", "gen_trt_engine", given, strict=True)
    assert checked.violations[0].rule == "must be one of fp32, fp16, int8"
    given = spec("augmentation_config.preprocessing.output_image_height", 730)
    checked = check("detectnet_v2", "train", given, strict=True)
    assert "multiple of 16" in checked.violations[0].rule


def test_rules_between_two_parameters() -> None:
    interval, epochs = "train.train_config.checkpoint_config.interval", "train.train_config.runner.max_epochs"
    checked = check("classification_pyt", "train", merge.merge(spec(interval, 9), spec(epochs, 5)), strict=True)
    assert [str(v) for v in checked.violations] == [f"$.{interval}: must be less than {epochs} (5), not 9"]
    assert not check(
        "classification_pyt", "train", spec(interval, 50), strict=True
    ).ok  # against the default of 40 epochs
    assert check("classification_pyt", "train", spec(epochs, 1)).ok  # an interval of 1 cannot be any lower


def test_required_values() -> None:
    assert [str(v) for v in check("object_detection", "kmeans", {"size_x": 3}).violations] == ["$.size_y: is required"]
    assert merge.missing("object_detection", "kmeans", {"size_x": 3, "size_y": 4}) == []
    entry = {"key": "car", "value": "car"}
    assert check("detectnet_v2", "train", spec("dataset_config.target_class_mapping", [entry])).ok
    broken = check("detectnet_v2", "train", spec("dataset_config.target_class_mapping", [entry, 3, {"key": 4}]))
    assert [v.path for v in broken.violations][:2] == [
        "$.dataset_config.target_class_mapping[1]",
        "$.dataset_config.target_class_mapping[2].key",
    ]


def test_a_warning_about_an_unknown_key_names_the_nearest_known_one() -> None:
    given = spec("train.train_config.runner.max_epoch", 5)
    checked = check("classification_pyt", "train", given)
    assert checked.ok
    assert [text(warning) for warning in checked.warnings] == [
        "$.train.train_config.runner.max_epoch is not a parameter of classification_pyt train; "
        "the nearest known parameter is $.train.train_config.runner.max_epochs; it is passed on as it is"
    ]
    strict = check("classification_pyt", "train", given, strict=True)
    assert [v.path for v in strict.violations] == ["$.train.train_config.runner.max_epoch"]
    assert "nearest" in strict.violations[0].rule


def test_the_document_itself_must_be_an_object() -> None:
    assert [str(v) for v in check("classification_pyt", "train", [1]).violations] == ["$: must be an object, not [1]"]


@pytest.mark.parametrize("name", ["classification_pyt", "dino", "faster_rcnn", "yolo_v4", "segformer"])
def test_both_validators_reject_the_same(name: str) -> None:
    """Each value of the default replaced by text or by a list: rejected here exactly where the schema rejects it."""
    made = schema(name, "train")
    validator = jsonschema.Draft202012Validator(made)
    for path, value in leaves(made["default"]):
        for wrong in ("certainly wrong", [[]], -123456789, 0.123456):
            place = table(name, "train").node(path)
            if place is not None and place.declares_list and not isinstance(wrong, list):
                continue  # A single value stands for a list of one, which a schema cannot say.
            document = merge.default(name, "train")
            merge.put(document, path, wrong)
            alone = [v for v in check(name, "train", document, strict=True).violations if "(" not in v.rule]
            assert bool(alone) == (not validator.is_valid(document)), (path, value, wrong, alone)


def leaves(document: dict[str, Any], above: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in document.items():
        path = f"{above}.{key}" if above else key
        found += leaves(value, path) if isinstance(value, dict) and value else [(path, value)]
    return found


def test_the_nearest_parameter_is_looked_for_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each search took up to 90 ms, and 50 of them delayed every other client by seconds."""
    looked: list[str] = []

    def nearest(_: object, path: str) -> str:
        looked.append(path)
        return "x"

    monkeypatch.setattr(descriptions, "nearest", nearest)
    check("dino", "train", {"dataset": {"train_data_sources": [{"a": 1}] * 1000}})
    assert looked == ["dataset.train_data_sources.a"]
    warned = check("dino", "train", {f"f{number}": 1 for number in range(1000)}).warnings
    assert len(looked) <= 12 and sum("nearest" in each.arguments for each in warned) == len(looked) - 1


def test_a_list_is_not_read_beyond_its_first_thousand_faults() -> None:
    faults = check("dino", "train", {"dataset": {"num_classes": 2, "train_data_sources": ["a"] * 19_000}}).violations
    assert len(faults) == 1000
