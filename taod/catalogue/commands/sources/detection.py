"""Data of the object detectors, and of the conversions that write their TFRecords."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.commands.sources.common import Spec, at, first, known_classes, put_all
from taod.catalogue.releases import BASE
from taod.catalogue.schema.merge import drop, get, put

INDEXING = "convert_and_index"
"""The conversion that writes index files beside the records."""


def _records(dataset: DatasetFacts) -> dict[str, Any]:
    """All record files, without the index files (`idx-…`) beside them."""
    root = dataset.root
    names = "[!i]*" if has_index_files(root) else "*"
    return {"tfrecords_path": f"{root}/tfrecords/{names}", "image_directory_path": f"{root}/"}


def has_index_files(root: Path) -> bool:
    """Whether the dataset's records have index files, which ssd, dssd and retinanet require."""
    return any((root / "tfrecords").glob("idx-*"))


def tfrecords_single_validation(spec: Spec, facts: JobFacts) -> None:
    """detectnet_v2, faster_rcnn: one source for each train set, and the eval set as the only validation source.

    The inference of detectnet_v2 reads no dataset: its message has no field for one and rejects unknown fields.
    """
    if facts.network == "detectnet_v2" and facts.action == "inference":
        return
    if facts.train:
        put(spec, "dataset_config.data_sources", [_records(d) for d in facts.train])
    if facts.eval is not None:
        put(spec, "dataset_config.validation_data_source", _records(facts.eval))
        drop(spec, "dataset_config.validation_fold")


def tfrecords_many_validation(spec: Spec, facts: JobFacts) -> None:
    """The YOLO family."""
    if facts.train:
        put(spec, "dataset_config.data_sources", [_records(d) for d in facts.train])
    if facts.eval is not None:
        put(spec, "dataset_config.validation_data_sources", [_records(facts.eval)])
        drop(spec, "dataset_config.validation_fold")


def tfrecords_with_labels(spec: Spec, facts: JobFacts) -> None:
    """ssd, dssd, retinanet: train from tfrecords, validate from KITTI labels."""
    if facts.train:
        sources = [{"tfrecords_path": f"{d.root}/tfrecords/tfrecords-*"} for d in facts.train]
        put(spec, "dataset_config.data_sources", sources)
    if facts.eval is not None:
        validation = {
            "label_directory_path": at(facts.eval, "labels"),
            "image_directory_path": at(facts.eval, "images"),
        }
        put(spec, "dataset_config.validation_data_sources", [validation])


def efficientdet_tf1(spec: Spec, facts: JobFacts) -> None:
    put_all(
        spec,
        {
            "dataset_config.training_file_pattern": at(first(facts), "tfrecords/*.tfrecord"),
            "dataset_config.validation_file_pattern": at(facts.eval, "tfrecords/*.tfrecord"),
            "dataset_config.validation_json_file": at(facts.eval, "annotations.json"),
        },
    )


def efficientdet_tf2(spec: Spec, facts: JobFacts) -> None:
    train, validation = at(first(facts), "tfrecords/*.tfrecord"), at(facts.eval, "tfrecords/*.tfrecord")
    put_all(
        spec,
        {
            "dataset.train_tfrecords": [train] if train else None,
            "dataset.val_tfrecords": [validation] if validation else None,
            "dataset.val_json_file": at(facts.eval, "annotations.json"),
        },
    )


def detr(spec: Spec, facts: JobFacts) -> None:
    """deformable_detr, dino, rtdetr: COCO sources, with a different field for each action.

    Exports of later releases read those of the training, for the names of the classes.
    """
    names_classes = facts.action == "export" and facts.release != BASE and facts.network != "rtdetr"
    _calibration(spec, facts, first(facts))
    if facts.action in _LEARN or names_classes:
        if facts.train:
            put(spec, "dataset.train_data_sources", [_coco(d) for d in facts.train])
        if facts.eval is not None:
            validation = _coco(facts.eval)
            put(spec, "dataset.val_data_sources", validation if facts.network == "rtdetr" else [validation])
        return
    _only_evaluated(spec, facts, {})
    if facts.action == "inference" and facts.inference is not None:
        source = {"image_dir": [at(facts.inference, "images")], "classmap": at(facts.inference, "label_map.txt")}
        put(spec, "dataset.infer_data_sources", source)


_LEARN = ("train", "distill", "quantize")
"""Actions that read the training's data."""


def _calibration(spec: Spec, facts: JobFacts, dataset: DatasetFacts | None) -> None:
    """What a quantization measures activations on: the calibration dataset, else `dataset`."""
    chosen = facts.calibration or dataset
    if facts.action == "quantize" and chosen is not None:
        put(spec, "dataset.quant_calibration_data_sources", _coco(chosen))


_CAPTIONS = "dataset.infer_data_sources.captions"


def grounding(spec: Spec, facts: JobFacts) -> None:
    """grounding_dino, mask_grounding_dino: ODVG for training, COCO for everything else.

    An inference looks for the classes of the data where its specification names no captions, which the tools require.
    A quantization reads the classes of the evaluation's data. mask_grounding_dino has the kind of its data beside them.
    """
    _calibration(spec, facts, facts.eval)
    kind = {"data_type": "OD"} if facts.network == "mask_grounding_dino" else {}
    if facts.action in _LEARN:
        if facts.train:
            put(spec, "dataset.train_data_sources", [_odvg(d) for d in facts.train])
        for part in ("val", *(("test",) if facts.action == "quantize" else ())):
            if facts.eval is not None:
                put(spec, f"dataset.{part}_data_sources", _coco(facts.eval) | kind)
        return
    _only_evaluated(spec, facts, kind)
    if facts.action == "inference" and facts.inference is not None:
        put(spec, "dataset.infer_data_sources.image_dir", [at(facts.inference, "images")])
        put_all(spec, {f"dataset.infer_data_sources.{name}": value for name, value in kind.items()})
        if not get(spec, _CAPTIONS) and (names := known_classes(facts)):
            put(spec, _CAPTIONS, names)


def _only_evaluated(spec: Spec, facts: JobFacts, kind: dict[str, str]) -> None:
    """Without the sources of a training; the evaluation's where it is one."""
    for unused in ("train_data_sources", "val_data_sources"):
        drop(spec, f"dataset.{unused}")
    if facts.action == "evaluate" and facts.eval is not None:
        put(spec, "dataset.test_data_sources", _coco(facts.eval) | kind)


def _odvg(dataset: DatasetFacts) -> dict[str, Any]:
    return {
        "image_dir": at(dataset, "images"),
        "json_file": at(dataset, "annotations_odvg.jsonl"),
        "label_map": at(dataset, "annotations_odvg_labelmap.json"),
    }


def _coco(dataset: DatasetFacts) -> dict[str, Any]:
    return {"image_dir": at(dataset, "images"), "json_file": at(dataset, "annotations.json")}


def conversions(spec: Spec, facts: JobFacts) -> None:
    """The conversions of a detection dataset, which write into its `tfrecords/`."""
    own = facts.own
    if own is None:
        return
    if facts.action in ("convert", "convert_and_index"):
        put_all(spec, {"kitti_config.root_directory_path": f"{own.root}/", "image_directory_path": f"{own.root}/"})
    elif facts.action == "convert_efficientdet_tf2":
        put_all(
            spec,
            {
                "dataset_convert.image_dir": at(own, "images"),
                "dataset_convert.annotations_file": at(own, "annotations.json"),
                "dataset_convert.output_dir": at(own, "tfrecords"),
                "results_dir": f"{facts.results}/",
            },
        )
