"""The named functions that fill command line and spec fields from the facts of one job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from taod.catalogue.commands import artifacts
from taod.catalogue.commands.inputs import DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.network import Network
from taod.catalogue.specfiles.emit import SUFFIXES

SPEC_NAME = "spec"
CLASS_NAMES = "class_names.txt"
"""File in the job's folder: the classes of its dataset, one a line, for conversions that read them from a file."""
SPEC_FUNCTIONS = frozenset({"experiment_spec", "parent_spec", "parent_spec_copied"})
"""Functions that name the specification file on a command line."""
USER_FUNCTIONS = frozenset({"from_csv", "resume_epoch"})
"""Fields with the user's value: `from_csv` always, the others while the function returns None."""
CONSTANT = "="
"""Before a fixed text that stands instead of a function's name: `=classify`."""
_ENGINES = ("gen_trt_engine", "trtexec")
_TF2 = frozenset({"classification_tf2", "efficientdet_tf2"})

Value = str | bool | list[str] | None


class Context:
    """The facts of a job and the values that several functions need."""

    def __init__(self, facts: JobFacts, spec_path: Path) -> None:
        self.facts = facts
        self.network: Network = facts.catalogued
        self.spec_path = spec_path

    def result(self, name: str) -> str:
        return str(self.facts.results / name)

    @property
    def output_dir(self) -> str:
        return f"{self.facts.results}/"

    def resume(self) -> str | None:
        return _text(artifacts.resume(self.network, self.facts.action, self.facts.results))

    def resume_epoch(self) -> str | None:
        """The first epoch of a resumed training, counted from 1: the one after its last checkpoint."""
        last = artifacts.resume(self.network, self.facts.action, self.facts.results)
        epoch = artifacts.epoch_of(last.name, self.network) if last is not None else None
        return str(epoch + 1) if epoch is not None else None

    def ptm(self) -> str | None:
        found = [artifacts.pretrained(self.network, place) for place in self.facts.ptms]
        return ",".join(str(path) for path in found if path is not None) or None

    def parent_weights(self) -> Path | None:
        parent = self.facts.parent
        if parent is None:
            return None
        return artifacts.weights(parent.catalogued, parent.action, parent.results, parent.scores)


def value(how: str, context: Context, field: str, siblings: dict[str, str]) -> Value:
    """The value that the function `how` gives a field; None leaves the field as it is in the spec.

    `siblings` are all fields filled together with it. Raises KeyError for an unknown function.
    """
    if how.startswith(CONSTANT):
        return how.removeprefix(CONSTANT)
    if how in _FILE_NAMES:
        return context.result(_FILE_NAMES[how])
    if how == "parent_model":
        return _text(_fitting_weights(context, field, siblings))
    return _FUNCTIONS[how](context)


def functions() -> frozenset[str]:
    """Every function that `value` knows."""
    return frozenset({*_FILE_NAMES, *_FUNCTIONS, "parent_model"})


def is_pending(how: str, field: str, siblings: dict[str, str], parent: ParentFacts | None) -> bool:
    """Whether the field gets its value once the parent, which has no files yet, has finished."""
    if parent is None or how not in _OF_PARENT:
        return False
    has_engine_field = any(other.rpartition(".")[2] == "trt_engine" for other in siblings)
    name = field.rpartition(".")[2]
    if how == "parent_model" and has_engine_field and name in ("trt_engine", "checkpoint"):
        return (name == "trt_engine") == (parent.action in _ENGINES)
    return True


def trained_ancestor(parent: ParentFacts | None) -> ParentFacts | None:
    """The nearest train, distill or retrain among a job and its ancestors."""
    while parent is not None and parent.action not in ("train", "distill", "retrain", "finetune"):
        parent = parent.parent
    return parent


def _fitting_weights(context: Context, field: str, siblings: dict[str, str]) -> Path | None:
    """The parent's weights, for a field that reads files of their kind.

    An engine goes to `trt_engine`. A PyTorch checkpoint field cannot hold an ONNX model, so after an export it gets
    the exported weights.
    """
    found = context.parent_weights()
    name, action = field.rpartition(".")[2], context.facts.action
    if found is None:
        return None
    if name == "trt_engine":
        return found if found.suffix == ".engine" else None
    has_engine_field = any(other.rpartition(".")[2] == "trt_engine" for other in siblings)
    if found.suffix == ".engine" and name == "checkpoint" and has_engine_field:
        return None
    pytorch = context.network.image == "tlt-pytorch"
    if found.suffix != ".pth" and pytorch and name == "checkpoint" and action in ("evaluate", "inference"):
        return _exported_from(context.facts.parent) or found
    return found


