"""Paths of the data in each network's specification, and command lines of the other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import Assembled, DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.schema.merge import get

T, E, I = (DatasetFacts(root=Path(f"/data/{name}"), type="any", format="any") for name in "TEI")  # noqa: E741
RECORDS_T = {"tfrecords_path": "/data/T/tfrecords/*", "image_directory_path": "/data/T/"}
RECORDS_E = {"tfrecords_path": "/data/E/tfrecords/*", "image_directory_path": "/data/E/"}
SHOP = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"


def made(network: str, action: str, **facts: Any) -> Assembled:
    given: dict[str, Any] = {"spec": None, "train": [T], "eval": E, "inference": I, **facts}
    folder = Path("/jobs/j")
    return assemble(
        JobFacts(network=network, action=action, folder=folder, results=folder / "results", key="k", **given)
    )


@pytest.mark.parametrize("network", ["classification_tf1", "classification_tf2"])
def test_an_evaluation_of_a_classifier_measures_on_the_eval_dataset(network: str) -> None:
    """Images for inference need no classes."""
    assert "/data/E/images_val" in str(made(network, "evaluate").spec_text)
    assert "/data/I/images_test" not in str(made(network, "evaluate").spec_text)
    assert "/data/I/images_test" in str(made(network, "evaluate", eval=None).spec_text)


@pytest.mark.parametrize(
    ("network", "action", "expected"),
    [
        (
            "segformer",
            "train",
            {
                "dataset.train_dataset.img_dir": ["/data/T/images/train"],
                "dataset.train_dataset.ann_dir": ["/data/T/masks/train"],
                "dataset.val_dataset.img_dir": "/data/E/images/val",
                "dataset.test_dataset": None,
            },
        ),
        ("segformer", "evaluate", {"dataset.test_dataset.ann_dir": "/data/E/masks/val"}),
        (
            "classification_tf2",
            "train",
            {
                "dataset.train_dataset_path": "/data/T/images_train",
                "dataset.val_dataset_path": "/data/E/images_val",
                "results_dir": "/jobs/j/results/",
                "encryption_key": "k",
            },
        ),
        (
            "dino",
            "train",
            {
                "dataset.train_data_sources": [
                    {"image_dir": "/data/T/images", "json_file": "/data/T/annotations.json"}
                ],
                "dataset.val_data_sources": [{"image_dir": "/data/E/images", "json_file": "/data/E/annotations.json"}],
            },
        ),
        ("dino", "evaluate", {"dataset.test_data_sources.image_dir": "/data/E/images"}),
        (
            "deformable_detr",
            "inference",
            {"dataset.infer_data_sources": {"image_dir": ["/data/I/images"], "classmap": "/data/I/label_map.txt"}},
        ),
        (
            "efficientdet_tf2",
            "train",
            {
                "dataset.train_tfrecords": ["/data/T/tfrecords/*.tfrecord"],
                "dataset.val_json_file": "/data/E/annotations.json",
            },
        ),
        (
            "mal",
            "train",
            {"dataset.train_img_dir": "/data/T/images", "dataset.val_ann_path": "/data/E/annotations.json"},
        ),
        (
            "mal",
            "inference",
            {"inference.img_dir": "/data/I/images", "inference.label_dump_path": "/jobs/j/results/inference.json"},
        ),
        (
            "action_recognition",
            "train",
            {
                "dataset.train_dataset_dir": "/data/T/train",
                "dataset.label_map": {"catch": 0, "smile": 1},
                "dataset.label_map_2d": None,
                "model.rgb_seq_length": 3,
                "model.of_seq_length": None,
            },
        ),
        ("action_recognition", "evaluate", {"evaluate.test_dataset_dir": "/data/E/test"}),
        (
            "pose_classification",
            "train",
            {
                "dataset.train_dataset.data_path": "/data/T/kinetics/train_data.npy",
                "dataset.val_dataset.label_path": "/data/E/kinetics/val_label.pkl",
                "dataset.label_map_nvidia": None,
            },
        ),
        (
            "re_identification",
            "train",
            {"dataset.train_dataset_dir": "/data/T/sample_train", "dataset.query_dataset_dir": "/data/E/sample_query"},
        ),
        ("re_identification", "evaluate", {"evaluate.test_dataset": "/data/E/sample_test"}),
        (
            "ml_recog",
            "train",
            {
                "dataset.train_dataset": f"/data/T/{SHOP}/known_classes/train",
                "dataset.val_dataset.query": f"/data/E/{SHOP}/known_classes/val",
            },
        ),
        ("ml_recog", "inference", {"inference.input_path": f"/data/I/{SHOP}/unknown_classes/test"}),
        (
            "ocdnet",
            "train",
            {
                "dataset.train_dataset.data_path": ["/data/T/train"],
                "dataset.validate_dataset.data_path": ["/data/E/test"],
            },
        ),
        ("ocdnet", "inference", {"inference.input_folder": "/data/E/test/img"}),
        (
            "ocrnet",
            "train",
            {
                "dataset.train_dataset_dir": ["/data/T/train/lmdb"],
                "dataset.val_dataset_dir": "/data/E/test/lmdb",
                "dataset.character_list_file": "/data/T/character_list",
            },
        ),
        ("ocrnet", "dataset_convert", {"dataset_convert.results_dir": "/data/T/test/lmdb"}),
        (
            "optical_inspection",
            "train",
            {
                "dataset.train_dataset.images_dir": "/data/T/images",
                "dataset.validation_dataset.csv_path": "/data/E/dataset.csv",
                "dataset.infer_dataset.csv_path": "/data/I/dataset.csv",
            },
        ),
        ("pointpillars", "train", {"dataset.data_path": "/data/T"}),
        (
            "bpnet",
            "train",
            {
                "dataloader.dataset_config.root_data_path": "/data/T/",
                "dataloader.dataset_config.dataset_specs.coco": "/data/T/coco_spec.json",
                "checkpoint_dir": "/jobs/j/results/",
            },
        ),
        ("fpenet", "train", {"dataloader.dataset_info.tfrecords_set_id_train": "afw"}),
        ("analytics", "analyze", {"data.image_dir": "/data/I/images", "data.ann_path": "/data/I/labels"}),
        ("annotations", "convert", {"coco.ann_file": "/data/I/annotations.json"}),
        ("augmentation", "generate", {"data.ann_path": "/data/I/labels", "data.output_dataset": "/jobs/j/results/"}),
        ("auto_label", "generate", {"inference.ann_path": "/data/I/annotations.json"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_data_in_yaml(network: str, action: str, expected: dict[str, Any]) -> None:
    spec = yaml.safe_load(made(network, action).spec_text or "")
    assert {path: get(spec, path) for path in expected} == expected


@pytest.mark.parametrize(
    ("network", "action", "data", "expected"),
    [
        (
            "annotations",
            "convert",
            {"input_format": "unet"},
            {"unet.image_dir": "/data/I/images", "unet.mask_dir": "/data/I/masks", "kitti.label_dir": "labels"},
        ),
        ("augmentation", "generate", {"dataset_type": "unet"}, {"data.ann_path": "/data/I/masks"}),
        ("analytics", "analyze", {"input_format": "UNET"}, {"data.ann_path": "/data/I/masks"}),
    ],
)
def test_paths_of_unet_masks(network: str, action: str, data: dict[str, str], expected: dict[str, Any]) -> None:
    spec = yaml.safe_load(made(network, action, spec={"data": data}).spec_text or "")
    assert {path: get(spec, path) for path in expected} == expected


@pytest.mark.parametrize(
    ("network", "lines"),
    [
        ("detectnet_v2", ["data_sources {", 'tfrecords_path: "/data/T/tfrecords/*"', "validation_data_source {"]),
        ("faster_rcnn", ['image_directory_path: "/data/E/"']),
        ("yolo_v4", ["validation_data_sources {", 'tfrecords_path: "/data/E/tfrecords/*"']),
        ("ssd", ['tfrecords_path: "/data/T/tfrecords/tfrecords-*"', 'label_directory_path: "/data/E/labels"']),
        ("retinanet", ['image_directory_path: "/data/E/images"']),
        ("efficientdet_tf1", ['training_file_pattern: "/data/T/tfrecords/*.tfrecord"']),
        ("mask_rcnn", ['val_json_file: "/data/E/annotations.json"']),
        ("unet", ['train_images_path: "/data/T/images/train"', 'test_images_path: "/data/I/images/test"']),
        ("lprnet", ['characters_list_file: "/data/T/characters.txt"', 'label_directory_path: "/data/E/label"']),
        ("classification_tf1", ['train_dataset_path: "/data/T/images_train"']),
        ("multitask_classification", ['train_csv_path: "/data/T/train.csv"', 'val_csv_path: "/data/E/val.csv"']),
    ],
)
def test_data_in_protobuf_text(network: str, lines: list[str]) -> None:
    job = made(network, "train")
    assert job.spec_path == Path("/jobs/j/spec.protobuf")
    written = [line.strip() for line in (job.spec_text or "").splitlines()]
    assert [line for line in lines if line not in written] == []
    assert "classwise_config {" not in written
    assert "validation_fold: 0" not in written or network not in ("detectnet_v2", "faster_rcnn")


def test_each_train_set_is_a_data_source() -> None:
    job = made("detectnet_v2", "train", train=[T, E])
    assert (job.spec_text or "").count("  data_sources {") == 2


def test_the_tool_of_a_conversion() -> None:
    convert = made("object_detection", "convert", own=T, train=[], eval=None, inference=None)
    assert convert.argv == [
        "detectnet_v2",
        "dataset_convert",
        "--dataset_export_spec=/jobs/j/spec.protobuf",
        "--output_filename=/data/T/tfrecords/tfrecords",
        "--results_dir=/jobs/j/results/",
    ]
    assert 'root_directory_path: "/data/T/"' in (convert.spec_text or "")
    tf2 = made("object_detection", "convert_efficientdet_tf2", own=T)
    assert (tf2.argv[:2], tf2.image) == (["efficientdet_tf2", "dataset_convert"], "tlt-tf2")
    assert tf2.spec_path == Path("/jobs/j/spec.yaml")
    kmeans = made("object_detection", "kmeans", own=T, spec={"size_x": 3, "size_y": 4})
    assert kmeans.spec_path is None
    assert {"--image_folders=/data/T/images", "--size_x=3", "--num_clusters=9"} <= set(kmeans.argv)
    assert made("object_detection", "augment", own=T).argv[:2] == [
        "augment",
        "--augmentation-proto=/jobs/j/spec.protobuf",
    ]


def test_an_export_gets_the_spec_of_its_training(tmp_path: Path) -> None:
    results = tmp_path / "above" / "results"
    (results / "weights").mkdir(parents=True)
    (results / "weights" / "yolov4_resnet18_epoch_080.hdf5").write_bytes(b"weights")
    (tmp_path / "above" / "spec.protobuf").write_text("training_config {\n}\n")
    job = made("yolo_v4", "export", parent=ParentFacts("yolo_v4", "train", results))
    assert job.spec_text == "training_config {\n}\n"
    assert f"--model={results}/weights/yolov4_resnet18_epoch_080.hdf5" in job.argv
    assert "--verbose" in job.argv
    assert "--output_file=/jobs/j/results/model.onnx" in job.argv


def test_retrain_runs_train_with_the_weights_of_its_parent(tmp_path: Path) -> None:
    (tmp_path / "model.hdf5").write_bytes(b"weights")
    job = made("detectnet_v2", "retrain", parent=ParentFacts("detectnet_v2", "prune", tmp_path))
    assert job.argv[:2] == ["detectnet_v2", "train"]
    assert f'pretrained_model_file: "{tmp_path}/model.hdf5"' in (job.spec_text or "")
    assert "load_graph: true" in (job.spec_text or "")


def test_an_evaluation_of_a_detr_inherits_the_training_spec(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    (results / "dino_model_epoch=011.pth").write_bytes(b"weights")
    written = {"model": {"backbone": "fan_small"}, "train": {"num_epochs": 12}, "dataset": {"batch_size": 3}}
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(written))
    above = ParentFacts("dino", "train", results, {"model": {"backbone": "fan_small"}, "dataset": {"batch_size": 3}})
    spec = yaml.safe_load(made("dino", "evaluate", parent=above).spec_text or "")
    assert spec["model"] == {"backbone": "fan_small"}
    assert spec["train"] == {"num_epochs": 12}
    assert spec["dataset"]["batch_size"] == 3
    assert spec["evaluate"]["checkpoint"].endswith("dino_model_epoch=011.pth")


def test_an_engine_of_a_tf1_network_is_evaluated_with_the_deploy_options(tmp_path: Path) -> None:
    (tmp_path / "model.engine").write_bytes(b"weights")
    job = made("ssd", "evaluate", parent=ParentFacts("ssd", "gen_trt_engine", tmp_path))
    assert job.image == "tao-deploy"
    assert not any(word.startswith("--key") for word in job.argv)
    assert f"--model_path={tmp_path}/model.engine" in job.argv


def test_trtexec_has_no_action(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"weights")
    job = made("bpnet", "trtexec", parent=ParentFacts("bpnet", "export", tmp_path))
    assert job.argv[0] == "trtexec"
    assert f"--onnx={tmp_path}/model.onnx" in job.argv
    assert job.spec_text is None


def test_bpnet_inference_dumps_visualizations() -> None:
    assert "--dump_visualizations" in made("bpnet", "inference").argv


def test_options_of_a_conversion_without_a_spec_file_go_to_its_command_line() -> None:
    spec = {"dataset_convert": {"num_shards": 8, "tag": "val"}}
    for network, action in (("object_detection", "convert_efficientdet_tf1"), ("instance_segmentation", "convert")):
        job = made(network, action, own=T, spec=spec, train=[], eval=None, inference=None)
        assert {"--num_shards=8", "--tag=val"} <= set(job.argv)


def test_bpnet_records_are_written_where_its_training_reads_them() -> None:
    assert "--output_filename=/data/T/train" in made("bpnet", "dataset_convert").argv
    assert "--output_filename=/data/T/val" in made("bpnet", "dataset_convert", spec={"mode": "test"}).argv


def test_trtexec_reads_the_cache_of_the_export(tmp_path: Path) -> None:
    for name in ("model.onnx", "cal.bin"):
        (tmp_path / name).write_bytes(b"weights")
    job = made("bpnet", "trtexec", parent=ParentFacts("bpnet", "export", tmp_path))
    assert f"--calib={tmp_path}/cal.bin" in job.argv


def test_an_export_of_a_retrained_ocdnet_loads_its_pruned_graph(tmp_path: Path) -> None:
    for name in ("ocd_model_epoch=003.pth", "pruned_model.pth"):
        (tmp_path / name).write_bytes(b"weights")
    spec = yaml.safe_load(made("ocdnet", "export", parent=ParentFacts("ocdnet", "retrain", tmp_path)).spec_text or "")
    assert spec["model"]["load_pruned_graph"] is True
    assert spec["model"]["pruned_graph_path"] == f"{tmp_path}/pruned_model.pth"


def test_the_spec_of_a_planned_training_equals_that_of_its_run(tmp_path: Path) -> None:
    spec = {"training_config": {"num_epochs": 3}}
    planned = made("yolo_v4", "train", spec=spec)
    above = ParentFacts("yolo_v4", "train", Path("/jobs/j/results"), spec)
    export = made("yolo_v4", "export", parent=above)
    assert export.spec_text == planned.spec_text
    assert "gpus" not in (export.spec_text or "")
    after_prune = made("yolo_v4", "export", parent=ParentFacts("yolo_v4", "prune", tmp_path, None, above))
    assert after_prune.spec_text == planned.spec_text


def test_class_wise_parts_follow_the_classes_of_the_data() -> None:
    cars = DatasetFacts(root=Path("/data/T"), type="object_detection", format="kitti", classes=["car", "van"])
    more = DatasetFacts(root=Path("/data/M"), type="object_detection", format="kitti", classes=["van", "bus"])
    text = made("yolo_v4", "train", train=[cars, more]).spec_text or ""
    assert [f'key: "{name}"' in text for name in ("car", "van", "bus", "person")] == [True, True, True, False]
    assert text.count("target_class_mapping {") == 3
