"""Whole actions run in this process on a few dozen generated images: what they write, resume from, and reject."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

pytestmark = pytest.mark.engine


def break_image(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def same(one: Any, other: Any) -> bool:
    """Whether two nested values of tensors and plain values are equal to the last bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.slow
def test_training_reports_each_epoch_and_keeps_as_many_checkpoints_as_asked(colours: Any) -> None:
    spec = colours.spec(
        train__train_config__runner__max_epochs=3, train__train_config__checkpoint_config={"max_keep_ckpts": 2}
    )

    code, lines = colours.run("train", "out", spec)

    assert code == 0
    assert (lines[0]["status"], lines[-1]["status"]) == ("STARTED", "SUCCESS")
    epochs = [line for line in lines if "kpi" in line]
    assert [(line["epoch"], line["max_epoch"]) for line in epochs] == [(1, 3), (2, 3), (3, 3)]
    assert {"accuracy_top-1", "loss", "train_loss"} <= epochs[-1]["kpi"].keys()
    assert "accuracy_top-5" not in epochs[-1]["kpi"]
    assert set(epochs[-1]["categorical"]["accuracy"]) == {"red", "green", "blue"}
    assert epochs[-1]["graphical"]["lr"] > 0
    assert epochs[-1]["time_per_epoch"].startswith("0:00:")
    within = [line for line in lines if line.get("mode") == "train"]
    assert within
    assert all("cur_iter" in line and "kpi" not in line for line in within)
    assert sorted(path.name for path in (colours.root / "out" / "train").iterdir()) == ["epoch_2.pth", "epoch_3.pth"]


