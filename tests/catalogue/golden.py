"""Renders the command lines and specification files of every action, on realistic facts, as golden files.

`python -m tests.catalogue.golden` rewrites the files under golden/; review the changes.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from taod.catalogue.commands.assemble import assemble
from taod.catalogue.commands.inputs import Assembled, DatasetFacts, JobFacts, ParentFacts
from taod.catalogue.network import get_network
from taod.catalogue.releases import BASE, KNOWN
from taod.catalogue.schema import merge
from taod.catalogue.schema.tables import index
from taod.catalogue.specfiles import parse

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(name for name, entry in index().items() if entry.actions)
LATER = sorted((entry.release, name) for name, entry in index(KNOWN[-1]).items() if entry.release != BASE)
"""(release, network) of the facts after 5.0; their golden files lie in a folder named after the release."""

# Each action with what it follows, in the order of the published notebooks.
CHAIN = (
    ("dataset_convert", ()),
    ("train", ()),
    ("evaluate", ("train",)),
    ("confmat", ("train",)),
    ("inference", ("train",)),
    ("distill", ("train",)),
    ("evaluate", ("distill", "train")),
    ("quantize", ("train",)),
    ("evaluate", ("quantize", "train")),
    ("prune", ("train",)),
    ("retrain", ("prune", "train")),
    ("evaluate", ("retrain", "prune", "train")),
    ("export", ("train",)),
    ("gen_trt_engine", ("export", "train")),
    ("trtexec", ("export", "train")),
    ("evaluate", ("gen_trt_engine", "export", "train")),
    ("inference", ("gen_trt_engine", "export", "train")),
)

SHOP = "metric_learning_recognition/retail-product-checkout-dataset_classification_demo"
_CLASSIFIED = {
    "T": ("images_train/cat/1.png", "classes.txt=cat\ndog\n", "train.csv", "val.csv"),
    "E": ("images_val/cat/1.png", "classes.txt=cat\ndog\n", "val.csv"),
    "I": ("images_test/1.png", "classmap.json"),
    "C": ("images_train/cat/1.png",),
}
_DETECTED = {
    **dict.fromkeys("TEC", ("images/1.png", "labels/1.txt", "annotations.json", "tfrecords/x")),
    "I": ("images/1.png", "labels/1.txt", "annotations.json", "label_map.txt", "label.json"),
}
_SEGMENTED = dict.fromkeys("TEIC", ("images/train/1.png", "images/val/1.png", "images/test/1.png", "masks/val/1.png"))
_FILES: dict[str, dict[str, tuple[str, ...]]] = {
    "image_classification": _CLASSIFIED,
    "object_detection": _DETECTED,
    "instance_segmentation": _DETECTED,
    "semantic_segmentation": _SEGMENTED,
    "character_recognition": dict.fromkeys("TEIC", ("image/1.png", "label/1.txt", "characters.txt")),
    "ocrnet": {"T": ("train/gt_new.txt", "character_list"), **dict.fromkeys("EIC", ("test/gt_new.txt", "train/1.png"))},
    "ocdnet": {
        "T": ("train/img/1.png",),
        "E": ("test/img/1.png",),
        "I": ("test/img/1.png",),
        "C": ("train/img/1.png",),
    },
    "ml_recog": dict.fromkeys("TEIC", (f"{SHOP}/known_classes/test/a/1.png", f"{SHOP}/unknown_classes/test/b/1.png")),
}
"""Dataset type -> files of each dataset; `name=text` has content."""

_CHECKPOINTS = {
    "action_recognition": "ar_model_epoch=010.tlt",
    "pose_classification": "pc_model_epoch=010.tlt",
    "re_identification": "reid_model_epoch=010.tlt",
    "deformable_detr": "dd_model_epoch=010.pth",
    "dino": "dino_model_epoch=010.pth",
    "ml_recog": "ml_model_epoch=010.pth",
    "ocdnet": "ocd_model_epoch=010.pth",
    "ocrnet": "ocrnet_epoch=010.pth",
    "optical_inspection": "oi_model_epoch=010.pth",
    "mal": "vit-mae_epoch=010.pth",
    "classification_pyt": "epoch_10.pth",
    "segformer": "iter_1000.tlt",
    "pointpillars": "checkpoint_epoch_10.tlt",
    "detectnet_v2": "weights/model.epoch-10.hdf5",
    "mask_rcnn": "model.step-1000.hdf5",
    "efficientdet_tf1": "model.epoch-10.hdf5",
    "classification_tf2": "train/classification_tf2_resnet_010.tlt",
    "efficientdet_tf2": "train/efficientdet-d0_010.tlt",
    "bpnet": "bpnet_model.step-1000.hdf5",
    "fpenet": "model.epoch-10.hdf5",
    "lprnet": "weights/lprnet_epoch-10.hdf5",
    "unet": "weights/model.epoch-10.hdf5",
}
_KEPT = {
    "classification_tf2": "pruned_model.tlt",
    "efficientdet_tf1": "pruned_model.hdf5",
    "efficientdet_tf2": "pruned_model.tlt",
    "ocdnet": "pruned_model.pth",
}
"""The pruned model that is kept beside a retrained one."""
_LEFT = {
    "prune": {"pytorch": "model.pth", "tf2": "model.tlt", "tf1": "model.hdf5"},
    "export": {"": "model.onnx"},
    "gen_trt_engine": {"": "model.engine"},
    "trtexec": {"": "model.engine"},
}


class Stage:
    """Datasets and jobs in a folder; what is shown of them has short names instead of the folder."""

    def __init__(self, folder: Path, name: str, release: str = BASE) -> None:
        self.folder = folder
        self.network = get_network(name, release)
        self.data = {letter: self._dataset(letter) for letter in "TEIC"}
        is_dataset = self.network.kind == "dataset"
        self.own = DatasetFacts(self.data["T"].root, name, "any", classes=["car"]) if is_dataset else None
        _make(folder, ["start/weights.pth" if self.network.image == "tlt-pytorch" else "start/weights.hdf5"])
        self._jobs: dict[tuple[str, ...], tuple[ParentFacts, Assembled, dict[str, Any]]] = {}

    def _dataset(self, letter: str) -> DatasetFacts:
        kind = self.network.dataset_type
        _make(self.folder / letter, _FILES.get(kind, {}).get(letter, ()))
        (self.folder / letter).mkdir(exist_ok=True)
        return DatasetFacts(self.folder / letter, kind, "any")

    def job(self, chain: tuple[str, ...]) -> tuple[ParentFacts, Assembled, dict[str, Any]]:
        """The first action of the chain, run after all that follow it in the chain."""
        if chain not in self._jobs:
            parent = self.job(chain[1:])[0] if len(chain) > 1 else None
            facts = self._facts(chain, parent)
            made = assemble(facts)
            if made.spec_path is not None and made.spec_text is not None:
                made.spec_path.write_text(made.spec_text)
            _make(facts.results, self._left(chain[0]))
            shown = ParentFacts(facts.network, facts.action, facts.results, facts.spec, parent, release=facts.release)
            self._jobs[chain] = (shown, made, facts.spec or {})
        return self._jobs[chain]

    def _facts(self, chain: tuple[str, ...], parent: ParentFacts | None) -> JobFacts:
        action = chain[0]
        folder = self.folder / "-".join(reversed(chain))
        (folder / "results").mkdir(parents=True)
        is_model = self.own is None
        return JobFacts(
            network=self.network.name,
            release=self.network.release,
            action=action,
            folder=folder,
            results=folder / "results",
            spec=merge.default(self.network, action) if self.network.takes_spec(action) else None,
            key="KEY" if is_model else "",
            ptms=[self.folder / "start"] if is_model else [],
            parent=parent,
            train=[self.data["T"]] if is_model else [],
            eval=self.data["E"] if is_model else None,
            inference=self.data["I"] if is_model else None,
            calibration=self.data["C"] if is_model else None,
            own=self.own,
            gpus=1,
        )

    def _left(self, action: str) -> list[str]:
        name, image = self.network.name, self.network.image
        if action in ("train", "distill", "retrain") and self.network.release != BASE and image == "tlt-pytorch":
            folder = "distill" if action == "distill" else "train"
            return [f"{folder}/model_epoch_010_step_00011.pth"]
        if action == "quantize":
            return ["quantize/quantized_model_torchao.pth"]
        if action in ("train", "retrain"):
            plain = f"weights/{name}_resnet18_epoch_010.hdf5"
            kept = _KEPT.get(name) if action == "retrain" else None
            return [_CHECKPOINTS.get(name, plain), "classmap.json", *([kept] if kept else [])]
        names = _LEFT.get(action, {})
        return [names.get(image.rpartition("-")[2]) or names[""]] if names else []

    def short(self, text: str) -> str:
        return text.replace(f"{self.folder}/", "@")


def render(name: str, folder: Path, release: str = BASE) -> str:
    """The golden file of one network."""
    stage = Stage(folder, name, release)
    actions = stage.network.actions
    chains = [
        (action, *after)
        for action, after in CHAIN
        if action in actions and all(before in actions for before in after) and _allowed(stage, action, after)
    ]
    chains += [(action,) for action in actions if action not in {one for one, _ in CHAIN}]
    parts = [f"# {name}: what each action is run with. @T/ train, @E/ evaluation, @I/ inference, @C/ calibration data."]
    parts += [_render(stage, chain) for chain in chains]
    return "\n\n".join(parts) + "\n"


def _allowed(stage: Stage, action: str, after: tuple[str, ...]) -> bool:
    return not after or after[0] in stage.network.may_follow(action)


def _render(stage: Stage, chain: tuple[str, ...]) -> str:
    _, made, _ = stage.job(chain)
    lines = [f"## {' on '.join(chain)}", f"$ {stage.short(shlex.join(made.argv))}", f"image {made.image}"]
    if made.spec_path is None or made.spec_text is None:
        return "\n".join([*lines, "no spec file"])
    if len(chain) > 1 and any(made.spec_text == stage.job(chain[n:])[1].spec_text for n in range(1, len(chain))):
        return "\n".join([*lines, f"{made.spec_path.name}: the same as the job's before it"])
    lines += _changes(stage, chain[0], made)
    if chain[0] in ("train", "convert", "generate", "analyze"):
        lines.append(f"{made.spec_path.name}, whole:")
        lines += [f"  {line}" for line in stage.short(made.spec_text).splitlines()]
    return "\n".join(lines)


def _changes(stage: Stage, action: str, made: Assembled) -> list[str]:
    """Differences between the specification file and the action's default."""
    assert made.spec_path is not None and made.spec_text is not None
    spec_format = made.spec_path.suffix.removeprefix(".")
    written = dict(_flat(parse.parse(spec_format, made.spec_text, stage.network, action)))
    copied = "parent_spec_copied" in (stage.network.file.commands or {}).get(action, {}).values()
    training = stage.job(("train",))[1].spec_text if copied else None
    document = parse.parse(spec_format, training, stage.network, "train") if training else None
    default = dict(_flat(document if document is not None else merge.default(stage.network, action)))
    lines = [f"{made.spec_path.name}, against {'the default' if document is None else 'that of the training'}:"]
    for path, value in written.items():
        if path not in default or default[path] != value:
            lines.append(stage.short(f"  + {path}: {json.dumps(value)}"))
    lines += [f"  - {path}" for path, value in default.items() if path not in written and value not in ([], None)]
    return lines if len(lines) > 1 else [f"{lines[0]} no difference"]


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _make(folder: Path, names: Iterable[str]) -> None:
    for entry in names:
        name, _, text = entry.partition("=") if "epoch=" not in entry else (entry, "", "")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text or "content")


def write() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for name in NAMES:
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / f"{name}.txt").write_text(render(name, Path(folder)), encoding="utf-8")
    for release, name in LATER:
        (GOLDEN / release).mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            (GOLDEN / release / f"{name}.txt").write_text(render(name, Path(folder), release), encoding="utf-8")


if __name__ == "__main__":
    write()
