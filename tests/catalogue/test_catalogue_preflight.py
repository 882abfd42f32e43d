"""Preflight: each rule with data that it accepts and data that it warns about, and the scan of all networks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from taod.catalogue import preflight
from taod.catalogue.commands import conversions
from taod.catalogue.commands.assemble import complete
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.network import get as network
from taod.catalogue.preflight import Missing, PreflightFacts, Unreadable, check, network_facts
from taod.catalogue.schema.tables import index
from taod.types.warning import WarningCode
from taod.types.warning_text import _TEXTS, text


def data(name: str = "cars", **known: Any) -> DatasetFacts:
    return DatasetFacts(**{"root": Path(f"/data/{name}"), "type": "any", "format": "any", "name": name, **known})


def job(name: str, action: str = "train", *, spec: dict[str, Any] | None = None, **known: Any) -> JobFacts:
    return JobFacts(
        network=name, action=action, folder=Path("/job"), results=Path("/job/results"), spec=spec, key="k", **known
    )


def nested(path: str, value: Any) -> dict[str, Any]:
    *groups, last = path.split(".")
    document: dict[str, Any] = {last: value}
    for group in reversed(groups):
        document = {group: document}
    return document


def warned(facts: JobFacts, **known: Any) -> dict[WarningCode, str]:
    found = check(PreflightFacts(job=facts, spec=complete(facts), **known))
    return {warning.code: text(warning) for warning in found}


JPG = {".jpg": 40}
CARS = Path("/data/cars")
VALID = data("valid", extensions=JPG)
ONE = {"images": 1}
CASES: list[tuple[WarningCode, JobFacts, JobFacts, dict[str, Any], dict[str, Any], str]] = [
    (
        WarningCode.IMAGE_EXTENSION,
        job("yolo_v4", spec=nested("dataset_config.image_extension", "jpg"), train=[data(extensions=JPG)]),
        job("yolo_v4", spec=nested("dataset_config.image_extension", "png"), train=[data(extensions=JPG)]),
        {},
        {},
        "dataset_config.image_extension = 'png', and the images of dataset 'cars' end in .jpg (40); "
        "set dataset_config.image_extension to 'jpg'",
    ),
    (
        WarningCode.MIXED_EXTENSIONS,
        job("optical_inspection", train=[data(extensions={".png": 3})]),
        job("optical_inspection", train=[data(extensions={".png": 3, ".jpg": 1})]),
        {},
        {},
        "the images of dataset 'cars' have several extensions (.png (3), .jpg (1)), and the tool reads one: "
        "dataset.image_ext = '.png'; convert the images to one format",
    ),
    (
        WarningCode.EXTENSION_UNREAD,
        job("optical_inspection", train=[data(extensions={".jpg": 3})]),
        job("optical_inspection", train=[data(extensions={".png": 3})]),
        {},
        {},
        "dataset 'cars' has images that end in .png (3), and release 5.0 of optical_inspection reads only .jpg; "
        "convert the images to .jpg",
    ),
    (
        WarningCode.CLASS_ID_REJECTED,
        job("instance_segmentation", "convert", own=data(lowest_class_id=1)),
        job("instance_segmentation", "convert", own=data(lowest_class_id=0)),
        {},
        {},
        "dataset 'cars' has category id 0, and the conversion to TFRecords rejects ids below 1; "
        "number its categories from 1",
    ),
    (
        WarningCode.CLASS_COUNT,
        job("classification_tf2", spec=nested("dataset.num_classes", 2), train=[data(classes=["a", "b"])]),
        job("classification_tf2", spec=nested("dataset.num_classes", 5), train=[data(classes=["a", "b"])]),
        {},
        {},
        "dataset.num_classes = 5, and dataset 'cars' has 2 classes; set dataset.num_classes to 2",
    ),
    (
        WarningCode.CLASS_ID,
        job("dino", spec=nested("dataset.num_classes", 4), train=[data(highest_class_id=3)]),
        job("dino", spec=nested("dataset.num_classes", 3), train=[data(highest_class_id=3)]),
        {},
        {},
        "dataset.num_classes = 3, and the highest category id of dataset 'cars' is 3; "
        "set dataset.num_classes to 4 or more",
    ),
    (
        WarningCode.CLASSES_UNLISTED,
        job("action_recognition", train=[data(classes=["catch", "smile"])]),
        job("action_recognition", train=[data(classes=["catch", "ride"])]),
        {},
        {},
        "dataset.label_map lacks ride, of which dataset 'cars' has samples; "
        "add the classes of the dataset to dataset.label_map",
    ),
    (
        WarningCode.BATCH_SIZE,
        job("yolo_v3", spec=nested("training_config.batch_size_per_gpu", 8), train=[data(images=8)]),
        job("yolo_v3", spec=nested("training_config.batch_size_per_gpu", 8), train=[data(images=7)]),
        {},
        {},
        "training_config.batch_size_per_gpu = 8 is more than the 7 images of the training data; "
        "set training_config.batch_size_per_gpu to 7 or less",
    ),
    (
        WarningCode.NO_BATCHES,
        job("dino", spec=nested("dataset.batch_size", 4), train=[data(images=4)]),
        job("dino", spec=nested("dataset.batch_size", 4), train=[data(images=3)]),
        {},
        {},
        "dataset.batch_size = 4 is more than the 3 images of the training data, and the tool drops an incomplete "
        "batch: the training would have no step and leave no weights, and may report success; "
        "set dataset.batch_size to 3 or less",
    ),
    (
        WarningCode.FEW_STEPS,
        job("detectnet_v2", spec=nested("training_config.batch_size_per_gpu", 4), train=[data(images=37)]),
        job("detectnet_v2", spec=nested("training_config.batch_size_per_gpu", 4), train=[data(images=36)]),
        {},
        {},
        "36 training images and training_config.batch_size_per_gpu = 4 make 9 steps per epoch, and the tool rejects "
        "fewer than 10; set training_config.batch_size_per_gpu to 3 or less",
    ),
    (
        WarningCode.NO_VALIDATION,
        job("ssd", train=[data()], eval=VALID),
        job("ssd", train=[data()]),
        {},
        {},
        "the model has no eval_dataset: NVIDIA's ssd stops without validation data; set eval_dataset of the model",
    ),
    (
        WarningCode.PATH_MISSING,
        job("pose_classification", train=[data()]),
        job("pose_classification", train=[data()]),
        {},
        {
            "missing": [Missing("dataset.train_dataset.data_path", CARS, "kinetics/train_data.npy")],
            "folders": {CARS: ["nvidia"]},
        },
        "dataset 'cars' lacks kinetics/train_data.npy, named by dataset.train_dataset.data_path; "
        "set model.graph_layout to 'nvidia'",
    ),
    (
        WarningCode.UNREADABLE_IMAGES,
        job("unet", train=[data()], eval=VALID),
        job("unet", train=[data()], eval=VALID),
        {"unreadable": {CARS: Unreadable(0, "")}},
        {"unreadable": {CARS: Unreadable(2, "images/a.jpg")}},
        "the check of dataset 'cars' found 2 images that cannot be read, images/a.jpg first; replace or remove them",
    ),
    (
        WarningCode.NO_INDEX_FILES,
        job("retinanet", train=[data()], eval=VALID),
        job("retinanet", train=[data()], eval=VALID),
        {"converted_by": {CARS: "convert_and_index"}},
        {"converted_by": {CARS: "convert"}},
        "dataset 'cars' was converted by convert, which writes no index files, and retinanet reads its records by "
        "them; run convert_and_index on the dataset",
    ),
    (
        WarningCode.RECORDS_BOXES,
        job("yolo_v3", train=[data()]),
        job("yolo_v3", train=[data()]),
        {"converted_by": {CARS: "convert"}},
        {"converted_by": {CARS: "convert_and_index"}},
        "dataset 'cars' was converted by convert_and_index, which writes boxes relative to the image, and yolo_v3 "
        "reads boxes in pixels; run convert on the dataset",
    ),
    (
        WarningCode.RECORDS_REPLACED,
        job("object_detection", "convert", own=data()),
        job("object_detection", "convert", own=data()),
        {"converted_by": {CARS: "convert"}},
        {"converted_by": {CARS: "convert_and_index"}},
        "dataset 'cars' has records of convert_and_index, which this conversion replaces with boxes in pixels; "
        "convert a copy of the dataset to keep both",
    ),
]


@pytest.mark.parametrize(
    ("code", "passing", "violating", "well", "badly", "words"), CASES, ids=[str(case[0]) for case in CASES]
)
def test_a_rule_accepts_and_warns(
    code: WarningCode,
    passing: JobFacts,
    violating: JobFacts,
    well: dict[str, Any],
    badly: dict[str, Any],
    words: str,
) -> None:
    assert code not in warned(passing, **well)
    assert warned(violating, **badly)[code] == words


REQUIRED = (
    *("classification_pyt", "classification_tf1", "classification_tf2", "deformable_detr", "dino", "dssd"),
    *("efficientdet_tf1", "efficientdet_tf2", "mal", "mask_rcnn", "ocdnet", "ocrnet", "optical_inspection"),
    *("retinanet", "segformer", "ssd"),
)
"""Their tools open, build or assert the validation data at the start or at the first validation, as read in NVIDIA's
sources of 5.0 (TF2: 5.3)."""
MEASURED = ("detectnet_v2", "lprnet")
"""Their tools train without it, and measure nothing (faster_rcnn only where its default fold is unset)."""


@pytest.mark.parametrize("name", sorted(name for name, entry in index().items() if "train" in entry.actions))
def test_a_training_without_validation_data(name: str) -> None:
    """The rest finds it in the train dataset (yolo: fold 0 where none is given) or never validates (unet)."""
    said = warned(job(name, train=[data()])).get(WarningCode.NO_VALIDATION, "")
    stops, silent = "stops without validation data" in said, "is not validated" in said
    assert (stops, silent) == (name in REQUIRED, name in MEASURED)


AUGMENT = "spatial_aug.rotation.refine_box.enabled"
MASKS = Missing("spatial_aug.rotation.refine_box.gt_cache", CARS, "label.json")


def test_masks_are_needed_only_to_refine_boxes() -> None:
    """NVIDIA's augmentation logs an error without them, exits with 0 and writes nothing."""
    refining = job("augmentation", "generate", own=data(), train=[data()])
    assert warned(refining, missing=[MASKS])[WarningCode.PATH_MISSING] == (
        "dataset 'cars' lacks label.json, named by spatial_aug.rotation.refine_box.gt_cache; "
        "upload these files, or set spatial_aug.rotation.refine_box.enabled to false"
    )
    plain = job("augmentation", "generate", own=data(), train=[data()], spec=nested(AUGMENT, False))
    assert WarningCode.PATH_MISSING not in warned(plain, missing=[MASKS])


