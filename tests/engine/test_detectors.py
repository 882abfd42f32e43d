"""Whole actions of detectors in this process: a resumed training, and what evaluate, export and inference agree on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
Image = pytest.importorskip("PIL.Image")

from runners.engine import capabilities  # noqa: E402
from runners.engine.run import main  # noqa: E402
from taod.documents import Document  # noqa: E402
from tests.e2e import shapes  # noqa: E402
from tests.engine import detectors  # noqa: E402
from tests.engine.halting import same, sigterm_after  # noqa: E402
from tests.engine.packed import run_packed  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.usefixtures("one_thread")]

INT8 = 0.15
"""The mean average precision that a quantized model may lose; 8 images are measured, in which one object of a class is
a tenth of it."""


class Detector:
    """Runs of one network's actions over a few images."""

    def __init__(self, network: str, root: Path, images: int, epochs: int, side: int = shapes.SIDE) -> None:
        self.network, self.root = network, root
        self.held_out = shapes.write(root / "val", 8, 2)
        train = shapes.write(root / "train", images, 1)
        self.document = detectors.document(network, epochs, train, self.held_out, side)
        name = "model.epoch-{}.pth" if network == "detectnet_v2" else "model_epoch_{}.pth"
        self.weights = f"weights/{name.format(epochs)}"

    def run(self, action: str, results: str, **options: object) -> int:
        spec = self.root / "spec.txt"
        spec.write_text(detectors.text(self.document, action))
        given = [f"{name}={value}" for name, value in options.items()]
        return main([self.network, action, "-e", str(spec), "-r", str(self.root / results), "-k", "k", *given])

    def checkpoint(self, results: str) -> Document:
        found: Document = torch.load(self.root / results / self.weights, weights_only=True)
        return found

    def metrics(self, results: str) -> dict[str, float]:
        found: dict[str, float] = json.loads((self.root / results / "metrics.json").read_text())
        return found


@pytest.mark.parametrize("network", detectors.CHOSEN)
def test_a_resumed_training_equals_an_uninterrupted_one(network: str, tmp_path: Path, monkeypatch: Any) -> None:
    detector = Detector(network, tmp_path, images=8, epochs=2, side=32)
    assert detector.run("train", "whole") == 0

    with sigterm_after(3, monkeypatch) as done:
        assert detector.run("train", "halted") == 143
    assert (tmp_path / "halted/weights/interrupted.ckpt").is_file()
    assert detector.run("train", "halted") == 0

    whole, resumed = detector.checkpoint("whole"), detector.checkpoint("halted")
    assert all(same(whole[part], resumed[part]) for part in ("model", "optimizer", "rng"))
    assert len(done) == 3


@pytest.mark.parametrize("network", detectors.CHOSEN)
def test_an_exported_detector_scores_as_its_checkpoint_and_draws_what_it_finds(network: str, tmp_path: Path) -> None:
    detector = Detector(network, tmp_path, images=32, epochs=3)
    assert detector.run("train", "train") == 0
    weights, onnx = tmp_path / "train" / detector.weights, tmp_path / "export/model.onnx"

    assert detector.run("evaluate", "evaluated", model_path=weights) == 0
    assert detector.run("export", "export", model=weights, output_file=onnx) == 0
    assert detector.run("evaluate", "again", model_path=onnx) == 0
    images = detector.held_out / "images"
    assert detector.run("inference", "found", model_path=weights, **detectors.inference(network, images)) == 0

    name = "validation cost" if network == "detectnet_v2" else "mean average precision"
    assert detector.metrics("evaluated")[name] > 0
    assert detector.metrics("again")[name] == pytest.approx(detector.metrics("evaluated")[name], abs=1e-4)
    # INT8: the boxes of the float model, at nearly the same scores.
    options = {"model": weights, "data_type": "int8", "cal_image_dir": tmp_path / "train/images", "batches": 4}
    assert detector.run("export", "int8", **options, output_file=tmp_path / "int8.onnx") == 0
    assert detector.run("evaluate", "scored", model_path=tmp_path / "int8.onnx") == 0
    said, _ = _reported(tmp_path / "int8")
    assert re.match(r"\d+ layers quantized with \d+ images; the outputs differ .* by [\d.]+%$", said["INT8"])
    one, other = detector.metrics("evaluated"), detector.metrics("scored")
    if network == "detectnet_v2":
        assert other[name] == pytest.approx(one[name], rel=0.05)
    else:
        assert other[name] >= one[name] - INT8
    drawn = list((tmp_path / "found/images_annotated").glob("*.png"))
    labels = [path.read_text() for path in (tmp_path / "found/labels").glob("*.txt")]
    assert len(drawn) == len(labels) == 8
    assert any(labels)
    if network != "detectnet_v2":  # whose cells the script does not cluster
        lines = run_packed(onnx, sorted(images.iterdir()), tmp_path / "packed", "--confidence=0.01")
        results = json.loads((tmp_path / "found/results.json").read_text())
        printed = sorted(float(line.split()[-5]) for line in lines)[-5:]
        assert printed == pytest.approx(sorted(one["score"] for one in results)[-5:], abs=2e-3)
        assert len(list((tmp_path / "packed/predictions").iterdir())) == 8


def _said(results: Path) -> str:
    return json.loads((results / "status.json").read_text().splitlines()[-1])["message"]


