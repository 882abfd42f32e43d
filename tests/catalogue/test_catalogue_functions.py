"""The value that each function gives, for every network and action that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from taod.catalogue.commands import placeholders
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.network import get_network
from taod.catalogue.schema.tables import index, network_file

SHOP = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
PLACES = [
    (name, kind, action, field, how)
    for name in index()
    for kind, groups in (("commands", network_file(name).commands), ("fields", network_file(name).fields))
    for action, fields in groups.items()
    for field, how in fields.items()
]
# Function -> what it gives on the stage below, where train, evaluation, inference, calibration and the dataset itself
# are T, E, I, C and O, the job is J, its parent P and the one before that Q.
GIVEN: dict[str, str | bool | list[str] | None] = {
    "output_dir": "J/results/",
    "experiment_spec": "J/spec",
    "parent_spec": "J/spec",
    "parent_spec_copied": "J/spec",
    "parents_parent_spec": "Q/spec.yaml",
    "key": "KEY",
    "verbose": True,
    "from_csv": None,
    "ptm": "start/weights.pth",
    "resume_model": None,
    "resume_model_or_ptm": "start/weights.pth",
    "ptm_if_no_resume_model": "start/weights.pth",
    "resume_epoch": None,
    "framework": "tlt",
    "framework_storetrue": None,
    "create_hdf5_file": "J/results/model.hdf5",
    "create_pth_file": "J/results/model.pth",
    "create_onnx_file": "J/results/model.onnx",
    "create_engine_file": "J/results/model.engine",
    "create_weights_tlt_file": "J/results/weights/model.tlt",
    "create_cal_cache": "J/results/cal.bin",
    "create_cal_data_file": "J/results/calibration.tensorfile",
    "merged_json": "J/results/merged.json",
    "create_inference_result_file_pose": "J/results/results.txt",
    "create_inference_result_file_reid": "J/results/inference.json",
    "create_inference_result_file_mal": "J/results/inference.json",
    "create_evaluate_matches_plot_reid": "J/results/sampled_matches.png",
    "create_evaluate_cmc_plot_reid": "J/results/cmc_curve.png",
    "output_dir_images_annotated": "J/results/images_annotated",
    "output_dir_labels": "J/results/labels",
    "output_dir_inference_json": "J/results/annotations_mal.json",
    "auto_label_output": "J/results/label.json",
    "parent_cal_cache": "P/results/cal.bin",
    "parent_classmap": "I/classmap.json",
    "pruned_model": "P/results/pruned_model.pth",
    "od_inference_input": "I/images",
    "od_inference_input_image": "I/images/1.png",
    "od_inference_labels": "I/labels",
    "od_inference_label_map": "I/label_map.txt",
    "lprnet_inference_input": "I/image",
    "classification_val_input": "E/images",
    "eval_images": "E/images_val",
    "eval_csv": "E/val.csv",
    "label_gt_cache": "I/label.json",
    "od_images": "O/images",
    "od_labels": "O/labels",
    "od_annotations": "O/annotations.json",
    "create_od_tfrecords": "O/tfrecords",
    "augment_out": "O/augment",
    "root": "O",
    "unet_val_images": "E/images/val",
    "unet_val_labels": "E/masks/val",
    "unet_test_images": "E/images/test",
    "unet_test_labels": "E/masks/test",
    "cal_image_dir": "C/images/",
    "cal_image_dir_list": ["C/images/"],
    "bpnet_coco_spec": "T/coco_spec.json",
    "bpnet_infer": "T/val2017",
    "bpnet_records": "O/train",
    "fpenet_data_json": "T/data.json",
    "fpenet_inference_data": "T",
    "pose_classification_ds_convert_op_dir": "O/",
}
OTHERWISE: dict[tuple[str, str], str | bool | list[str] | None] = {
    ("classification_tf2", "ptm"): "start",
    ("efficientdet_tf2", "ptm"): "start",
    ("unet", "cal_image_dir"): "C/images/train/",
    ("ocdnet", "cal_image_dir"): "C/train/img/",
    ("ocrnet", "cal_image_dir_list"): ["C/train/"],
    ("ml_recog", "cal_image_dir_list"): [f"C/{SHOP}/known_classes/test/"],
    ("classification_tf2", "pruned_model"): None,
    ("efficientdet_tf2", "pruned_model"): None,
}
"""Networks that have a function of the same name do something else."""
FILES = (
    "I/images/1.png", "I/labels/1.txt", "I/label_map.txt", "I/image/1.png", "I/label.json", "I/classmap.json",
    "E/images/1.png", "E/images_val/1.png", "C/images/train/1.png", "C/train/img/1.png",
    f"C/{SHOP}/known_classes/test/a/1.png", "start/weights.pth", "P/results/cal.bin", "P/results/pruned_model.pth",
)  # fmt: skip


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stage")
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"weights")
    return folder


def known(stage: Path, network: str, parent_action: str = "train") -> placeholders.Context:
    """A job P -> J whose parent has left a file of every kind, on every kind of data."""
    sets = {letter: DatasetFacts(stage / letter, "any", "any") for letter in "TEICO"}
    above = ParentFacts("bpnet", "train", stage / "Q/results")
    facts = JobFacts(
        network=network,
        action="evaluate",
        folder=stage / "J",
        results=stage / "J/results",
        spec=None,
        key="KEY",
        ptms=[stage / "start"],
        parent=ParentFacts(network, parent_action, stage / "P/results", parent=above),
        train=[sets["T"]],
        eval=sets["E"],
        inference=sets["I"],
        calibration=sets["C"],
        own=sets["O"],
    )
    return placeholders.Context(facts, stage / "J/spec")


def shown(value: object, stage: Path) -> object:
    """A value with paths from the stage's folder on."""
    if isinstance(value, list):
        return [shown(each, stage) for each in value]
    return value.replace(f"{stage}/", "") if isinstance(value, str) else value