KITTI_EXTENSION = nested("kitti_config.image_extension", ".png")
WITHIN: list[tuple[str, JobFacts, WarningCode, bool]] = [
    ("a fold is a validation set", job("faster_rcnn", train=[data()]), WarningCode.NO_VALIDATION, False),
    (
        "a training that does not validate needs no validation data",
        job("classification_pyt", train=[data()], spec=nested("train.train_config.validate", False)),
        WarningCode.NO_VALIDATION,
        False,
    ),
    ("detectnet has no default fold", job("detectnet_v2", train=[data()]), WarningCode.NO_VALIDATION, True),
    ("an evaluation does not train", job("dino", "evaluate", eval=data(images=1)), WarningCode.NO_BATCHES, False),
    ("unknown counts", job("dino", train=[data()]), WarningCode.NO_BATCHES, False),
    ("two datasets", job("dino", train=[data("a", images=2), data("b", images=2)]), WarningCode.NO_BATCHES, False),
    ("the train split", job("segformer", train=[data(images=9, parts={"train": 1})]), WarningCode.NO_BATCHES, True),
    ("videos that were not counted", job("action_recognition", train=[data(images=1)]), WarningCode.BATCH_SIZE, False),
    ("two GPUs", job("dino", train=[data(images=4)], gpus=2), WarningCode.NO_BATCHES, True),
    (
        "detectnet's steps follow its logging",
        job(
            "detectnet_v2",
            train=[data(images=36)],
            spec=nested("training_config.visualizer.scalar_logging_frequency", 2),
        ),
        WarningCode.FEW_STEPS,
        False,
    ),
    ("the letter case counts", job("fpenet", train=[data(extensions={".BMP": 3})]), WarningCode.IMAGE_EXTENSION, True),
    (
        "a conversion reads its own dataset",
        job("object_detection", "convert", spec=KITTI_EXTENSION, own=data(extensions=JPG)),
        WarningCode.IMAGE_EXTENSION,
        True,
    ),
    (
        "a mapping may leave classes out",
        job(
            "yolo_v4",
            spec=nested("dataset_config.target_class_mapping", [{"key": "Car", "value": "car"}]),
            train=[data(classes=["car", "van"])],
        ),
        WarningCode.CLASSES_UNLISTED,
        False,
    ),
    (
        "a mapping of other classes",
        job(
            "yolo_v4",
            spec=nested("dataset_config.target_class_mapping", [{"key": "dog", "value": "dog"}]),
            train=[data(classes=["car", "van"])],
        ),
        WarningCode.CLASSES_UNLISTED,
        True,
    ),
    ("a palette", job("segformer", train=[data(highest_class_id=1)]), WarningCode.CLASS_ID, False),
    ("a palette that ends early", job("unet", train=[data(highest_class_id=2)]), WarningCode.CLASS_ID, True),
    ("a label map", job("pose_classification", train=[data()]), WarningCode.CLASS_COUNT, False),
    (
        "a label map of another size",
        job("pose_classification", spec=nested("dataset.num_classes", 3), train=[data()]),
        WarningCode.CLASS_COUNT,
        True,
    ),
]


