"""`taod model pack`: what its files say, without a daemon; tests/e2e/test_segmentation.py packs a trained model."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest
import rich_click as click

from taod.cli.support.pack import pack
from taod.cli.support.pack.card import Source
from taod.cli.support.pack.description import Task
from taod.types.job import Categorical, CategoryValue, DataSeen, HistoryEntry, JobDetail, JobView, Kpi, Result
from taod.types.model import Model
from taod.types.state import State, Status

onnx = pytest.importorskip("onnx")

DETECTOR = {
    "classes": ["car", "person"],
    "mean": [1.0, 2.0, 3.0],
    "std": [1.0, 1.0, 1.0],
    "fit": {"height": 8, "width": 16, "keep_ratio": True},
    "nms": {"confidence": 0.1},
    "frame": {"secret": "of the engine"},
}


EMPTY = {
    "ptm": [], "jobs": [], "logo": "", "metric": "", "public": False, "actions": [], "version": "", "automl_R": 1,
    "ngc_path": "", "automl_nu": 2, "read_only": False, "created_on": "2026-01-01T00:00:00+00:00",
    "dataset_type": "object_detection", "eval_dataset": None, "last_modified": "2026-01-01T00:00:00+00:00",
    "automl_enabled": False, "train_datasets": [], "automl_algorithm": None, "epoch_multiplier": 1,
    "inference_dataset": None, "additional_id_info": None, "calibration_dataset": None,
    "automl_add_hyperparameters": "[]", "automl_max_recommendations": 1, "automl_remove_hyperparameters": "[]",
    "automl_delete_intermediate_ckpt": False,
}  # fmt: skip


def onnx_file(path: Path, metadata: dict[str, Any], batch: str | int = "batch") -> Path:
    """A model that returns its input."""
    kind, shape = onnx.TensorProto.FLOAT, [batch, 3, 8, 16]
    ends = [onnx.helper.make_tensor_value_info(name, kind, shape) for name in ("input", "output")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["input"], ["output"])], "g", ends[:1], ends[1:])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], producer_name="p")
    onnx.helper.set_model_props(model, {key: json.dumps(value) for key, value in metadata.items()})
    onnx.save(model, str(path))
    return path


def detail(action: str, parent: str | None, result: Result, spec: dict[str, Any]) -> JobDetail:
    view = JobView(
        id=f"{action}-1", action=action, parent_id=parent, status=Status.DONE, created_on="", last_modified="",
        result=result, state=State.DONE, reason="", owner_kind="model", owner_id="m", owner_name="cars",
        network="ssd", started_at="2026-01-01T00:00:00.000000+00:00", ended_at="2026-01-01T00:01:30.000000+00:00",
        metric="mAP", devices=["cpu:0"], runner="embedded",
    )  # fmt: skip
    history = [HistoryEntry("", State.RUNNING, "pid 7, image sha256:abc")]
    return JobDetail(view, history=history, spec=spec, data=[DataSeen("train", "d", "city|\n2", "f00")])


@pytest.fixture
def source() -> Source:
    # Only what a pack reads.
    given = {
        "id": "m",
        "name": "cars",
        "network_arch": "ssd",
        "description": "Of a\ncrossing",
        "encryption_key": "s3cret",
    }
    model = msgspec.structs.replace(msgspec.convert(given | EMPTY, Model), release="7.3")
    train = detail(
        "train", None, Result(kpi=[Kpi("mAP", {"1": 0.5, "2": 0.75, "3": 0.625})]), {"lr": 0.1, "enc_key": "s3cret"}
    )
    scored = Result(
        kpi=[Kpi("mAP", {"0": 0.7})], categorical=[Categorical("AP", [CategoryValue("van", 0.5), CategoryValue("bus")])]
    )
    export = detail("export", "train-1", Result(), {"export": {"key": "s3cret", "opset": 17}})
    return Source(model, [train, export], [detail("evaluate", "train-1", scored, {})])


def unpacked(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode("utf-8", "replace") for name in archive.namelist()}


def test_a_pack_has_card_labels_description_specifications_and_a_script(source: Source, tmp_path: Path) -> None:
    weights = onnx_file(tmp_path / "model.onnx", DETECTOR)
    packed = pack.write_files(source, weights, tmp_path / "out.zip", with_triton=True)
    files = unpacked(tmp_path / "out.zip")
    assert packed.runnable and packed.jobs == ["train-1", "export-1"]
    assert set(files) == {
        "MODEL_CARD.md", "SHA256SUMS", "labels.txt", "model.json", "model.onnx", "requirements.txt", "run_model.py",
        "specs/export-export-1.yaml", "specs/train-train-1.yaml", "triton/ssd/1/model.onnx", "triton/ssd/config.pbtxt",
    }  # fmt: skip
    assert not [name for name, text in files.items() if "s3cret" in text]
    assert files["labels.txt"] == "car\nperson\n"
    about = json.loads(files["model.json"])
    assert about["task"] == Task.DETECTION
    assert about["preprocessing"] == {key: DETECTOR[key] for key in ("mean", "std", "fit")}
    assert about["postprocessing"] == {"nms": {"confidence": 0.1}}
    assert about["inputs"] == [{"name": "input", "type": "float32", "shape": ["batch", 3, 8, 16]}]
    assert files["triton/ssd/config.pbtxt"].splitlines() == [
        'name: "ssd"', 'backend: "onnxruntime"', "max_batch_size: 8",
        "input [", '  { name: "input" data_type: TYPE_FP32 dims: [ 3, 8, 16 ] }', "]",
        "output [", '  { name: "output" data_type: TYPE_FP32 dims: [ 3, 8, 16 ] }', "]",
        "dynamic_batching { }",
    ]  # fmt: skip
    card = files["MODEL_CARD.md"]
    assert "| mAP | 0.625 (epoch 3) | 0.75 (epoch 2) |" in card
    assert "| mAP | 0.7 | higher |" in card and "| van | 0.5 |" in card and "bus" not in card
    assert "- Dataset (train): city| 2 `d`, fingerprint f00" in card
    assert "- pid 7, image sha256:abc" in card and "took 90 s" in card
    assert "Of a crossing" in card


def test_tritons_own_parser_reads_the_configuration(source: Source, tmp_path: Path) -> None:
    text_format = pytest.importorskip("google.protobuf.text_format")
    grpc = pytest.importorskip(
        "tritonclient.grpc", reason="tritonclient is not installed; it needs an older protobuf than onnx"
    )
    for batch, largest, dims in (("batch", 8, [3, 8, 16]), (4, 0, [4, 3, 8, 16])):
        weights = onnx_file(tmp_path / "model.onnx", DETECTOR, batch)
        pack.write_files(source, weights, tmp_path / "out.zip", with_triton=True)
        config = text_format.Parse(
            unpacked(tmp_path / "out.zip")["triton/ssd/config.pbtxt"], grpc.model_config_pb2.ModelConfig()
        )
        assert (config.name, config.backend, config.max_batch_size) == ("ssd", "onnxruntime", largest)
        assert [(entry.name, entry.data_type, list(entry.dims)) for entry in (*config.input, *config.output)] == [
            ("input", grpc.model_config_pb2.TYPE_FP32, dims), ("output", grpc.model_config_pb2.TYPE_FP32, dims),
        ]  # fmt: skip


def test_a_model_of_another_tool_gets_no_script_and_the_classes_of_its_evaluation(
    source: Source, tmp_path: Path
) -> None:
    packed = pack.write_files(source, onnx_file(tmp_path / "model.onnx", {}), tmp_path / "out.zip", with_triton=False)
    files = unpacked(tmp_path / "out.zip")
    assert not packed.runnable and "run_model.py" not in files
    assert json.loads(files["model.json"])["classes"] == ["van", "bus"]
    assert "The file does not state how images are prepared" in files["MODEL_CARD.md"]


def test_an_engine_is_packed_as_it_is_and_no_partial_file_is_left(source: Source, tmp_path: Path) -> None:
    engine = tmp_path / "model.engine"
    engine.write_bytes(b"\0\1\2")
    with pytest.raises(click.UsageError, match=r"--triton describes ONNX models; this one is a \.engine file"):
        pack.write_files(source, engine, tmp_path / "out.zip", with_triton=True)
    (tmp_path / "broken.onnx").write_bytes(b"not protobuf")
    with pytest.raises(click.UsageError, match=r"broken\.onnx is not an ONNX file"):
        pack.write_files(source, tmp_path / "broken.onnx", tmp_path / "out.zip", with_triton=False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.onnx", "model.engine"]
    pack.write_files(source, engine, tmp_path / "out.zip", with_triton=False)
    assert set(unpacked(tmp_path / "out.zip")) == {
        "MODEL_CARD.md", "SHA256SUMS", "model.engine", "specs/export-export-1.yaml", "specs/train-train-1.yaml",
    }  # fmt: skip


def test_a_card_has_no_control_character(source: Source, tmp_path: Path) -> None:
    hostile = msgspec.structs.replace(source, model=msgspec.structs.replace(source.model, name="cars\x1b]52;c;eA\x07"))
    pack.write_files(hostile, onnx_file(tmp_path / "model.onnx", DETECTOR), tmp_path / "out.zip", with_triton=False)
    card = unpacked(tmp_path / "out.zip")["MODEL_CARD.md"]
    assert "\x1b" not in card and "\x07" not in card and card.startswith("# cars")


def test_the_script_knows_the_steps_that_the_engine_passes_over() -> None:
    """It runs alone, so it lists them itself; `Normalize` is a stage of its own there."""
    pytest.importorskip("onnxruntime")
    from runners.engine.classification.settings import PIPELINE_SILENT
    from taod.cli.support.pack.run_model import OTHER_STAGES

    assert {*OTHER_STAGES} == {*PIPELINE_SILENT, "Normalize"}
