"""Data of image classification, optical inspection and metric learning."""

from __future__ import annotations

from pathlib import Path

from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.commands.sources.common import Spec, at, first, images_folder, put_all
from taod.catalogue.schema.merge import put
from taod.errors import BadRequest

_ML_RECOG = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"


def classification_pyt(spec: Spec, facts: JobFacts) -> None:
    """`dataset.data.{train,val,test}`: images and class list.

    An evaluation measures on the eval dataset, so there `test` is that one too, whichever of both the tool reads.
    """
    if len(facts.train) > 1:
        raise BadRequest(
            f"classification_pyt reads one train dataset, and the model has {len(facts.train)}: "
            "leave one in train_datasets, or merge them into one"
        )
    train = first(facts)
    test = (facts.eval or facts.inference, "images_val") if facts.action == "evaluate" and facts.eval else None
    sets = {
        "train": (train, "images_train"),
        "val": (facts.eval, "images_val"),
        "test": test or (facts.inference, "images_test"),
    }
    for part, (dataset, folder) in sets.items():
        if dataset is None:
            continue
        put(spec, f"dataset.data.{part}.data_prefix", str(images_folder(dataset, folder)))
        classes = _class_list(dataset, train)
        if classes is not None:
            put(spec, f"dataset.data.{part}.classes", str(classes))


def _class_list(dataset: DatasetFacts, train: DatasetFacts | None) -> Path | None:
    for owner in (dataset, train):
        if owner is not None and (owner.root / "classes.txt").is_file():
            return owner.root / "classes.txt"
    return None


def classification_tf1(spec: Spec, facts: JobFacts) -> None:
    """An evaluation measures on the eval dataset; images for inference need no classes."""
    train = first(facts)
    put_all(
        spec,
        {
            "train_config.train_dataset_path": _folder(train, "images_train"),
            "train_config.val_dataset_path": _folder(facts.eval, "images_val"),
            "eval_config.eval_dataset_path": _folder(facts.eval, "images_val")
            or _folder(facts.inference, "images_test"),
        },
    )


def classification_tf2(spec: Spec, facts: JobFacts) -> None:
    put_all(
        spec,
        {
            "dataset.train_dataset_path": _folder(first(facts), "images_train"),
            "dataset.val_dataset_path": _folder(facts.eval, "images_val"),
            "evaluate.dataset_path": _folder(facts.eval, "images_val") or _folder(facts.inference, "images_test"),
        },
    )


def multitask_classification(spec: Spec, facts: JobFacts) -> None:
    if facts.action in ("train", "retrain"):
        train = first(facts)
        put_all(
            spec,
            {
                "dataset_config.train_csv_path": at(train, "train.csv"),
                "dataset_config.val_csv_path": at(facts.eval or train, "val.csv"),
                "dataset_config.image_directory_path": _folder(train, "images_train"),
            },
        )
    else:
        put_all(
            spec,
            {
                "dataset_config.val_csv_path": at(facts.eval, "val.csv"),
                "dataset_config.image_directory_path": _folder(facts.eval, "images_val"),
            },
        )


def optical_inspection(spec: Spec, facts: JobFacts) -> None:
    sets = {
        "train": first(facts),
        "validation": facts.eval,
        "test": facts.eval,
        "infer": facts.inference,
    }
    for part, dataset in sets.items():
        put_all(
            spec,
            {
                f"dataset.{part}_dataset.images_dir": at(dataset, "images"),
                f"dataset.{part}_dataset.csv_path": at(dataset, "dataset.csv"),
            },
        )


def ml_recog(spec: Spec, facts: JobFacts) -> None:
    """Training uses the known classes, evaluation and inference the unknown ones."""
    train = first(facts)
    if facts.action == "train":
        put_all(
            spec,
            {
                "dataset.train_dataset": at(train, f"{_ML_RECOG}/known_classes/train"),
                "dataset.val_dataset.reference": at(facts.eval or train, f"{_ML_RECOG}/known_classes/reference"),
                "dataset.val_dataset.query": at(facts.eval or train, f"{_ML_RECOG}/known_classes/val"),
            },
        )
        return
    seen = facts.eval or train
    unseen = facts.inference or seen if facts.action == "inference" else seen
    put_all(
        spec,
        {
            "dataset.val_dataset.reference": at(seen, f"{_ML_RECOG}/unknown_classes/reference"),
            "dataset.val_dataset.query": at(seen, f"{_ML_RECOG}/unknown_classes/test"),
        },
    )
    if facts.action == "inference":
        put_all(spec, {"inference.input_path": at(unseen, f"{_ML_RECOG}/unknown_classes/test")})


def _folder(dataset: DatasetFacts | None, name: str) -> str | None:
    return str(images_folder(dataset, name)) if dataset is not None else None
