"""unet and segformer on generated shapes: training, evaluation, export and inference, with stated KPIs."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

torch = pytest.importorskip("torch")
np = pytest.importorskip("numpy")
Image = pytest.importorskip("PIL.Image")

from runners.engine import capabilities  # noqa: E402
from runners.engine.core.network import Arrays  # noqa: E402
from runners.engine.errors import SpecError  # noqa: E402
from runners.engine.run import main  # noqa: E402
from runners.engine.segmentation import data  # noqa: E402
from runners.engine.segmentation.data import Augment, Batch, Entry, Fit  # noqa: E402
from runners.engine.segmentation.score import MaskScore, mean  # noqa: E402
from tests.engine import shapes_set  # noqa: E402
from tests.engine.packed import run_packed  # noqa: E402

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("one_thread")]


CLASSES = [Entry("background", "background", 0), Entry("disc", "shape", 1), Entry("square", "shape", 2)]


def lines(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (results / "status.json").read_text().splitlines()]


def kpi(results: Path) -> dict[str, float]:
    return next(line["kpi"] for line in reversed(lines(results)) if "kpi" in line)


def run(*argv: object) -> int:
    return main([str(word) for word in argv])


def test_classes_that_are_trained_as_one_share_a_number() -> None:
    palette = data.palette(CLASSES, "p")

    numbers = palette.numbers(Image.fromarray(np.array([[0, 1], [2, 255]], dtype=np.uint8)))

    assert palette.classes == ["background", "shape"]
    assert numbers.tolist() == [[0, 1], [1, 255]]


def test_masks_of_colours_and_of_grey_shades() -> None:
    entries = [Entry("a", "a", 0, (0, 0, 0)), Entry("b", "b", 1, (255, 255, 255))]
    palette = data.palette(entries, "p")
    grey = np.array([[0, 255]], dtype=np.uint8)

    assert palette.numbers(Image.fromarray(np.stack([grey] * 3, axis=2))).tolist() == [[0, 1]]
    with pytest.raises(ValueError, match=r"\[7\]"):
        palette.numbers(Image.fromarray(np.full((1, 1), 7, dtype=np.uint8)))
    with pytest.raises(SpecError, match="label_id 0 more than once"):
        data.palette([entries[0], Entry("c", "c", 0)], "p")


def test_black_and_white_masks_are_classes_where_the_colours_say_so() -> None:
    palette = data.palette([Entry("a", "a", 0, (0, 0, 0)), Entry("b", "b", 1, (255, 255, 255))], "p")

    def numbers(*values: int) -> list[list[int]]:
        return palette.numbers(Image.fromarray(np.array([values], dtype=np.uint8))).tolist()

    assert numbers(0, 255) == [[0, 1]]
    assert numbers(0, 1) == [[0, 1]]
    assert numbers(0, 1, 255) == [[0, 1, data.IGNORED]]


def test_augmentation_moves_image_and_mask_alike() -> None:
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[5:20, 10:50] = 1
    image = Image.fromarray(np.stack([mask * 255] * 3, axis=2))
    how = Augment(hflip=0.5, vflip=0.5, crop_and_resize=0.5, scale=(64, 48), ratio=(0.7, 1.6))
    fit = Fit(32, 32, method="NEAREST_NEIGHBOR")

    for seed in range(30):
        moved, classes = data.fitted(*data.augmented(image, Image.fromarray(mask), how, fit, Random(seed)), fit)
        known = np.asarray(classes) != data.IGNORED
        assert moved.size == (32, 32)
        assert ((np.asarray(moved)[..., 0] == 255) == (np.asarray(classes) == 1))[known].all()


def test_the_score_equals_a_count_by_hand() -> None:
    score = MaskScore(["a", "b"], Fit(2, 2), lambda found: {"m": mean(found.iou())}, losses=False)
    truth = np.array([[0, 1], [1, 255]], dtype=np.uint8)
    logits = np.array([[[[2.0, 2.0], [0, 0]], [[1.0, 1.0], [3, 3]]]])
    batch = Batch(torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2), [truth], [(2, 2)])
    outputs: Arrays = [logits]

    score.add(outputs, batch, [0])

    assert score.iou() == {"a": 0.5, "b": 0.5}
    assert score.recall() == {"a": 1.0, "b": 0.5}
    assert score.precision() == {"a": 0.5, "b": 1.0}
    assert score.accuracy == pytest.approx(2 / 3)


def test_an_image_without_mask_is_named(tmp_path: Path) -> None:
    shapes_set.write(tmp_path, "train", 2)
    (tmp_path / "masks/train/001.png").unlink()
    folders = ([str(tmp_path / "images/train")], [str(tmp_path / "masks/train")])

    with pytest.raises(Exception, match=r"no mask for '001.png'"):
        data.pairs(*folders, ("i", "m"), data.palette(CLASSES, "p"), Fit(32, 32))
    assert len(data.pairs(*folders, ("i", "m"), data.palette(CLASSES, "p"), Fit(32, 32), lenient=True)) == 1


SIDE = 32


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    shapes_set.write(tmp_path, "train", 48, SIDE)
    shapes_set.write(tmp_path, "val", 12, SIDE)
    return tmp_path


def unet_spec(root: Path, epochs: int) -> Path:
    classes = "".join(
        f'target_classes {{ name: "{name}" mapping_class: "{name}" label_id: {number} }}'
        for number, name in enumerate(shapes_set.NAMES)
    )
    path = root / "spec.txt"
    path.write_text(
        f"""
