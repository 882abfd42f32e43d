"""Reading specs, the command line, and what the engine says it can do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runners.engine import capabilities, cli, spec
from runners.engine.errors import SpecError
from runners.engine.networks.classification_pyt import backbones, settings

CATALOGUE_DEFAULT = {"model": {"backbone": {"type": "fan_tiny_8_p4_hybrid", "custom_args": {"drop_path_rate": 0.1}}}}


def test_reads_yaml_with_overrides(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("train: {train_config: {runner: {max_epochs: 4}}}\n")

    document = spec.read(path, ["train.train_config.runner.max_epochs=7", "model.backbone.type=resnet_18"])

    assert settings.of(document).train.train_config.runner.max_epochs == 7
    assert settings.of(document).model.backbone.type == "resnet_18"


@pytest.mark.parametrize(
    ("text", "said"),
    [("a: [", "is not valid YAML"), ("- 1", "must be a mapping"), (None, "cannot be read")],
)
def test_a_spec_that_cannot_be_read_says_so(tmp_path: Path, text: str | None, said: str) -> None:
    path = tmp_path / "spec.yaml"
    if text is not None:
        path.write_text(text)

    with pytest.raises(SpecError, match=said):
        spec.read(path)


def test_nulls_mean_defaults_and_unknown_keys_pass() -> None:
    found = settings.of(
        {"train": {"num_gpus": None, "gpu_id": 3, "train_config": {"optimizer": {"lr": None}, "lr_config": None}}}
    )

    assert found.train.train_config.optimizer.lr == 1e-3
    assert found.train.train_config.lr_config.policy == "CosineAnnealing"


def test_numbers_written_as_yaml_reads_them_as_text_are_taken() -> None:
    assert (
        settings.of({"train": {"train_config": {"optimizer": {"lr": "1e-3"}}}}).train.train_config.optimizer.lr == 1e-3
    )


@pytest.mark.parametrize(
    ("document", "path"),
    [
        (
            {"train": {"train_config": {"optimizer": {"lr": "fast"}}}},
            r"train\.train_config\.optimizer\.lr: expected float",
        ),
        (
            {"train": {"train_config": {"runner": {"max_epochs": 0}}}},
            r"train\.train_config\.runner\.max_epochs: .*>= 1",
        ),
        ({"dataset": {"data": {"train": "images"}}}, r"dataset\.data\.train: expected object, got str"),
    ],
)
def test_a_wrong_type_names_the_path(document: dict[str, Any], path: str) -> None:
    with pytest.raises(SpecError, match=path):
        settings.of(document)


def test_the_seed_comes_from_either_place() -> None:
    assert settings.of({}).seed == 47
    assert settings.of({"train": {"exp_config": {"manual_seed": 5}}}).seed == 5
    assert settings.of({"train": {"seed": 9, "exp_config": {"manual_seed": 5}}}).seed == 9


@pytest.mark.engine
def test_the_catalogues_default_backbone_is_there_and_an_unknown_one_rejected_for_train_alone() -> None:
    assert capabilities.can("classification_pyt", "train", CATALOGUE_DEFAULT) == (True, "", "")
    unknown = {"model": {"backbone": {"type": "faster_vit_0_224"}}}
    able, reason, remedy = capabilities.can("classification_pyt", "train", unknown)

    assert not able
    assert "faster_vit_0_224" in reason
    assert all(name in reason for name in capabilities.BACKBONES["classification_pyt"])
    assert remedy
    assert capabilities.can("classification_pyt", "evaluate", unknown) == (True, "", "")


@pytest.mark.engine
@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"model": {"backbone": {"type": "resnet_18", "custom_args": {"widht": 3}}}}, "custom_args.widht is not known"),
        ({"train": {"train_config": {"optimizer": {"type": "Lion"}}}}, "optimizer.type 'Lion'"),
        ({"train": {"train_config": {"lr_config": {"policy": "cyclic"}}}}, "lr_config.policy 'cyclic'"),
        ({"model": {"head": {"loss": {"type": "FocalLoss"}}}}, "loss.type 'FocalLoss'"),
        (
            {"dataset": {"data": {"train": {"pipeline": [{"type": "AutoAugment"}]}}}},
            r"pipeline\[0\].type 'AutoAugment'",
        ),
        ({"dataset": {"data": {"val": {"ann_file": "val.txt"}}}}, "dataset.data.val.ann_file"),
    ],
)
def test_what_the_engine_lacks_is_rejected_before_a_run(document: dict[str, Any], said: str) -> None:
    able, reason, _ = capabilities.can("classification_pyt", "train", document)

    assert not able
    assert re.search(said, reason)


def test_unknown_networks_and_actions_are_rejected_with_what_there_is() -> None:
    assert "classification_pyt" in capabilities.can("dino", "train")[1]
    assert "evaluate" in capabilities.can("classification_pyt", "gen_trt_engine")[1]


def test_asking_for_capabilities_imports_nothing_heavy() -> None:
    code = (
        "import sys; from runners.engine import capabilities, cli;"
        "capabilities.can('classification_pyt', 'train', {'model': {'backbone': {'type': 'resnet_18'}}});"
        "print([name for name in ('torch', 'transformers', 'numpy', 'PIL', 'onnxruntime') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_every_backbone_resolves_and_small_images_get_a_small_stem() -> None:
    for name in backbones.BACKBONES:
        family = backbones.resolve(name, {}, (224, 224))[0]["family"]
        assert family == name.split("_")[0] or family == "timm"
    with pytest.raises(SpecError, match="cannot be cut into the tokens of fan_tiny"):
        backbones.resolve("fan_tiny_8_p4_hybrid", {}, (100, 96))
    assert backbones.resolve("resnet_18", {}, (32, 32))[0]["stem_stride"] == 1
    assert backbones.resolve("resnet_18", {}, (224, 224))[0]["stem_stride"] == 4
    assert backbones.resolve("resnet_18", {"stem_stride": 2}, (32, 32))[0]["stem_stride"] == 2
    options, notes = backbones.resolve("resnet_18", {"drop_path_rate": 0.1}, (32, 32))
    assert "drop_path_rate" not in options
    assert "no effect" in notes[0]


@pytest.mark.parametrize(
    ("custom", "said"),
    [
        ({"hidden_sizes": [8, 16]}, "as many"),
        ({"depths": "many"}, "a list of positive integers"),
        ({"stem_stride": 3}, "1, 2 or 4"),
        ({"layer_type": "wide"}, "basic or bottleneck"),
    ],
)
def test_a_wrong_shape_of_backbone_is_rejected(custom: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        backbones.resolve("resnet_18", custom, (32, 32))


def test_the_command_line_in_both_forms() -> None:
    short = cli.parse(["classification_pyt", "train", "-e", "s.yaml", "-r", "out", "-k", "secret", "-g", "1", "a.b=c"])
    long = cli.parse(
        [
            "classification_pyt",
            "train",
            "--experiment_spec_file=s.yaml",
            "--results_dir=out",
            "--key=secret",
            "--gpus=1",
        ]
    )

    assert short.overrides == ["a.b=c"]
    assert (short.spec, short.results, short.gpus) == (long.spec, long.results, long.gpus)
    assert "secret" not in repr(short)


@pytest.mark.parametrize("argv", [["dino", "train", "-e", "s"], ["classification_pyt", "prune", "-e", "s"], []])
def test_wrong_usage_exits_with_2_and_names_what_there_is(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.parse(argv)

    assert stopped.value.code == 2
    assert "classification_pyt: train, evaluate, export, inference" in capsys.readouterr().err
