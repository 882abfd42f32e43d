"""The detectors' parts against independent computations: NMS, metrics, transforms, anchors, ONNX."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from runners.engine.core import vision  # noqa: E402
from runners.engine.detection import anchors, metrics, nms, outputs, samples  # noqa: E402
from runners.engine.detection import transforms as T  # noqa: E402
from runners.engine.detection.metrics import Detections, Truth  # noqa: E402
from runners.engine.detection.settings import SpatialAugmentation  # noqa: E402
from runners.engine.errors import DataError  # noqa: E402
from taod.datasets.formats import kitti  # noqa: E402


def _boxes(random: np.random.Generator, count: int, side: float = 100.0) -> np.ndarray:
    corner = random.uniform(0, side * 0.8, (count, 2))
    return np.concatenate([corner, corner + random.uniform(4, side * 0.4, (count, 2))], axis=1)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    inner = across * down
    return inner / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner)


def test_nms_keeps_what_a_pairwise_comparison_keeps():
    random = np.random.default_rng(0)
    for threshold in (0.1, 0.5, 0.9):
        boxes, scores = _boxes(random, 80), random.uniform(size=80)
        kept: list[int] = []
        for index in np.argsort(-scores):
            if all(_overlap(boxes[index], boxes[other]) <= threshold for other in kept):
                kept.append(int(index))
        found = vision.greedy_nms(torch.tensor(boxes), torch.tensor(scores), threshold)
        assert found.tolist() == kept
    assert vision.greedy_nms(torch.zeros(0, 4), torch.zeros(0), 0.5).tolist() == []


def test_voc_average_precision_by_hand():
    """Three objects; in order of score: right, wrong, right, a second one on the first object."""
    objects = np.array([[0, 0, 10, 10], [20, 20, 30, 30], [50, 50, 60, 60]], float)
    truth = Truth(objects, np.zeros(3, int), np.zeros(3, bool), np.full(3, 100.0))
    found = Detections(
        np.array([[0, 0, 10, 10], [80, 80, 90, 90], [20, 20, 30, 31], [0, 0, 10, 11]], float),
        np.array([0.9, 0.8, 0.7, 0.6]),
        np.zeros(4, int),
    )
    # precision 1, 1/2, 2/3, 1/2 at recall 1/3, 1/3, 2/3, 2/3
    mean, each = metrics.voc([truth], [found], ["a", "absent"], "sample")
    assert mean == pytest.approx((4 * 1 + 3 * 2 / 3) / 11)
    assert np.isnan(each["absent"])
    assert metrics.voc([truth], [found], ["a"], "integrate")[0] == pytest.approx(1 / 3 + 2 / 9)
    assert metrics.voc([truth], [found], ["a"], "integrate", 0.95)[0] == pytest.approx(1 / 3)


def _edges(box: list[float]) -> list[float]:
    return [box[0], box[1], box[0] + box[2], box[1] + box[3]]


def _coco_files(folder: Path) -> tuple[Path, Path]:
    """An annotations file with crowds and areas that are not the boxes', and results with scores."""
    from PIL import Image

    random = np.random.default_rng(5)
    images, annotations, results = [], [], []
    (folder / "images").mkdir(parents=True)
    for number in (3, 7, 20, 21):
        Image.new("RGB", (100, 100)).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 100, "height": 100})
        for box in _boxes(random, 6 if number != 21 else 0):
            category = int(random.choice([2, 5, 9]))
            sized = [*box[:2], *(box[2:] - box[:2])]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": category, "bbox": sized,
                 "area": sized[2] * sized[3] * 0.7, "iscrowd": int(random.uniform() < 0.1), "segmentation": []}
            )  # fmt: skip
            for _ in range(2):
                moved = np.array(sized) + random.normal(0, 2.5, 4)
                results.append({"image_id": number, "category_id": category, "bbox": [*map(float, moved)],
                                "score": float(random.uniform())})  # fmt: skip
    categories = [{"id": number, "name": f"class {number}"} for number in (2, 5, 9)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(document))
    (folder / "results.json").write_text(json.dumps(results))
    return folder / "annotations.json", folder / "results.json"


