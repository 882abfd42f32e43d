"""What the engine's detectors share as networks of the core: batches, scores, files, NMS and its ONNX form."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec
import numpy as np
import torch
from PIL import Image
from torch import nn

from runners.engine.core import pruning
from runners.engine.core.loading import Samples
from runners.engine.core.network import Arrays, Frame, Loss, Network, Plan
from runners.engine.detection import metrics, nms, outputs
from runners.engine.detection.data import Batch, DetectionSamples, Placement
from runners.engine.detection.metrics import Detections, Mode, Truth
from runners.engine.detection.nms import Detector, Nms
from runners.engine.detection.samples import Classes, Sample
from runners.engine.detection.transforms import Letterbox, Stretch
from taod.documents import Document

log = logging.getLogger("engine")

STD = (58.395, 57.12, 57.375)
MEAN = (123.675, 116.28, 103.53)


class DetectionFrame(Frame, frozen=True, kw_only=True):
    """What a detector's checkpoint keeps beside its weights."""

    ids: list[int]
    """Category ids by class."""
    height: int
    width: int
    mean: tuple[float, float, float] = MEAN
    std: tuple[float, float, float] = STD
    keeps_aspect: bool = False
    shorter: int | None = None
    """Pixels of the shorter side of images, where they are not simply fitted into the input."""
    grey: bool = False
    model: Document
    """The network's own description of its shape."""

    @property
    def fit(self) -> Stretch | Letterbox:
        if self.keeps_aspect:
            return Letterbox(self.height, self.width, shorter=self.shorter)
        return Stretch(self.height, self.width)


S = TypeVar("S", bound=msgspec.Struct)


class Detection(Network[S, DetectionFrame, Batch]):
    """A detector. Subclasses give the plan, the model, what the specification says of NMS, data and KPIs."""

    frame_type = DetectionFrame
    output_names: ClassVar[tuple[str, ...]] = nms.OUTPUTS
    probe_names: ClassVar[tuple[str, ...]] = nms.PROBES
    checkpoint_name = "weights/model_epoch_{epoch}.pth"
    verb = "searched for objects"
    shaped_by: ClassVar[tuple[str, ...]] = ("backbone", "classes")
    """Fields of the frame's `model` that the shapes of its weights depend on."""

    @abstractmethod
    def build(self, frame: DetectionFrame) -> Detector: ...

    @abstractmethod
    def nms(self, spec: S, frame: DetectionFrame) -> Nms: ...

    @abstractmethod
    def truths(self, spec: S, classes: Classes, action: str) -> list[Sample]:
        """The labelled images of an evaluation, or those of an inference."""

    @abstractmethod
    def batch(self, spec: S, action: str) -> int: ...

    def loss(self, model: nn.Module, data: Batch, plan: Plan[DetectionFrame, Batch], step: int) -> Loss:
        parts: dict[str, torch.Tensor] = model(*self.inputs(data, plan.frame), data.targets)
        total = torch.stack(list(parts.values())).sum()
        count = len(data.images)
        return Loss(total, {f"{name}_loss": part.detach() * count for name, part in parts.items()})

    def inputs(self, data: Batch, frame: DetectionFrame) -> tuple[torch.Tensor, ...]:
        mean, std = (
            data.images.new_tensor(part, dtype=torch.float32).view(1, 3, 1, 1) for part in (frame.mean, frame.std)
        )
        return ((data.images.float() - mean) / std,)

    def deployed(self, model: nn.Module, frame: DetectionFrame, spec: S) -> nn.Module:
        assert isinstance(model, Detector)
        return nms.DetectorWithNms(model, self.nms(spec, frame))

    def probing(self, deployed: nn.Module) -> nn.Module:
        assert isinstance(deployed, nms.DetectorWithNms)
        return nms.ProbedDetector(deployed)

    def prunable(self, model: nn.Module, frame: DetectionFrame) -> tuple[nn.Module, list[nn.Module]]:
        assert isinstance(model, Detector)
        pruning.check_backbone(str(frame.model["backbone"]))
        return nms.PredictionHead(model), model.last()

    def shape_of(self, frame: DetectionFrame) -> Document:
        return {name: frame.model[name] for name in self.shaped_by}

    def input_size(self, frame: DetectionFrame) -> tuple[int, int, int]:
        return 3, frame.height, frame.width

    def samples(self, spec: S, frame: DetectionFrame, action: str) -> tuple[Samples[Batch], int, int | None]:
        classes = Classes(frame.classes, {}, frame.ids)
        return self.evaluation_samples(self.truths(spec, classes, action), frame), self.batch(spec, action), None

    def evaluation_samples(self, samples: list[Sample], frame: DetectionFrame) -> Samples[Batch]:
        """Samples as an evaluation reads them."""
        found: Samples[Batch] = DetectionSamples(samples, frame.fit, grey=frame.grey)
        return found

    def validation(self, spec: S, frame: DetectionFrame) -> tuple[Samples[Batch], int] | None:
        if not self.names_validation(spec):
            return None
        truths = self.truths(spec, Classes(frame.classes, {}, frame.ids), "train")
        return self.evaluation_samples(truths, frame), self.batch(spec, "evaluate")

    def names_validation(self, spec: S) -> bool:
        """Whether a training with this specification is validated."""
        return False

    def translations(self) -> dict[Callable[..., object], Callable[..., object]]:
        from runners.engine.detection import onnx_ops

        return {torch.ops.taod.select.default: onnx_ops.select}

    def metadata(self, frame: DetectionFrame, spec: S) -> Document:
        wanted = self.nms(spec, frame)
        return {
            "mean": frame.mean,
            "std": frame.std,
            "channels": "grey, three times" if frame.grey else "red, green, blue",
            "fit": {
                "height": frame.height,
                "width": frame.width,
                "keep_ratio": frame.keeps_aspect,
                **({"shorter": frame.shorter} if frame.shorter else {}),
            },
            "boxes": "left, top, right, bottom in pixels of the input",
            "nms": msgspec.to_builtins(wanted),
        }