@pytest.mark.parametrize(("facts", "code", "expected"), [case[1:] for case in WITHIN], ids=[case[0] for case in WITHIN])
def test_limits_of_the_rules(facts: JobFacts, code: WarningCode, expected: bool) -> None:
    assert (code in warned(facts)) is expected


@pytest.mark.parametrize(
    ("network_name", "field", "unit"),
    [
        ("action_recognition", "dataset.batch_size", "videos"),
        ("pose_classification", "dataset.batch_size", "sequences"),
        ("pointpillars", "train.batch_size", "scans"),
    ],
)
def test_a_batch_is_compared_with_the_samples_of_the_network(network_name: str, field: str, unit: str) -> None:
    facts = job(network_name, spec=nested(field, 4), train=[data(images=1)])
    assert WarningCode.BATCH_SIZE not in warned(facts, samples=4)
    assert warned(facts, samples=3)[WarningCode.BATCH_SIZE] == (
        f"{field} = 4 is more than the 3 {unit} of the training data; set {field} to 3 or less"
    )


def test_bpnet_counts_the_images_of_its_training_part() -> None:
    facts = job("bpnet", spec=nested("dataloader.batch_size", 4), train=[data(images=9, parts={"train2017": 3})])
    assert "4 is more than the 3 images" in warned(facts)[WarningCode.NO_BATCHES]


