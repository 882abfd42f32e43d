"""Which file of a job's results a later job reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.catalogue.commands.artifacts import (
    epoch_of,
    incomplete,
    pretrained,
    pruned_to_keep,
    resume,
    set_aside,
    weights,
)
from taod.catalogue.network import get_network
from taod.catalogue.schema.tables import index


def fill(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"weights")
        if path.suffix == ".index":
            path.with_suffix(".data-00000-of-00001").write_bytes(b"weights")


@pytest.mark.parametrize(
    ("network", "action", "files", "expected"),
    [
        ("classification_pyt", "train", ["epoch_9.pth", "epoch_10.pth", "latest.pth"], "epoch_10.pth"),
        ("classification_pyt", "train", ["epoch_1.pth", "train/epoch_2.pth"], "train/epoch_2.pth"),
        ("classification_pyt", "train", ["train/epoch_2.pth", "epoch_3.pth.tmp", ".epoch_4.pth"], "train/epoch_2.pth"),
        ("classification_pyt", "train", ["best_model/weights/epoch_5.pth"], "best_model/weights/epoch_5.pth"),
        ("classification_pyt", "train", ["log.txt", "status.json"], None),
        ("dino", "train", ["dino_model_epoch=009.pth", "dino_model_epoch=011.pth"], "dino_model_epoch=011.pth"),
        ("detectnet_v2", "train", ["model.epoch-8.hdf5", "weights/model.epoch-80.tlt"], "weights/model.epoch-80.tlt"),
        ("mask_rcnn", "train", ["model.step-2500.tlt", "model.step-10000.tlt"], "model.step-10000.tlt"),
        ("efficientdet_tf2", "retrain", ["train/efficientdet-d0_012.tlt"], "train/efficientdet-d0_012.tlt"),
        ("segformer", "train", ["iter_200.pth", "iter_1000.tlt"], "iter_1000.tlt"),
        ("unet", "train", ["model.epoch-9.tlt/model.ckpt-9.index", "model.epoch-10.tlt/model.ckpt-10.index"],
         "model.epoch-10.tlt"),
        ("unet", "train", ["weights/model.tlt/model.ckpt-10.index"], "weights/model.tlt"),
        ("detectnet_v2", "train", ["weights/model.tlt"], "weights/model.tlt"),
        ("ocdnet", "prune", ["deep/pruned.pth", "log.txt"], "deep/pruned.pth"),
        ("classification_pyt", "export", ["model.onnx", "other.txt"], "model.onnx"),
        ("yolo_v4", "gen_trt_engine", ["model.engine"], "model.engine"),
        ("bpnet", "trtexec", ["trtexec/model.engine"], "trtexec/model.engine"),
        ("classification_pyt", "evaluate", ["epoch_1.pth"], None),
    ],
)  # fmt: skip
def test_weights(tmp_path: Path, network: str, action: str, files: list[str], expected: str | None) -> None:
    fill(tmp_path, *files)
    assert weights(network, action, tmp_path) == (tmp_path / expected if expected else None)


def test_missing_results(tmp_path: Path) -> None:
    for action in ("train", "prune", "export", "gen_trt_engine"):
        assert weights("yolo_v4", action, tmp_path / "none") is None


def test_only_training_resumes(tmp_path: Path) -> None:
    fill(tmp_path, "epoch_3.pth", "model.onnx")
    assert resume("classification_pyt", "train", tmp_path) == tmp_path / "epoch_3.pth"
    assert resume("classification_pyt", "export", tmp_path) is None


def test_the_best_average_of_weights_is_for_later_actions(tmp_path: Path) -> None:
    network = get_network("rtdetr", "7.3")
    fill(tmp_path, *(f"train/model_epoch_00{epoch}{kind}.pth" for epoch in (0, 1) for kind in ("", "-EMA")))
    assert weights(network, "train", tmp_path, {1: 0.9, 2: 0.5}) == tmp_path / "train/model_epoch_000-EMA.pth"


@pytest.mark.parametrize(
    ("network", "names", "expected", "resumed"),
    [
        ("classification_pyt", ("model", "model-EMA"), "model_epoch_001-EMA.pth", "model_epoch_001.pth"),
        ("classification_pyt", ("model",), "model_epoch_001.pth", "model_epoch_001.pth"),
        ("rtdetr", ("model", "model-EMA"), "model_epoch_001-EMA.pth", "model_epoch_001.pth"),
        ("nvdinov2", ("model", "student", "teacher"), "teacher_epoch_001.pth", "model_epoch_001.pth"),
        ("nvdinov2", ("model", "student", "student_ema"), "student_ema_epoch_001.pth", "model_epoch_001.pth"),
        ("nvdinov2", ("student", "teacher"), "teacher_epoch_001.pth", None),
    ],
)
def test_some_tools_save_the_model_beside_what_a_training_resumes_from(
    network: str, names: tuple[str, ...], expected: str, resumed: str | None, tmp_path: Path
) -> None:
    """The later actions of nvdinov2 read a file of weights: the checkpoint of the training leaves them without any."""
    for name in names:
        stem, _, kind = name.partition("-")
        fill(tmp_path, *(f"train/{stem}_epoch_00{epoch}{'-' + kind if kind else ''}.pth" for epoch in (0, 1)))
    chosen = get_network(network, "7.3")
    assert weights(chosen, "train", tmp_path) == tmp_path / "train" / expected
    assert resume(chosen, "train", tmp_path) == (tmp_path / "train" / resumed if resumed else None)


def test_epochs_in_names() -> None:
    assert epoch_of("epoch_12.pth", "classification_pyt") == 12
    assert epoch_of("ar_model_epoch=000.tlt", "action_recognition") == 1
    assert epoch_of("dino_model_epoch=005-v1.pth", "dino") == 6
    assert epoch_of("model_latest.pth", "classification_pyt") is None
    assert epoch_of("model.pth", "classification_pyt") is None


def test_weights_of_a_pretrained_model(tmp_path: Path) -> None:
    fill(tmp_path, "v1/readme.txt", "v1/b.pth", "v1/a.hdf5")
    assert pretrained("dino", tmp_path) == tmp_path / "v1/a.hdf5"
    assert pretrained("dino", tmp_path / "v1/b.pth") == tmp_path / "v1/b.pth"
    assert pretrained("classification_tf2", tmp_path) == tmp_path
    assert pretrained("dino", tmp_path / "none") is None


def test_the_pruned_model_is_kept_beside_a_retrained_one(tmp_path: Path) -> None:
    fill(tmp_path, "model.pth")
    assert pruned_to_keep("ocdnet", "retrain", tmp_path) == (tmp_path / "model.pth", "pruned_model.pth")
    assert pruned_to_keep("ocrnet", "retrain", tmp_path) is None


@pytest.mark.parametrize(
    ("network", "files", "scores", "expected"),
    [
        ("classification_pyt", ["epoch_1.pth", "epoch_2.pth", "epoch_3.pth"], {1: 0.2, 2: 0.9, 3: 0.5}, "epoch_2.pth"),
        ("classification_pyt", ["epoch_2.pth", "epoch_4.pth"], {1: 0.9, 2: 0.3, 4: 0.5}, "epoch_4.pth"),
        ("classification_pyt", ["epoch_1.pth", "epoch_2.pth"], {1: 0.5, 2: 0.5}, "epoch_2.pth"),
        ("classification_pyt", ["epoch_1.pth", "epoch_2.pth"], {7: 0.5}, "epoch_2.pth"),
        ("classification_pyt", ["epoch_1.pth", "epoch_2.pth"], {}, "epoch_2.pth"),
        ("segformer", ["iter_200.pth", "iter_400.pth"], {200: 0.7, 400: 0.6}, "iter_200.pth"),
        ("detectnet_v2", ["weights/model.epoch-10.tlt", "weights/model.epoch-20.tlt"], {10: -0.1, 20: -0.3},
         "weights/model.epoch-10.tlt"),
        ("segformer", ["iter_200.pth", "iter_400.pth"], {150: 0.7, 350: 0.6}, "iter_200.pth"),
        ("dino", ["dd_epoch=000.pth", "dd_epoch=001.pth"], {1: 0.9, 2: 0.1}, "dd_epoch=000.pth"),
        ("dino", ["dd_epoch=001.pth", "dd_epoch=002.pth"], {1: 0.9, 2: 0.5, 3: 0.1}, "dd_epoch=001.pth"),
        ("mask_rcnn", ["model.step-1.tlt", "model.step-2.tlt"], {1: 0.9, 2: 0.1}, "model.step-2.tlt"),
    ],
)  # fmt: skip
def test_the_best_checkpoint_else_the_latest(
    tmp_path: Path, network: str, files: list[str], scores: dict[int, float], expected: str
) -> None:
    fill(tmp_path, *files)
    assert weights(network, "train", tmp_path, scores) == tmp_path / expected


def test_minimised_metrics() -> None:
    for network, metric, lower in (
        ("unet", "loss", True),
        ("fpenet", "evaluation_cost", True),
        ("dino", "val_mAP50", False),
        ("dino", "val_loss", True),
    ):
        assert get_network(network).minimises(metric) is lower


# How each network names the checkpoint of an epoch, from which number on, and whether that can be held against the
# epochs of metrics. Lightning counts from 0, though status.json counts from 1.
NAMES = {
    "action_recognition": ("ar_model_epoch={:03}.tlt", 0, True),
    "pose_classification": ("pc_model_epoch={:03}.tlt", 0, True),
    "re_identification": ("reid_model_epoch={:03}.tlt", 0, True),
    "deformable_detr": ("dd_model_epoch={:03}.pth", 0, True),
    "dino": ("dino_model_epoch={:03}.pth", 0, True),
    "ml_recog": ("ml_model_epoch={:03}.pth", 0, True),
    "ocdnet": ("ocd_model_epoch={:03}.pth", 0, True),
    "ocrnet": ("ocrnet_epoch={:03}.pth", 0, True),
    "optical_inspection": ("oi_model_epoch={:03}.pth", 0, True),
    "mal": ("vit-mae-base-16epoch={:03}.pth", 0, True),
    "classification_pyt": ("epoch_{}.pth", 1, True),
    "segformer": ("iter_{}.tlt", 1, True),
    "pointpillars": ("checkpoint_epoch_{}.tlt", 1, True),
    "detectnet_v2": ("weights/model.epoch-{}.hdf5", 1, True),
    "mask_rcnn": ("model.step-{}.tlt", 1, False),
    "efficientdet_tf1": ("model.epoch-{}.tlt", 1, True),
    "lprnet": ("weights/lprnet_epoch-{:03}.hdf5", 1, True),
    "unet": ("weights/model.epoch-{}.tlt", 1, True),
    "bpnet": ("bpnet_model.step-{}.hdf5", 1, False),
    "fpenet": ("model.epoch-{}.hdf5", 1, True),
    "classification_tf2": ("train/classification_tf2_efficientnet-b0_{:03}.tlt", 1, True),
    "efficientdet_tf2": ("train/efficientdet_tf2_efficientdet-d0_{:03}.tlt", 1, True),
}
for _name in ("classification_tf1", "multitask_classification", "faster_rcnn", "ssd", "dssd", "retinanet"):
    NAMES[_name] = (f"weights/{_name}_resnet18_epoch_{{:03}}.hdf5", 1, True)
for _name in ("yolo_v3", "yolo_v4", "yolo_v4_tiny"):
    NAMES[_name] = (f"weights/{_name}_cspdarknet19_epoch_{{:03}}.tlt", 1, True)


def test_checkpoint_names_cover_all_networks_with_a_training() -> None:
    assert set(NAMES) == {name for name in index() if "train" in index()[name].actions}


@pytest.mark.parametrize("network", sorted(NAMES))
def test_the_latest_and_the_best_checkpoint_of_each_network(network: str, tmp_path: Path) -> None:
    pattern, first, counted = NAMES[network]
    names = {epoch: pattern.format(epoch - 1 + first) for epoch in (9, 10, 100, 11)}
    fill(tmp_path, *names.values())
    fill(tmp_path, str(Path(pattern).parent / f"{network}_latest{Path(pattern).suffix}"), "status.json")
    latest, best = tmp_path / names[100], tmp_path / names[10]
    scores = {9: 0.1, 10: 0.9, 11: 0.9 - 1e-9, 100: 0.5, 12: 1.0}
    for action in ("train", "retrain"):
        assert weights(network, action, tmp_path) == latest
        assert weights(network, action, tmp_path, scores) == (best if counted else latest)
    assert resume(network, "train", tmp_path) == latest


@pytest.mark.parametrize("network", sorted(NAMES))
def test_an_incomplete_checkpoint_is_skipped_for_the_one_before_it(network: str, tmp_path: Path) -> None:
    pattern, first, _ = NAMES[network]
    names = {epoch: pattern.format(epoch - 1 + first) for epoch in (1, 2, 3)}
    fill(tmp_path, *names.values())
    (tmp_path / names[3]).write_bytes(b"")
    scores = {1: 0.1, 2: 0.2, 3: 0.9}
    assert resume(network, "train", tmp_path) == tmp_path / names[2]
    assert weights(network, "train", tmp_path, scores) == tmp_path / names[2]
    assert incomplete(tmp_path) == [(tmp_path / names[3], "is empty")]
    set_aside(tmp_path / names[3])
    assert incomplete(tmp_path) == [] and not (tmp_path / names[3]).exists()


def test_a_training_that_kept_only_its_latest_checkpoint(tmp_path: Path) -> None:
    fill(tmp_path, "train/dino_model_latest.pth")
    assert weights("dino", "train", tmp_path) == tmp_path / "train/dino_model_latest.pth"
    fill(tmp_path, "model.pth")
    assert weights("dino", "train", tmp_path) == tmp_path / "model.pth"
    fill(tmp_path, "train/dino_model_epoch=000.pth")
    assert weights("dino", "train", tmp_path) == tmp_path / "train/dino_model_epoch=000.pth"


@pytest.mark.parametrize("network", sorted(NAMES))
def test_artifacts_of_the_other_actions(network: str, tmp_path: Path) -> None:
    left = {
        "prune": "a/pruned.tlt",
        "export": "model.onnx",
        "gen_trt_engine": "model.engine",
        "trtexec": "model.engine",
    }
    for action, name in left.items():
        if action in index()[network].actions:
            fill(tmp_path / action, name, "status.json", "log.txt")
            assert weights(network, action, tmp_path / action) == tmp_path / action / name
    assert weights(network, "evaluate", tmp_path) is None


def test_without_a_complete_checkpoint_there_is_none(tmp_path: Path) -> None:
    (tmp_path / "dino_model_epoch=000.pth").write_bytes(b"")
    assert resume("dino", "train", tmp_path) is None


def test_the_checkpoint_that_lightning_deleted_after_a_resume_is_not_taken_again(tmp_path: Path) -> None:
    """It removes the one resumed from once a later one is written, also where that one scored best."""
    fill(tmp_path, "pc_model_epoch=000.tlt", "pc_model_epoch=001.tlt")
    assert resume("pose_classification", "train", tmp_path) == tmp_path / "pc_model_epoch=001.tlt"
    (tmp_path / "pc_model_epoch=001.tlt").unlink()
    fill(tmp_path, "pc_model_epoch=002.tlt")
    scores = {1: 0.5, 2: 0.9, 3: 0.6}
    assert weights("pose_classification", "train", tmp_path, scores) == tmp_path / "pc_model_epoch=002.tlt"
    assert weights("pose_classification", "train", tmp_path) == tmp_path / "pc_model_epoch=002.tlt"