def _exported_from(parent: ParentFacts | None) -> Path | None:
    if parent is None or parent.action != "export" or parent.parent is None:
        return None
    before = parent.parent
    return artifacts.weights(before.catalogued, before.action, before.results, before.scores)


def _parent_model_evaluate(context: Context) -> Value:
    parent = context.facts.parent
    if parent is not None and parent.action == "export":
        engine = parent.results / "model.engine"
        if engine.is_file():
            return str(engine)
    return _text(context.parent_weights()) or context.ptm()


def _pruned_model(context: Context) -> Value:
    if context.network.name in _TF2:
        return _text(_existing(context.facts.results, "pruned_model.tlt"))
    parent = context.facts.parent
    names = ("pruned_model.tlt", "pruned_model.pth", "pruned_model.hdf5")
    return _text(_existing(parent.results, *names)) if parent is not None else None


def _framework(context: Context) -> Value:
    parent = context.facts.parent
    return "tensorrt" if parent is not None and parent.action in ("export", *_ENGINES) else "tlt"


def _parent_cal_cache(context: Context) -> Value:
    parent = context.facts.parent
    return _text(_existing(parent.results, "cal.bin")) if parent is not None else None


def _parent_classmap(context: Context) -> Value:
    own = _in(context.facts.inference, "classmap.json")
    if own is not None:
        return own
    parent = context.facts.parent
    while parent is not None:
        for pattern in ("*classmap.json", "*class_mapping.json"):
            found = next(iter(sorted(parent.results.rglob(pattern))), None)
            if found is not None:
                return str(found)
        parent = parent.parent
    return None


def _calibration(context: Context) -> str | None:
    dataset = context.facts.calibration
    if dataset is None:
        return None
    own = {"unet": "images/train", "ocdnet": "train/img", "ocrnet": "train", "ml_recog": _ML_RECOG_TEST}
    names = (own.get(context.network.name, "images"), "images_train", "train2017")
    return str(_existing(dataset.root, *names) or dataset.root / names[0]) + "/"


_ML_RECOG = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
_ML_RECOG_TEST = f"{_ML_RECOG}/known_classes/test"


def _calibration_list(context: Context) -> Value:
    folder = _calibration(context)
    return [folder] if folder is not None else None


def _first_image(context: Context) -> Value:
    folder = _in(context.facts.inference, "images", "images_test")
    if folder is None:
        return None
    return next((str(p) for p in sorted(Path(folder).iterdir()) if p.is_file() and not p.name.startswith(".")), None)


def _in(dataset: DatasetFacts | None, *names: str) -> str | None:
    """The first of the names that exists in the dataset."""
    return _text(_existing(dataset.root, *names)) if dataset is not None else None


def _path(dataset: DatasetFacts | None, name: str) -> str | None:
    """A path in a dataset, whether it exists or not."""
    return str(dataset.root / name) if dataset is not None else None


def _existing(folder: Path, *names: str) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _text(path: Path | None) -> str | None:
    return str(path) if path is not None else None


def _train(context: Context) -> DatasetFacts | None:
    return context.facts.train[0] if context.facts.train else None


def _own(context: Context) -> DatasetFacts | None:
    return context.facts.own


_OF_PARENT = frozenset(
    {
        "parent_model",
        "parent_model_evaluate",
        "parent_model_if_no_resume_model",
        "resume_model_or_parent",
        "parent_cal_cache",
        "parent_classmap",
        "pruned_model",
    }
)

_FILE_NAMES = {
    "create_hdf5_file": "model.hdf5",
    "create_pth_file": "model.pth",
    "create_onnx_file": "model.onnx",
    "create_engine_file": "model.engine",
    "create_weights_tlt_file": "weights/model.tlt",
    "create_cal_cache": "cal.bin",
    "create_cal_data_file": "calibration.tensorfile",
    "merged_json": "merged.json",
    "create_inference_result_file_pose": "results.txt",
    "create_inference_result_file_reid": "inference.json",
    "create_inference_result_file_mal": "inference.json",
    "create_evaluate_matches_plot_reid": "sampled_matches.png",
    "create_evaluate_cmc_plot_reid": "cmc_curve.png",
    "output_dir_images_annotated": "images_annotated/",
    "output_dir_labels": "labels/",
    "output_dir_inference_json": "annotations_mal.json",
    "auto_label_output": "label.json",
}