def test_identities_are_counted_where_the_tool_counts_them() -> None:
    facts = job("re_identification", spec=nested("dataset.num_classes", 3), train=[data(images=99)])
    assert WarningCode.CLASS_COUNT not in warned(facts, identities=3)
    assert "has 4 identities to train on" in warned(facts, identities=4)[WarningCode.CLASS_COUNT]


KITTI = data(type="object_detection", format="kitti")


def test_what_a_conversion_will_write_is_not_missing() -> None:
    facts = job("yolo_v3", train=[KITTI])
    missing = [Missing("dataset_config.data_sources.tfrecords_path", CARS, "tfrecords/*")]
    assert "run the dataset's conversion first" in warned(facts, missing=missing)[WarningCode.PATH_MISSING]
    assert WarningCode.PATH_MISSING not in warned(facts, missing=missing, converting=frozenset({CARS}))
    assert WarningCode.PATH_MISSING not in warned(job("object_detection", "convert", own=KITTI), missing=missing)


@pytest.mark.parametrize(
    ("type_", "format_", "path", "expected"),
    [
        ("object_detection", "kitti", "tfrecords", True),
        ("object_detection", "kitti", "tfrecords/[!i]*", True),
        ("object_detection", "kitti", "labels", False),
        ("object_detection", "raw", "tfrecords", False),
        ("semantic_segmentation", "coco", "masks/val", True),
        ("semantic_segmentation", "unet", "masks/val", False),
        ("ocrnet", "default", "train/lmdb", True),
        ("fpenet", "default", "data/tfrecords", True),
    ],
)
def test_paths_that_a_conversion_of_the_dataset_writes(type_: str, format_: str, path: str, expected: bool) -> None:
    assert conversions.is_output(type_, format_, path) is expected


