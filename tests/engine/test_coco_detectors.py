"""Whole actions of detectors that learn from COCO annotations: a resumed training, and what the actions agree on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")

from runners.engine.run import main  # noqa: E402
from taod.catalogue.network import get_network  # noqa: E402
from taod.catalogue.specfiles.emit import protobuf_text  # noqa: E402
from taod.documents import Document  # noqa: E402
from tests.e2e import shapes  # noqa: E402
from tests.engine import coco_detectors  # noqa: E402
from tests.engine.coco_detectors import CASES  # noqa: E402
from tests.engine.halting import same, sigterm_after  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.engine, pytest.mark.usefixtures("one_thread")]


class Detector:
    """Runs of one network's actions over a few images."""

    def __init__(self, network: str, root: Path, images: int, epochs: int) -> None:
        self.network, self.root, self.case = network, root, CASES[network]
        self.held_out = shapes.write(root / "val", 8, 2)
        self.document = coco_detectors.document(network, epochs, shapes.write(root / "data", images, 1), self.held_out)
        self.weights = coco_detectors.weights(network, epochs)

    def run(self, action: str, results: str, **given: Path) -> int:
        spec = self.root / "spec"
        protobuf = get_network(self.network).spec_format == "protobuf"
        spec.write_text(protobuf_text(self.document) if protobuf else yaml.safe_dump(self.document))
        found = {} if action == "train" else coco_detectors.options(self.network, action, **given)
        options = [f"{name}={value}" for name, value in found.items()]
        return main([self.network, action, "-e", str(spec), "-r", str(self.root / results), "-k", "k", *options])

    def checkpoint(self, results: str) -> Document:
        found: Document = torch.load(self.root / results / self.weights, weights_only=True)
        return found

    def metrics(self, results: str) -> dict[str, float]:
        found: dict[str, float] = json.loads((self.root / results / "metrics.json").read_text())
        return found


@pytest.mark.parametrize("network", coco_detectors.CHOSEN)
def test_a_resumed_training_equals_an_uninterrupted_one(network: str, tmp_path: Path, monkeypatch: Any) -> None:
    detector = Detector(network, tmp_path, images=8, epochs=2)
    assert detector.run("train", "whole") == 0

    with sigterm_after(3, monkeypatch) as done:
        assert detector.run("train", "halted") == 143
    assert detector.run("train", "halted") == 0

    whole, resumed = detector.checkpoint("whole"), detector.checkpoint("halted")
    assert all(same(whole[part], resumed[part]) for part in ("model", "optimizer", "rng"))
    assert len(done) == 3


def _by_pycocotools(annotations: Path, results: Path, kind: str) -> float:
    """AP at IoU 0.5 of a file of results."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(str(results)), kind)
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()
    return float(evaluation.stats[1])


@pytest.mark.parametrize("network", coco_detectors.CHOSEN)
def test_the_actions_agree_on_what_a_detector_finds(network: str, tmp_path: Path) -> None:
    """On a checkpoint, on its ONNX model, and by pycocotools on the files that an inference leaves."""
    case = CASES[network]
    images, epochs = (40, 4) if coco_detectors.EVERY else (16, 2)
    detector = Detector(network, tmp_path, images, epochs)
    assert detector.run("train", "train") == 0
    weights, onnx = tmp_path / "train" / detector.weights, tmp_path / "export/model.onnx"

    assert detector.run("evaluate", "evaluated", model=weights) == 0
    assert detector.run("inference", "found", model=weights, images=detector.held_out / "images") == 0
    scored = detector.metrics("evaluated")
    kind = "segm" if case.kpi.startswith("mask") else "bbox"
    own = _by_pycocotools(detector.held_out / "annotations.json", tmp_path / "found/results.json", kind)
    assert scored[case.kpi] > 0 or not coco_detectors.EVERY  # two epochs may find nothing
    assert own == pytest.approx(scored[case.kpi], abs=1e-6)
    assert len(list((tmp_path / "found/images_annotated").glob("*.png"))) == 8
    if coco_detectors.EVERY:  # an export takes longer than all else
        assert detector.run("export", "export", model=weights, onnx=onnx) == 0
        assert detector.run("evaluate", "again", model=onnx) == 0
        assert detector.metrics("again")[case.kpi] == pytest.approx(scored[case.kpi], abs=1e-4)
    if coco_detectors.EVERY and network == "mask_rcnn":  # the efficientdets have no INT8
        images = {"calibrated": tmp_path / "data/images"}
        assert detector.run("export", "int8", model=weights, onnx=tmp_path / "int8.onnx", **images) == 0
        assert detector.run("evaluate", "quantized", model=tmp_path / "int8.onnx") == 0
        print(network, case.kpi, scored[case.kpi], detector.metrics("quantized")[case.kpi])
        assert detector.metrics("quantized")[case.kpi] >= scored[case.kpi] - 0.1