def test_a_damaged_checkpoint_falls_back_to_the_whole_one_before_and_ends_the_same(
    colours: Any, caplog: pytest.LogCaptureFixture
) -> None:
    spec = colours.spec(train__train_config__runner__max_epochs=3)
    assert colours.run("train", "out", spec)[0] == 0
    last = colours.root / "out" / "train" / "epoch_3.pth"
    expected = torch.load(last, weights_only=True)
    last.write_bytes(last.read_bytes()[: last.stat().st_size // 2])

    spec["train"]["train_config"]["resume_training_checkpoint_path"] = str(last)
    with caplog.at_level("INFO", "engine"):
        code, lines = colours.run("train", "out", spec)

    assert code == 0
    assert "Falling back to" in caplog.text
    assert [line["epoch"] for line in lines if "kpi" in line] == [3]
    again = torch.load(last, weights_only=True)
    assert all(same(expected[key], again[key]) for key in ("model", "optimizer", "rng"))


@pytest.mark.slow
def test_a_resume_that_does_not_fit_says_why(colours: Any) -> None:
    spec = colours.spec(train__train_config__runner__max_epochs=1)
    assert colours.run("train", "out", spec)[0] == 0

    spec["train"]["train_config"]["resume_training_checkpoint_path"] = str(colours.root / "out/train/epoch_1.pth")
    spec["model"]["backbone"]["custom_args"] |= {"embedding_size": 4}
    _, lines = colours.run("train", "out", spec)

    assert "epoch_1.pth cannot be resumed: its options is" in lines[-1]["message"]


def test_a_fresh_start_moves_an_earlier_runs_checkpoints_aside(colours: Any) -> None:
    assert colours.run("train", "out", colours.spec(train__train_config__runner__max_epochs=2))[0] == 0
    assert colours.run("train", "out", colours.spec(train__train_config__runner__max_epochs=1))[0] == 0

    train = colours.root / "out" / "train"
    assert sorted(path.name for path in train.glob("*.pth")) == ["epoch_1.pth"]
    assert sorted(path.name for path in (train / "earlier").iterdir()) == ["epoch_1.pth", "epoch_2.pth"]


@pytest.mark.slow
def test_start_weights_are_taken(colours: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert colours.run("train", "first", colours.spec())[0] == 0

    weights = str(colours.root / "first" / "train" / "epoch_2.pth")
    with caplog.at_level("INFO", "engine"):
        code, lines = colours.run("train", "second", colours.spec(model__init_cfg__checkpoint=weights))

    assert code == 0
    assert "Starting from" in caplog.text
    (stats,) = (line["stats"] for line in lines if "stats" in line)
    (said,) = stats.values()
    count = int(said.removeprefix("epoch_2.pth: ").partition(" of ")[0])
    assert said == f"epoch_2.pth: {count} of {count} tensors loaded"
    assert next(line for line in lines if "kpi" in line)["epoch"] == 1


def test_a_corrupt_image_ends_training_with_its_name_or_is_left_out_on_request(colours: Any) -> None:
    broken = colours.root / "train" / "green" / "003.png"
    break_image(broken)

    code, lines = colours.run("train", "out", colours.spec())

    assert code == 1
    assert lines[-1]["status"] == "FAILURE"
    assert str(broken) in lines[-1]["message"]
    assert "skip_unreadable" in lines[-1]["message"]
    assert colours.run("train", "out", colours.spec(dataset__data__skip_unreadable=True))[0] == 0


@pytest.mark.slow
def test_a_corrupt_image_met_by_a_data_worker_is_named_the_same_way(colours: Any) -> None:
    broken = colours.root / "val" / "red" / "001.png"
    break_image(broken)

    _, lines = colours.run("train", "out", colours.spec(dataset__data__workers_per_gpu=1))

    assert lines[-1]["message"].startswith(f"The image {broken} cannot be read")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"model__backbone__type": "faster_vit_0_224"},
            "faster_vit_0_224' is not in the engine; it has resnet",
        ),
        ({"model__head__num_classes": 7}, "num_classes is 7, but the data have 3 classes"),
        ({"dataset__data__train__data_prefix": "/nowhere"}, "/nowhere is not a folder"),
        ({"train__train_config__optimizer__lr": "fast"}, "train.train_config.optimizer.lr: expected float"),
        ({"train__train_config__optimizer__lr": 1e12, "train__train_config__runner__max_epochs": 9}, "The loss became"),
        ({"dataset__data__val__pipeline": [{"type": "CenterCrop", "crop_size": 8}]}, "makes images of (8, 8)"),
        ({"train__train_config__resume_training_checkpoint_path": "/none.pth"}, "/none.pth does not exist"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(colours: Any, changes: dict[str, Any], said: str) -> None:
    changes = {"train__train_config__optimizer__type": "SGD", **changes}

    code, lines = colours.run("train", "out", colours.spec(**changes))

    assert code == 1
    assert lines[-1]["status"] == "FAILURE"
    assert said in lines[-1]["message"]


def test_without_validation_the_loss_is_the_training_loss(bench: Any) -> None:
    bench.images("train", 4)
    spec = bench.spec(train__train_config__runner__max_epochs=1)
    del spec["dataset"]["data"]["val"]

    _, lines = bench.run("train", "out", spec)

    kpi = next(line["kpi"] for line in lines if "kpi" in line)
    assert kpi["loss"] == kpi["train_loss"]
    assert "accuracy_top-1" not in kpi


@pytest.fixture
def trained(colours: Any) -> Any:
    """After training; `test` is a folder of images without classes, one of them broken."""
    spec = colours.spec(train__train_config__runner__max_epochs=3)
    assert colours.run("train", "out", spec)[0] == 0
    colours.images("test", 2)
    break_image(colours.root / "test" / "blue" / "000.png")
    colours.checkpoint = str(colours.root / "out" / "train" / "epoch_3.pth")
    return colours


def test_inference_leaves_out_what_cannot_be_read(trained: Any) -> None:
    code, lines = trained.run("inference", "inf", trained.spec(inference__checkpoint=trained.checkpoint))

    assert code == 0
    assert lines[-1]["message"] == "Inference finished: 5 images classified; 1 could not be read and are left out"
    rows = list(csv.DictReader((trained.root / "inf" / "result.csv").open()))
    assert len(rows) == 5
    assert {row["class"] for row in rows} <= {"red", "green", "blue"}
    assert all(Path(row["path"]).is_file() and 1 / 3 <= float(row["confidence"]) <= 1 for row in rows)


def test_inference_fails_where_nothing_can_be_read(trained: Any) -> None:
    for path in (trained.root / "test").rglob("*.png"):
        break_image(path)

    code, lines = trained.run("inference", "inf", trained.spec(inference__checkpoint=trained.checkpoint))

    assert code == 1
    assert "None of the 6 images" in lines[-1]["message"]
    assert not (trained.root / "inf" / "result.csv").exists()


def test_evaluate_takes_the_validation_set_and_the_checkpoints_own_architecture(trained: Any) -> None:
    spec = trained.spec(evaluate__checkpoint=trained.checkpoint, evaluate__topk=2, model__backbone__type="fan_tiny")

    code, lines = trained.run("evaluate", "eval", spec)

    assert code == 0
    line = next(line for line in lines if "kpi" in line)
    assert set(line["kpi"]) == {"accuracy_top-1", "accuracy_top-2", "loss"}
    metrics = json.loads((trained.root / "eval" / "metrics.json").read_text())
    assert metrics["accuracy_top-1"] == line["kpi"]["accuracy_top-1"]
    assert metrics["images"] == 12
    rows = list(csv.reader((trained.root / "eval" / "confusion_matrix.csv").open()))
    assert rows[0][1:] == ["red", "green", "blue"]
    assert sum(int(cell) for row in rows[1:] for cell in row[1:]) == 12


@pytest.mark.parametrize(
    ("action", "changes", "said"),
    [
        ("evaluate", {}, "evaluate.checkpoint is not set"),
        ("evaluate", {"evaluate__checkpoint": "/model.engine"}, "neither .pth nor .onnx"),
        ("evaluate", {"evaluate__checkpoint": "/model.onnx"}, "/model.onnx does not exist"),
        ("inference", {"inference__checkpoint": "/model.pth"}, "/model.pth does not exist"),
        ("export", {"export__checkpoint": "/model.onnx"}, "is not a .pth checkpoint"),
    ],
)
def test_a_checkpoint_that_cannot_be_used_is_named(
    colours: Any, action: str, changes: dict[str, Any], said: str
) -> None:
    code, lines = colours.run(action, "out", colours.spec(**changes))

    assert code == 1
    assert said in lines[-1]["message"]


def test_classes_that_the_model_does_not_know_are_named(trained: Any) -> None:
    trained.images("val", 1, classes=("red", "violet"))

    _, lines = trained.run("evaluate", "eval", trained.spec(evaluate__checkpoint=trained.checkpoint))

    assert "class folder 'violet', not among the checkpoint's classes" in lines[-1]["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "custom"),
    [
        ("convnext_atto", {"hidden_sizes": [8, 16], "depths": [1, 1]}),
        ("vit_tiny", {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}),
    ],
)
def test_other_families_train_and_export_with_any_batch(
    colours: Any, backbone: str, custom: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    spec = colours.spec(model__backbone={"type": backbone, "custom_args": custom})
    spec["train"]["train_config"]["optimizer_config"] = {"grad_clip": {"max_norm": 1.0}}
    assert colours.run("train", "out", spec)[0] == 0

    checkpoint, target = colours.root / "out" / "train" / "epoch_2.pth", colours.root / "exp" / "model.onnx"
    spec["export"] = {"checkpoint": str(checkpoint), "onnx_file": str(target), "input_width": 224}
    code, _ = colours.run("export", "exp", spec)

    assert code == 0
    session = onnxruntime.InferenceSession(str(target))
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["classes"]) == ["red", "green", "blue"]
    assert json.loads(about["input_size"]) == [16, 16]
    assert about["layout"] == "NCHW"
    for batch in (1, 7):
        assert session.run(None, {"input": torch.zeros(batch, 3, 16, 16).numpy()})[0].shape == (batch, 3)

    spec["export"]["input_width"] = 64
    assert "trained at 16 and 16" in colours.run("export", "exp", spec)[1][-1]["message"]
    monkeypatch.setattr("runners.engine.core.export.TOLERANCE", -1.0)
    spec["export"]["input_width"] = 224
    assert "differs from the torch model" in colours.run("export", "exp", spec)[1][-1]["message"]