@pytest.mark.parametrize(
    ("facts", "field", "expected"),
    [
        (job("yolo_v4", train=[data(extensions=JPG)]), "dataset_config.image_extension", "jpg"),
        (job("detectnet_v2", train=[data(extensions={".JPG": 1})]), "dataset_config.image_extension", "JPG"),
        (job("optical_inspection", train=[data(extensions={".png": 1})]), "dataset.image_ext", ".png"),
        (job("object_detection", "convert", own=data(extensions=JPG)), "kitti_config.image_extension", ".jpg"),
        (job("fpenet", train=[data(extensions=JPG)]), "dataloader.dataset_info.image_extension", "jpg"),
        (job("yolo_v3", train=[data(extensions={".jpg": 2, ".png": 3})]), "dataset_config.image_extension", "png"),
        (job("yolo_v3", train=[data(extensions={".gif": 9, ".jpg": 2})]), "dataset_config.image_extension", "jpg"),
        (job("yolo_v3", train=[data()]), "dataset_config.image_extension", "png"),
    ],
)
def test_a_missing_extension_comes_from_the_data(facts: JobFacts, field: str, expected: str) -> None:
    assert preflight.get(complete(facts), field) == expected
    assert WarningCode.IMAGE_EXTENSION not in warned(facts)


def test_a_given_extension_stays() -> None:
    facts = job("yolo_v4", spec=nested("dataset_config.image_extension", "png"), train=[data(extensions=JPG)])
    assert preflight.get(complete(facts), "dataset_config.image_extension") == "png"


def test_every_parameter_for_an_extension_is_filled_from_the_data() -> None:
    name = re.compile(r"(^|\.)(image|img)_?ext(ension)?$")
    found = {
        (network_name, row)
        for network_name in index()
        for action in index()[network_name].specs
        for row in network(network_name).table(action).rows
        if name.search(row)
    }
    assert found == {(n, field) for n in index() for field in network_facts(n).image_extension}
    assert len(found) == 9


def test_every_fact_names_a_parameter_of_a_training() -> None:
    for name in index():
        facts = network_facts(name)
        rows = network(name).table("train").rows
        after = {"dataset.label_map", "dataset.batch_size", "dataset.data.samples_per_gpu"}
        for field in filter(None, [facts.batch_size, facts.validation_fold, facts.minimum_steps_field, *facts.classes]):
            assert field in rows or field in after, (name, field)
        for field, folders in facts.layouts.items():
            assert set(folders) <= set(rows[field].options), (name, field)
    assert set(preflight._table()) <= set(index())


def test_every_number_of_classes_has_a_rule() -> None:
    name = re.compile(r"(^|\.)(num_class(es)?|n_class(es)?|label_map\w*|class_names|target_class_mapping|palette)$")
    # Of other weights, of which the assembly chooses one, or of another action.
    apart = re.compile(
        r"pretrained|label_map_|^(evaluate|inference)\.label_map$|sample_modifier|^target_class_mapping$"
    )
    for network_name in index():
        entry = index()[network_name]
        for action in set(entry.specs) & {"train", "retrain"}:
            for row in network(network_name).table(action).rows:
                if name.search(row) and not apart.search(row):
                    assert row in network_facts(network_name).classes, (network_name, row)


def test_every_code_has_a_text() -> None:
    assert set(_TEXTS) == set(WarningCode)