OF_PARENT = {"parent_model", "parent_model_evaluate", "resume_model_or_parent", "parent_model_if_no_resume_model"}


@pytest.mark.parametrize("name", sorted({name for name, *_ in PLACES}))
def test_each_function_gives_its_value_to_every_field(name: str, stage: Path) -> None:
    for _, kind, action, field, how in (place for place in PLACES if place[0] == name):
        if how not in OF_PARENT:
            given = placeholders.value(how, known(stage, name), field, {})
            assert shown(given, stage) == OTHERWISE.get((name, how), GIVEN[how]), (name, kind, action, field, how)


def test_the_expected_values_cover_all_functions() -> None:
    named = {how for *_, how in PLACES}
    assert named - set(GIVEN) == OF_PARENT
    made_up = {"parent_classmap", "framework", "augment_out", "merged_json", "output_dir_inference_json"}
    assert set(GIVEN) - named <= made_up | placeholders.functions()
    assert placeholders.functions() - named - set(GIVEN) == {
        "class_names_file",
        "tfrecords_prefix",
        "own_masks",
    }  # of conversions, in command.py


WEIGHTS = {
    "train": {"=": "x_epoch=003.pth", "_": "x_epoch_003.pth", "-": "x.epoch-003.hdf5"},
    "prune": dict.fromkeys("=_-", "model.pth"),
    "export": dict.fromkeys("=_-", "model.onnx"),
    "gen_trt_engine": dict.fromkeys("=_-", "model.engine"),
}


@pytest.mark.parametrize("before", WEIGHTS)
def test_weights_of_the_parent_go_where_their_kind_is_read(before: str, tmp_path: Path) -> None:
    """An engine fills `trt_engine` alone where there is such a field; a checkpoint never does."""
    for name, kind, action, field, how in PLACES:
        actions = index()[name].actions
        if how not in OF_PARENT or before not in actions or before not in get_network(name).may_follow(action):
            continue
        results = tmp_path / name / "P/results"
        results.mkdir(parents=True, exist_ok=True)
        left = results / WEIGHTS[before][get_network(name).checkpoint_separator]
        left.write_bytes(b"weights")
        beside = getattr(network_file(name), kind)[action]
        given = placeholders.value(how, known(tmp_path / name, name, before), field, beside)
        last, has_engine = field.rpartition(".")[2], any(each.endswith("trt_engine") for each in beside)
        if how == "parent_model" and last == "trt_engine":
            assert given == (str(left) if before == "gen_trt_engine" else None), (name, action, field)
        elif how == "parent_model" and last == "checkpoint" and has_engine and before == "gen_trt_engine":
            assert given is None, (name, action, field)
        else:
            assert given == str(left), (name, action, field)


def test_without_a_parent_an_evaluation_takes_the_pretrained_model(stage: Path) -> None:
    alone = known(stage, "yolo_v4")
    facts = JobFacts(**{**{f: getattr(alone.facts, f) for f in alone.facts.__struct_fields__}, "parent": None})
    assert placeholders.value(
        "parent_model_evaluate", placeholders.Context(facts, stage / "J/spec"), "model_path", {}
    ) == str(stage / "start/weights.pth")


@pytest.mark.parametrize("before", ["export", "gen_trt_engine", "trtexec"])
def test_the_framework_of_a_parent_that_exported(before: str, stage: Path) -> None:
    assert placeholders.value("framework", known(stage, "detectnet_v2", before), "framework", {}) == "tensorrt"
    assert placeholders.value("framework_storetrue", known(stage, "lprnet", before), "trt", {}) is True