def test_coco_values_equal_pycocotools_on_the_files(tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    annotations, results = _coco_files(tmp_path)
    truth = COCO(str(annotations))
    evaluation = COCOeval(truth, truth.loadRes(str(results)), "bbox")
    evaluation.evaluate(), evaluation.accumulate(), evaluation.summarize()

    source = samples.Source("COCO", tmp_path / "images", annotations)
    classes = samples.categories(source)
    read = samples.read([source], classes)
    detections = {sample.id: [] for sample in read}
    for one in json.loads(results.read_text()):
        detections[one["image_id"]].append(one)
    found = [
        Detections(
            np.array([_edges(one["bbox"]) for one in detections[sample.id]]).reshape(-1, 4),
            np.array([one["score"] for one in detections[sample.id]]),
            np.array([classes.ids.index(one["category_id"]) for one in detections[sample.id]], int),
        )
        for sample in read
    ]  # fmt: skip
    truths = [samples.truth(sample) for sample in read]
    values, each = metrics.coco(truths, found, classes.names)
    assert list(values.values()) == pytest.approx(evaluation.stats.tolist(), abs=1e-6)
    assert np.mean(list(each.values())) == pytest.approx(evaluation.stats[0], abs=1e-6)
    assert values["AP"] > 0.1


def _rectangle(width: int = 60, height: int = 40) -> T.Boxed:
    image = torch.zeros(3, height, width, dtype=torch.uint8)
    image[:, 8:20, 12:40] = 255
    return T.Boxed(image, torch.tensor([[12.0, 8.0, 40.0, 20.0]]), torch.tensor([1]))


def _extent(image) -> list[float]:
    rows, columns = torch.where(image[0] > 127)
    return [float(columns.min()), float(rows.min()), float(columns.max()) + 1, float(rows.max()) + 1]


@pytest.mark.parametrize(
    "transform",
    [
        T.flip(1.0, 1.0),
        T.Stretch(80, 90),
        T.Letterbox(64, 64),
        T.CropJitter(0.15),
        T.Warp(SpatialAugmentation(zoom_min=0.7, zoom_max=1.1, translate_max_x=5, translate_max_y=4)),
        T.ScaleCrop(64, 80, 0.6, 1.1),
    ],
    ids=["flip", "stretch", "letterbox", "jitter", "warp", "scale"],
)
def test_boxes_stay_on_what_they_enclose(transform):
    for seed in range(12):
        torch.manual_seed(seed)
        found = T.sanitized(transform(_rectangle()))
        assert len(found.boxes) == 1 and found.labels.tolist() == [1]
        assert found.boxes[0].tolist() == pytest.approx(_extent(found.image), abs=1.5)


def test_a_crop_drops_boxes_that_it_leaves_out():
    found = T.cut(_rectangle(), torch.zeros(3, 10, 10, dtype=torch.uint8), torch.tensor([[-26.0, 0.0, 2.0, 10.0]]))
    assert len(found.boxes) == 0 and len(found.labels) == 0


def test_anchor_shapes_lie_between_the_scales():
    shapes = anchors.sizes(0.1, 0.4, [1.0, 4.0], two_for_one=True)
    assert shapes == [pytest.approx((0.1, 0.1)), pytest.approx((0.2, 0.2)), pytest.approx((0.2, 0.05))]
    two = anchors.sizes(0.1, 0.4, [1.0], two_for_one=False, levels=2)
    assert two == [pytest.approx((0.1, 0.1)), pytest.approx((0.2, 0.2))]
    placed = anchors.grid(2, 3, [(8, 4)], (10, 20))
    assert placed[4].tolist() == [26.0, 13.0, 34.0, 17.0]


def test_each_object_has_an_anchor():
    boxes = torch.tensor([[0.0, 0.0, 4.0, 4.0], [10.0, 10.0, 20.0, 20.0]])
    placed = torch.tensor([[0.0, 0.0, 10.0, 10.0], [10.0, 10.0, 20.0, 19.0], [10.0, 14.0, 20.0, 20.0]])
    assert anchors.match(boxes, placed, 0.7, 0.5).tolist() == [0, 1, -2]
    assert anchors.match(boxes[:0], placed, 0.7, 0.5).tolist() == [-1, -1, -1]


class _Given(nms.Detector):
    """Takes its candidates from the images: columns are boxes and scores."""

    def detect(self, images):
        return images[:, 0, :, :4], images[:, 0, :, 4:]


@pytest.mark.slow
def test_nms_in_onnx_finds_what_torch_finds(tmp_path):
    import onnxruntime

    from runners.engine.detection import onnx_ops

    wanted = nms.Nms(confidence=0.3, iou=0.4, keep=30)
    path = tmp_path / "model.onnx"
    torch.onnx.export(
        nms.DetectorWithNms(_Given(), wanted).eval(),
        (torch.zeros(2, 1, 50, 7),),
        str(path),
        dynamo=True,
        external_data=False,
        input_names=["input"],
        output_names=list(nms.OUTPUTS),
        dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
        custom_translation_table={torch.ops.taod.select.default: onnx_ops.select},
    )
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3):
        random = np.random.default_rng(batch)
        boxes = np.stack([_boxes(random, 50) for _ in range(batch)]).astype(np.float32)
        scores = random.uniform(size=(batch, 50, 3)).astype(np.float32)
        scores[0] *= 0.31  # one image with hardly any detection
        columns = np.concatenate([boxes, scores], axis=2)[:, None]
        count, edges, chances, kinds = session.run(None, {"input": columns})
        expected = nms.select(torch.tensor(boxes), torch.tensor(scores), wanted)
        for place, found in enumerate(expected):
            number = int(count[place, 0])
            assert number == len(found.scores)
            assert chances[place, :number] == pytest.approx(found.scores.numpy())
            assert edges[place, :number] == pytest.approx(found.boxes.numpy())
            assert kinds[place, :number].tolist() == found.classes.tolist()
            assert not edges[place, number:].any()
        assert count[0, 0] < 30