random_seed: 7
dataset_config {{
  augment: true  input_image_type: "color"
  train_images_path: "{root}/images/train"  train_masks_path: "{root}/masks/train"
  val_images_path: "{root}/images/val"  val_masks_path: "{root}/masks/val"
  data_class_config {{ {classes} }}
  augmentation_config {{ spatial_augmentation {{ hflip_probability: 0.5 vflip_probability: 0.5 }} }}
}}
model_config {{ arch: "resnet" num_layers: 18
  model_input_height: {SIDE} model_input_width: {SIDE} model_input_channels: 3 }}
training_config {{ batch_size: 8 epochs: {epochs} learning_rate: 0.001 loss: "cross_dice_sum"
  regularizer {{ type: L2 weight: 2e-05 }} optimizer {{ adam {{ beta1: 0.9 }} }} }}
"""
    )
    return path


def unet(*argv: object) -> int:
    if find_spec("segmentation_models_pytorch") is None:
        pytest.skip("segmentation_models_pytorch is not installed")
    return run("unet", *argv)


@pytest.mark.slow
def test_unet_learns_shapes_resumes_and_scores_in_int8(shapes: Path) -> None:
    spec = unet_spec(shapes, 4)
    train = (f"--experiment_spec_file={spec}", f"--results_dir={shapes}/out")
    last = shapes / "out/weights/model.epoch-4.pth"

    assert unet("train", *train) == 0
    assert kpi(shapes / "out")["mean IOU"] >= 0.65
    whole = torch.load(last, weights_only=True)["model"]
    last.unlink()
    assert unet("train", *train) == 0

    reached = [line["epoch"] for line in lines(shapes / "out") if "kpi" in line]
    assert reached == [1, 2, 3, 4, 4]
    again = torch.load(last, weights_only=True)["model"]
    assert all(torch.equal(whole[name], again[name]) for name in whole)

    named, onnx = (f"--experiment_spec={spec}", "--key=k", "--batch_size=8"), shapes / "int8.onnx"
    calibrated = ("--data_type=int8", f"--cal_image_dir={shapes}/images/train", "--batches=4")
    export = (f"--model={last}", f"--output_file={onnx}", f"--results_dir={shapes}/e", *calibrated)
    assert unet("export", *named, *export) == 0
    folders = (f"--image_dir={shapes}/images/val", f"--label_dir={shapes}/masks/val")
    assert unet("evaluate", *named, *folders, f"--model_path={onnx}", f"--results_dir={shapes}/int8") == 0
    scored = json.loads((shapes / "int8/metrics.json").read_text())["mean IOU"]
    (said,) = (line["stats"]["INT8"] for line in lines(shapes / "e") if "stats" in line)
    assert " layers quantized with 32 images; " in said
    assert scored >= kpi(shapes / "out")["mean IOU"] - 0.03


@pytest.mark.slow
def test_an_int8_model_that_is_unlike_the_float_one_is_not_exported(
    shapes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runners.engine.core import quantise

    monkeypatch.setattr(quantise, "LIMIT", 1e-4)
    spec, weights = unet_spec(shapes, 1), shapes / "out/weights/model.epoch-1.pth"
    assert unet("train", f"--experiment_spec_file={spec}", f"--results_dir={shapes}/out") == 0
    named = (f"--experiment_spec={spec}", "--key=k", f"--model={weights}", f"--output_file={shapes}/e/model.onnx")
    images = ("--data_type=int8", f"--cal_image_dir={shapes}/images/train", "--batch_size=8")
    assert unet("export", *named, *images, f"--results_dir={shapes}/e") == 1
    said = lines(shapes / "e")[-1]["message"]
    assert said.startswith("data_type is 'int8', in which the outputs differ from the float model's by ")
    assert said.endswith("give it other images in cal_image_dir, or set data_type to fp32.")
    assert [path.name for path in (shapes / "e").iterdir()] == ["status.json"]


@pytest.mark.slow
def test_an_export_of_unet_scores_as_its_checkpoint_does(shapes: Path) -> None:
    spec, weights = unet_spec(shapes, 1), shapes / "out/weights/model.epoch-1.pth"
    assert unet("train", f"--experiment_spec_file={spec}", f"--results_dir={shapes}/out") == 0
    onnx = shapes / "model.onnx"
    named = (f"--experiment_spec={spec}", "--key=k")
    assert unet("export", *named, f"--model={weights}", f"--output_file={onnx}", f"--results_dir={shapes}/e") == 0
    read = (*named, f"--image_dir={shapes}/images/val", "--batch_size=5")
    for path, name in ((weights, "torch"), (onnx, "onnx")):
        options = (f"--label_dir={shapes}/masks/val", f"--model_path={path}", f"--results_dir={shapes}/{name}")
        assert unet("evaluate", *read, *options) == 0
    assert unet("inference", *read, f"--model_path={onnx}", f"--results_dir={shapes}/inference") == 0

    scores = [json.loads((shapes / name / "metrics.json").read_text()) for name in ("torch", "onnx")]
    assert scores[0]["mean IOU"] == pytest.approx(kpi(shapes / "out")["mean IOU"], abs=1e-9)
    assert scores[1]["mean IOU"] == pytest.approx(scores[0]["mean IOU"], abs=1e-3)
    confusion = np.zeros((3, 3), dtype=int)
    for path in (shapes / "inference/mask_labels").iterdir():
        truth = np.asarray(Image.open(shapes / "masks/val" / path.name))
        np.add.at(confusion, (truth, np.asarray(Image.open(path))), 1)
    assert confusion.tolist() == scores[1]["confusion"]
    assert len(list((shapes / "inference/vis_overlay").iterdir())) == 12
    images = sorted((shapes / "images/val").iterdir())
    lines = run_packed(onnx, images, shapes / "packed", f"--output={shapes}/packed-masks")
    assert len(lines) == len(images) == 12
    for path in (shapes / "packed-masks").iterdir():
        inferred = np.asarray(Image.open(shapes / "inference/mask_labels" / path.name))
        assert np.array_equal(np.asarray(Image.open(path)), inferred)


@pytest.mark.slow
def test_every_encoder_of_unet_has_the_blocks_that_can_be_frozen() -> None:
    from runners.engine.networks.unet import network

    colours = data.palette(CLASSES, "p")
    for backbone in (
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet101",
        "vgg16_bn",
        "vgg19_bn",
        "efficientnet-b0",
        "vanilla",
    ):
        frame = network.MaskFrame(
            classes=colours.classes,
            optimizer="adam",
            backbone=backbone,
            fit=Fit(64, 96, 1),
            palette=colours,
            mean=[0.0],
            std=[1.0],
        )
        with torch.device("meta"):
            model = network.NETWORK.build(frame)
            assert model(torch.zeros(2, 1, 64, 96)).shape == (2, 2, 64, 96)
        there = network.blocks(model)
        weights = [sum(weight.numel() for part in block for weight in part.parameters()) for block in there]
        assert len(weights) == 5 and min(weights) > 0, backbone


def test_frozen_blocks_and_norms_stay_as_they_are() -> None:
    from runners.engine.networks.unet import network
    from runners.engine.networks.unet.capabilities import Model, Spec

    model = network.Vanilla(1, 2, width=4)
    network.freeze(Spec(model_config=Model(freeze_blocks=[0, 3], freeze_bn=True)), model)
    before = {name: value.clone() for name, value in model.state_dict().items()}

    optimiser = torch.optim.SGD([weight for weight in model.parameters() if weight.requires_grad], lr=1)
    model.train()
    model(torch.randn(2, 1, 32, 32)).square().mean().backward()
    optimiser.step()

    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert {name.split(".")[1] for name in changed if name.startswith("down")} == {"1", "2", "4"}
    assert not any("running" in name for name in changed)


def segformer_spec(root: Path, iterations: int, interval: int) -> dict[str, Any]:
    split = {part: {"img_dir": f"{root}/images/{part}", "ann_dir": f"{root}/masks/{part}"} for part in ("train", "val")}
    palette = [
        {"seg_class": name, "mapping_class": name, "label_id": number, "rgb": [number * 80, 0, 0]}
        for number, name in enumerate(shapes_set.NAMES)
    ]
    train: dict[str, Any] = {name: [folder] for name, folder in split["train"].items()}
    train["pipeline"] = {
        "augmentation_config": {
            "resize": {"img_scale": [SIDE, SIDE], "ratio_range": [0.8, 1.3]},
            "random_flip": {"prob": 0.5},
            "random_crop": {"cat_max_ratio": 0.9},
        }
    }
    return {
        "dataset": {
            "input_type": "grayscale",
            "batch_size": 4,
            "workers_per_gpu": 0,
            "train_dataset": train,
            "val_dataset": split["val"],
            "test_dataset": split["val"],
            "palette": palette,
        },
        "model": {"input_height": SIDE, "input_width": SIDE, "backbone": {"type": "mit_b0"}},
        "train": {
            "max_iters": iterations,
            "validation_interval": interval,
            "checkpoint_interval": interval,
            "logging_interval": 5,
            "trainer": {"sf_optim": {"lr": 1e-3}},
        },
    }


def segformer(root: Path, action: str, document: dict[str, Any], results: Path) -> int:
    pytest.importorskip("transformers")
    spec = root / f"{action}.yaml"
    spec.write_text(yaml.safe_dump(document))
    return run("segformer", action, "-e", spec, "-r", results)


@pytest.mark.slow
def test_segformer_learns_shapes_counts_iterations_and_resumes(shapes: Path) -> None:
    document, out = segformer_spec(shapes, 50, 20), shapes / "out"

    assert segformer(shapes, "train", document, out) == 0

    reported = [line for line in lines(out) if "kpi" in line]
    assert [line["cur_iter"] for line in reported] == [20, 40, 50]
    assert all("epoch" not in line for line in reported)
    assert sorted(path.name for path in (out / "train").iterdir()) == ["iter_20.pth", "iter_40.pth", "iter_50.pth"]
    assert kpi(out)["Mean IOU"] >= 0.75
    whole = torch.load(out / "train/iter_50.pth", weights_only=True)["model"]
    (out / "train/iter_50.pth").unlink()
    document["train"]["resume_training_checkpoint_path"] = str(out / "train/iter_40.pth")
    assert segformer(shapes, "train", document, out) == 0
    again = torch.load(out / "train/iter_50.pth", weights_only=True)["model"]
    assert all(torch.equal(whole[name], again[name]) for name in whole)


@pytest.mark.slow
def test_an_export_of_segformer_scores_as_its_checkpoint_does(shapes: Path) -> None:
    document, out, onnx = segformer_spec(shapes, 5, 5), shapes / "out", f"{shapes}/model.onnx"
    assert segformer(shapes, "train", document, out) == 0
    document["export"] = {"checkpoint": str(out / "train/iter_5.pth"), "onnx_file": onnx}
    document["evaluate"] = document["inference"] = {"checkpoint": onnx}
    for action in ("export", "evaluate", "inference"):
        assert segformer(shapes, action, document, shapes / action) == 0

    assert kpi(shapes / "evaluate")["Mean IOU"] == pytest.approx(kpi(out)["Mean IOU"], abs=1e-3)
    assert len(list((shapes / "inference/mask_labels").iterdir())) == 12


def test_a_backbone_that_the_engine_lacks_is_rejected_before_the_training_only() -> None:
    document = {"model": {"backbone": {"type": "fan_tiny_8_p4_hybrid"}}}

    assert not capabilities.can("segformer", "train", document)[0]
    assert "mit_b0" in capabilities.can("segformer", "train", document)[1]
    assert capabilities.can("segformer", "evaluate", document)[0]
