"""Data of the networks that find and read text."""

from __future__ import annotations

from taod.catalogue.commands.inputs import DatasetFacts, JobFacts
from taod.catalogue.commands.sources.common import Spec, at, first, put_all
from taod.catalogue.releases import BASE
from taod.catalogue.schema.merge import put


def lprnet(spec: Spec, facts: JobFacts) -> None:
    if facts.train:
        sources = [
            {"label_directory_path": at(d, "label"), "image_directory_path": at(d, "image")} for d in facts.train
        ]
        put(spec, "dataset_config.data_sources", sources)
    if facts.eval is not None:
        validation = {"label_directory_path": at(facts.eval, "label"), "image_directory_path": at(facts.eval, "image")}
        put(spec, "dataset_config.validation_data_sources", [validation])
    characters = at(first(facts) or facts.eval, "characters.txt")
    put_all(spec, {"dataset_config.characters_list_file": characters})


def ocdnet(spec: Spec, facts: JobFacts) -> None:
    train, test = at(first(facts), "train"), at(facts.eval, "test")
    put_all(
        spec,
        {
            "dataset.train_dataset.data_path": [train] if train else None,
            "dataset.validate_dataset.data_path": [test] if test else None,
        },
    )
    if facts.action == "inference":
        put_all(spec, {"inference.input_folder": at(facts.eval or facts.inference, "test/img")})
    if facts.parent is not None and facts.parent.action == "retrain":
        put(spec, "model.load_pruned_graph", True)


def ocrnet(spec: Spec, facts: JobFacts) -> None:
    if facts.action == "dataset_convert":
        for part in ocrnet_parts(facts)[:1]:
            put_all(spec, part)
        return
    train, owner = first(facts), first(facts) or facts.eval
    put_all(
        spec,
        {
            "dataset.train_dataset_dir": [_character_list(train, "train", facts)] if train is not None else None,
            "dataset.train_gt_file": _word_list(train, "train", facts),
            "dataset.val_dataset_dir": _character_list(facts.eval, "test", facts),
            "dataset.val_gt_file": _word_list(facts.eval, "test", facts),
            "dataset.character_list_file": at(owner, "character_list"),
        },
    )
    if facts.action == "evaluate":
        put_all(
            spec,
            {
                "evaluate.test_dataset_dir": _character_list(facts.eval, "test", facts),
                "evaluate.test_dataset_gt_file": _word_list(facts.eval, "test", facts),
            },
        )
    if facts.action == "inference":
        put_all(spec, {"inference.inference_dataset_dir": at(facts.eval or facts.inference, "test")})


def _character_list(dataset: DatasetFacts | None, part: str, facts: JobFacts) -> str | None:
    """The path that the tool reads for a part: its lmdb, or since 7.3 the images if the part was not converted."""
    return at(dataset, part if _reads_images(dataset, part, facts) else f"{part}/lmdb")


def _word_list(dataset: DatasetFacts | None, part: str, facts: JobFacts) -> str | None:
    """The list of texts beside images that are read without a conversion."""
    return at(dataset, f"{part}/gt_new.txt") if _reads_images(dataset, part, facts) else None


def _reads_images(dataset: DatasetFacts | None, part: str, facts: JobFacts) -> bool:
    return facts.release != BASE and dataset is not None and not (dataset.root / part / "lmdb").is_dir()


def ocrnet_parts(facts: JobFacts) -> list[dict[str, str]]:
    """The fields of one conversion for each part that the dataset has, `train` and `test`: an lmdb within it."""
    dataset = facts.own or first(facts)
    if dataset is None:
        return []
    there = [part for part in ("train", "test") if (dataset.root / part).is_dir()]
    return [
        {
            "dataset_convert.input_img_dir": f"{dataset.root}/{part}",
            "dataset_convert.gt_file": f"{dataset.root}/{part}/gt_new.txt",
            "dataset_convert.results_dir": f"{dataset.root}/{part}/lmdb",
        }
        for part in there or ["test"]
    ]