def detections(outputs: Arrays, row: int, place: Placement) -> Detections:
    """The detections of an image of a batch in pixels of its file."""
    count, boxes, scores, classes = outputs[:4]
    number = int(np.reshape(count[row], -1)[0])
    return Detections(place.back(boxes[row, :number]), scores[row, :number], classes[row, :number].astype(int))


class DetectionScore:
    """Gathers detections beside labels; subclasses say how they are counted."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.truths: list[Truth] = []
        self.found: list[Detections] = []
        self._values: tuple[dict[str, float], dict[str, dict[str, float]]] | None = None

    @property
    def count(self) -> int:
        return len(self.truths)

    def add(self, outputs: Arrays, data: Batch, indices: Sequence[int]) -> None:
        self.truths += data.truths
        self.found += [self.read(outputs, data, row) for row in range(len(data.places))]

    def read(self, outputs: Arrays, data: Batch, row: int) -> Detections:
        """The detections of an image of a batch, in pixels of its file."""
        return detections(outputs, row, data.places[row])

    def measure(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """KPIs, and values per class by name."""
        raise NotImplementedError

    def _measured(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        if self._values is None:
            self._values = self.measure()
        return self._values

    def kpi(self) -> dict[str, float]:
        return self._measured()[0]

    def categorical(self) -> dict[str, dict[str, float]]:
        return self._measured()[1]

    def write(self, folder: Path, checkpoint: Path) -> str:
        kpi, categorical = self._measured()
        document = {"checkpoint": str(checkpoint), "images": self.count, **kpi, "classes": categorical}
        (folder / "metrics.json").write_bytes(msgspec.json.format(msgspec.json.encode(document)) + b"\n")
        name, value = next(iter(kpi.items()))
        return f"{name} {value:.4f}"


class VocScore(DetectionScore):
    """`mean average precision` of the classes that the data have."""

    def __init__(self, names: list[str], mode: Mode, threshold: float | list[float]) -> None:
        super().__init__(names)
        self._mode, self._threshold = mode, threshold

    def measure(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        mean, each = metrics.voc(self.truths, self.found, self.names, self._mode, self._threshold)
        there = {name: value for name, value in each.items() if not np.isnan(value)}
        if absent := sorted(set(each) - set(there)):
            log.warning("The data have no object of the class %s, which is left out of the mean", ", ".join(absent))
        return {"mean average precision": mean}, {"average precision": there}


class CocoScore(DetectionScore):
    """COCO's values under the names of a tool; `kpis`: COCO's name → the tool's."""

    def __init__(self, names: list[str], kpis: dict[str, str]) -> None:
        super().__init__(names)
        self._kpis = kpis

    def measure(self) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        values, each = metrics.coco(self.truths, self.found, self.names)
        return {name: values[key] for key, name in self._kpis.items()}, {"AP": each}


class OutputStyle(msgspec.Struct, frozen=True):
    """What an inference leaves of an image, and how: names of the classes in labels, colours and width of lines where
    the network chooses them."""

    names: list[str]
    palette: list[tuple[int, int, int]] | None = None
    line: int | None = None
    images: bool = True
    labels: bool = True


class DetectionWriter:
    """Annotated images, a KITTI label file an image, and one file of COCO results."""

    def __init__(self, folder: Path, frame: DetectionFrame, confidence: float, look: OutputStyle | None = None) -> None:
        self._frame, self._confidence, self._look = frame, confidence, look or OutputStyle(frame.classes)
        self._images, self._labels = folder / "images_annotated", folder / "labels"
        self._file = folder / "results.json"
        self._results: list[outputs.Result] = []
        for place, wanted in ((self._images, self._look.images), (self._labels, self._look.labels)):
            if wanted:
                place.mkdir(parents=True, exist_ok=True)

    def add(self, path: str, outputs_: Arrays, data: Batch, place: int) -> None:
        every, look, name = self.found(outputs_, data, place), self._look, Path(path)
        sure = every.scores >= self._confidence
        kept = [mask for mask, one in zip(every.masks, sure, strict=False) if one]
        found = Detections(every.boxes[sure], every.scores[sure], every.classes[sure], kept)
        if look.images:
            with Image.open(path) as image:
                drawn = outputs.annotated(image, found, look.names, look.palette, look.line)
                drawn.save(self._images / f"{name.stem}.png")
        if look.labels:
            (self._labels / f"{name.stem}.txt").write_text(outputs.kitti_lines(found, look.names), encoding="utf-8")
        self._results += outputs.results(data.ids[place], found, self._frame.ids)

    def found(self, outputs_: Arrays, data: Batch, place: int) -> Detections:
        """All detections of an image."""
        return detections([array[None] for array in outputs_], 0, data.places[place])

    def close(self, whole: bool) -> None:
        if whole:
            outputs.write_results(self._file, self._results)