_FUNCTIONS: dict[str, Callable[[Context], Value]] = {
    "output_dir": lambda k: k.output_dir,
    "experiment_spec": lambda k: str(k.spec_path),
    "parent_spec": lambda k: str(k.spec_path),
    "parent_spec_copied": lambda k: str(k.spec_path),
    "parents_parent_spec": lambda k: _grandparent_spec(k),
    "bpnet_records": lambda k: _bpnet_records(k),
    "eval_csv": lambda k: _path(k.facts.eval, "val.csv"),
    "eval_images": lambda k: _in(k.facts.eval, "images_val", "images"),
    "class_names_file": lambda k: str(k.facts.folder / CLASS_NAMES),
    "tfrecords_prefix": lambda k: _path(_own(k), "tfrecords/tfrecords"),
    "own_masks": lambda k: _path(_own(k), "masks"),
    "pose_classification_ds_convert_op_dir": lambda k: _pose_output(k),
    "key": lambda k: k.facts.key,
    "verbose": lambda _: True,
    "from_csv": lambda _: None,
    "ptm": lambda k: k.ptm(),
    "parent_model_evaluate": _parent_model_evaluate,
    "resume_model": lambda k: k.resume(),
    "resume_model_or_ptm": lambda k: k.resume() or k.ptm(),
    "ptm_if_no_resume_model": lambda k: None if k.resume() else k.ptm(),
    "resume_model_or_parent": lambda k: k.resume() or _text(k.parent_weights()),
    "parent_model_if_no_resume_model": lambda k: None if k.resume() else _text(k.parent_weights()),
    "resume_epoch": lambda k: k.resume_epoch(),
    "pruned_model": _pruned_model,
    "framework": _framework,
    "framework_storetrue": lambda k: True if _framework(k) == "tensorrt" else None,
    "parent_cal_cache": _parent_cal_cache,
    "parent_classmap": _parent_classmap,
    "od_inference_input": lambda k: _in(k.facts.inference, "images", "images_test"),
    "od_inference_input_image": _first_image,
    "od_inference_labels": lambda k: _in(k.facts.inference, "labels"),
    "od_inference_label_map": lambda k: _in(k.facts.inference, "label_map.txt", "label_map.yaml"),
    "lprnet_inference_input": lambda k: _in(k.facts.inference, "image"),
    "classification_val_input": lambda k: _in(k.facts.eval, "images", "images_val"),
    "label_gt_cache": lambda k: _in(k.facts.inference, "label.json"),
    "od_images": lambda k: _path(_own(k), "images"),
    "od_labels": lambda k: _path(_own(k), "labels"),
    "od_annotations": lambda k: _path(_own(k), "annotations.json"),
    "create_od_tfrecords": lambda k: _path(_own(k), "tfrecords"),
    "augment_out": lambda k: _path(_own(k), "augment"),
    "root": lambda k: _text(k.facts.own.root) if k.facts.own is not None else None,
    "unet_val_images": lambda k: _path(k.facts.eval, "images/val"),
    "unet_val_labels": lambda k: _path(k.facts.eval, "masks/val"),
    "unet_test_images": lambda k: _path(k.facts.eval, "images/test"),
    "unet_test_labels": lambda k: _path(k.facts.eval, "masks/test"),
    "cal_image_dir": _calibration,
    "cal_image_dir_list": _calibration_list,
    "bpnet_coco_spec": lambda k: _path(_train(k), "coco_spec.json"),
    "bpnet_infer": lambda k: _path(_train(k), "val2017"),
    "fpenet_data_json": lambda k: _path(_train(k), "data.json"),
    "fpenet_inference_data": lambda k: _text(k.facts.train[0].root) if k.facts.train else None,
}


def spec_file(parent: ParentFacts) -> Path:
    """The path of a job's specification file, beside its results."""
    return parent.results.parent / f"{SPEC_NAME}{SUFFIXES[parent.catalogued.spec_format]}"


def writes_spec(job: ParentFacts) -> bool:
    """Whether the job's command line names its specification file."""
    commands = job.catalogued.file.commands
    return commands is None or not SPEC_FUNCTIONS.isdisjoint(commands.get(job.action, {}).values())


def _grandparent_spec(context: Context) -> Value:
    parent = context.facts.parent
    if parent is None:
        return None
    above = parent.parent
    has_one = above is not None and above.action != "dataset_convert" and writes_spec(above)
    return str(spec_file(above if above is not None and has_one else parent))


def _bpnet_records(context: Context) -> str | None:
    """Prefix of the record files (`train-fold-…`, `val-fold-…`), which a training expects beside the images."""
    mode = (context.facts.spec or {}).get("mode") or "train"
    return _path(_own(context) or _train(context), "train" if mode == "train" else "val")


def _pose_output(context: Context) -> str:
    """The folder that a pose conversion writes to: its dataset, else the results."""
    dataset = context.facts.own or _train(context)
    return f"{dataset.root}/" if dataset is not None else context.output_dir