class _Undecided(nms.Detector):
    """Scores of overlapping boxes differ by less than what torch and onnxruntime sum up differently."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.Conv2d(3, 256, 5)
        self.score = torch.nn.Conv2d(256, 1, 5)

    def detect(self, images):
        values = self.score(1000 + self.features(images) * 1e-3).flatten(1)
        scores = (values - values.mean(dim=1, keepdim=True)).mul(1e-2).sigmoid()[..., None]
        corner = torch.arange(scores.shape[1], dtype=torch.float32)[:, None] * 8
        boxes = torch.cat([corner, corner * 0, corner + 40, corner * 0 + 40], dim=1)
        return boxes + 0 * scores, scores


def test_an_export_is_not_rejected_for_the_order_of_nearly_equal_scores(tmp_path):
    from runners.engine import checkpoint
    from runners.engine.core import export
    from runners.engine.detection.network import DetectionFrame
    from runners.engine.networks.yolo_v4.network import YoloV4
    from runners.engine.run import Run
    from runners.engine.status import StatusWriter

    class Undecided(YoloV4):
        def build(self, frame):
            return _Undecided()

    network = Undecided()
    frame = DetectionFrame(classes=["a"], optimizer="sgd", ids=[1], height=16, width=16, model={})
    torch.manual_seed(1)
    weights = tmp_path / "model.pth"
    checkpoint.save(
        weights,
        {"network": "yolo_v4", "frame": msgspec.to_builtins(frame), "model": network.build(frame).state_dict()},
    )
    document = {"model": str(weights), "dataset_config": {"target_class_mapping": [{"key": "a", "value": "a"}]}}
    status = StatusWriter(tmp_path / "status.json")

    assert "finished" in export.run(Run("yolo_v4", "export", document, tmp_path, status, None), network)

    outputs = onnx.load(tmp_path / "model.onnx").graph.output
    assert [one.name for one in outputs] == list(nms.OUTPUTS)


def _kitti(folder: Path, labels: dict[str, str]) -> Path:
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    for name, text in labels.items():
        Image.new("RGB", (50, 40)).save(folder / "images" / f"{name}.png")
        (folder / "labels" / f"{name}.txt").write_text(text)
    return folder


def test_kitti_labels_are_mapped_to_target_classes(tmp_path):
    tail = "0 0 0 0 0 0 0"
    root = _kitti(
        tmp_path / "d",
        {
            "a": f"Car 0 0 0 1 2 11 12 {tail}\nVan 0 0 0 5 5 9 9 {tail}\nTree 0 0 0 5 5 9 9 {tail}\n",
            "b": "",
            "c": f"DontCare 0 0 0 1 2 11 12 {tail}\nvan 0 0 0 5 5 5 9 {tail}\n",
        },
    )
    classes = samples.mapped({"car": "Vehicle", "van": "vehicle", "person": "person"})
    assert classes.names == ["person", "vehicle"]
    read = samples.read([samples.kitti_source(samples.beside(f"{root}/tfrecords/tfrecords-*"))], classes)
    assert [sample.classes for sample in read] == [[1, 1], [], []]
    assert read[0].boxes[0] == (1.0, 2.0, 11.0, 12.0)
    with pytest.raises(DataError, match="No object of the classes boat is in the data, which have 'Car'"):
        samples.read([samples.kitti_source(root)], samples.mapped({"boat": "boat"}))


def test_results_are_what_the_readers_read(tmp_path):
    found = Detections(np.array([[1.5, 2.0, 11.25, 12.0]]), np.array([0.75]), np.array([1]))
    labels, problems = kitti.parse(outputs.kitti_lines(found, ["person", "big car"]), "a.txt")
    assert not problems and labels[0].name == "big_car" and tuple(labels[0].box or ()) == (1.5, 2.0, 11.25, 12.0)
    outputs.write_results(tmp_path / "r.json", outputs.results(7, found, [2, 9]))
    assert json.loads((tmp_path / "r.json").read_text()) == [
        {"image_id": 7, "category_id": 9, "bbox": [1.5, 2.0, 9.75, 10.0], "score": 0.75}
    ]


def test_an_annotated_image_has_the_box_in_its_class_colour():
    from PIL import Image

    found = Detections(np.array([[10.0, 20.0, 30.0, 35.0]]), np.array([0.5]), np.array([1]))
    image = outputs.annotated(Image.new("RGB", (60, 50)), found, ["a", "b"])
    assert image.getpixel((20, 20)) == outputs.colours(2)[1] and image.getpixel((20, 28)) == (0, 0, 0)