def _reported(results: Path) -> tuple[dict[str, str], dict[str, float]]:
    """What status lines say of the model, and their last KPIs."""
    lines = [json.loads(line) for line in (results / "status.json").read_text().splitlines()]
    stats = {name: text for line in lines for name, text in line.get("stats", {}).items()}
    return stats, next((line["kpi"] for line in reversed(lines) if "kpi" in line), {})


def test_images_keep_their_aspect_by_their_shorter_side(tmp_path: Path) -> None:
    detector = Detector("faster_rcnn", tmp_path, images=6, epochs=1)
    for number in (1, 2):  # wider ones, black on the right
        for split in ("train", "val"):
            path = tmp_path / split / f"images/{number:04d}.png"
            with Image.open(path) as image:
                image.crop((0, 0, 96, 64)).save(path)
    config = detector.document["model_config"]["input_image_config"]
    del config["size_height_width"]
    config["size_min"] = {"min": 160}
    detector.document["augmentation_config"]["preprocessing"]["output_image_max"] = 208
    assert detector.run("train", "train") == 0
    frame = detector.checkpoint("train")["frame"]
    assert (frame["height"], frame["width"], frame["shorter"]) == (160, 208, 160)
    weights, images = tmp_path / "train" / detector.weights, detector.held_out / "images"
    assert detector.run("evaluate", "evaluated", model_path=weights) == 0
    if detectors.EVERY:
        onnx = tmp_path / "model.onnx"
        assert detector.run("export", "export", model=weights, output_file=onnx) == 0
        given = detectors.inference("faster_rcnn", images)
        assert detector.run("inference", "found", model_path=weights, **given) == 0
        lines = run_packed(onnx, sorted(images.iterdir()), tmp_path / "packed", "--confidence=0.01")
        results = json.loads((tmp_path / "found/results.json").read_text())
        printed = sorted(float(line.split()[-5]) for line in lines)[-5:]
        assert printed == pytest.approx(sorted(one["score"] for one in results)[-5:], abs=2e-3)


def test_int8_needs_images_to_be_calibrated_with(tmp_path: Path) -> None:
    detector = Detector("ssd", tmp_path, images=2, epochs=1, side=32)
    assert detector.run("train", "train") == 0
    weights = tmp_path / "train" / detector.weights
    assert detector.run("export", "int8", model=weights, data_type="int8") == 1
    assert "data_type is 'int8' and cal_image_dir is not set" in _said(tmp_path / "int8")
    assert detector.run("export", "none", model=weights, data_type="int8", cal_image_dir=tmp_path / "absent") == 1
    assert f"cal_image_dir {tmp_path}/absent does not exist" in _said(tmp_path / "none")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/a.png").write_bytes(b"not an image")
    assert detector.run("export", "bad", model=weights, data_type="int8", cal_image_dir=tmp_path / "broken") == 1
    assert f"None of the images in cal_image_dir {tmp_path}/broken can be read" in _said(tmp_path / "bad")


def test_a_prune_without_an_evaluation_dataset_says_that_it_measured_nothing(tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    detector = Detector("ssd", tmp_path, images=2, epochs=1, side=32)
    del detector.document["dataset_config"]["validation_data_sources"]
    assert detector.run("train", "train") == 0
    assert detector.run("prune", "pruned", model=tmp_path / "train" / detector.weights, pruning_threshold=0.9) == 0
    stats, kpi = _reported(tmp_path / "pruned")
    assert stats["KPI"].startswith("not measured: neither the specification of the prune nor that of the training")
    assert "parameters" in stats and "mean average precision" not in kpi


@pytest.mark.parametrize("network", [name for name in detectors.CHEAP if "prune" in capabilities.OFFERS[name].actions])
def test_a_pruned_detector_is_trained_again_and_deployed(network: str, tmp_path: Path) -> None:
    pytest.importorskip("torch_pruning")
    detector = Detector(network, tmp_path, images=8, epochs=1, side=32)
    assert detector.run("train", "train") == 0
    weights = tmp_path / "train" / detector.weights
    assert detector.run("prune", "pruned", model=weights, pruning_threshold=0.9, min_num_filters=8) == 0
    stats, kpi = _reported(tmp_path / "pruned")
    for name in ("parameters", "FLOPs of an image", "mean average precision"):
        before, after = (float(word.rstrip(" M")) for word in re.split(" before, | after", stats[name])[:2])
        assert after < before or name == "mean average precision"
    assert f"{kpi['mean average precision']:.4f} after" in stats["mean average precision"]
    detectors.begin_with(detector.document, tmp_path / "pruned/model.pth")
    detectors.deepen(detector.document, 18)
    assert detector.run("retrain", "unlike") == 1
    assert "is a pruned model with backbone resnet_10" in (tmp_path / "unlike/status.json").read_text()
    detectors.deepen(detector.document, 10)
    assert detector.run("retrain", "again") == 0
    again, _ = _reported(tmp_path / "again")
    assert again["pretrained weights"].startswith("model.pth: ") and "left out" not in again["pretrained weights"]
    assert f" {again['parameters'].partition(' M,')[0]} M after" in stats["parameters"]

    whole, small = detector.checkpoint("train"), detector.checkpoint("again")
    counts = [sum(value.numel() for value in one["model"].values()) for one in (whole, small)]
    assert small["frame"]["pruned"] and counts[1] < counts[0]
    weights = tmp_path / "again" / detector.weights
    assert detector.run("evaluate", "scored", model_path=weights) == 0
    assert detector.run("export", "export", model=weights, output_file=tmp_path / "model.onnx") == 0
