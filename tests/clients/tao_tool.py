"""Every network's entry point, scripted: reads the TAO command line and spec, checks what it is given, writes what the
real tools write.

It is run under the network's own name (a link to this file), by any Python without packages. What it does at an action
of a network is in the tables below; it learns everything else from its command line and its spec file, as the real ones
do: where results go, which weights to read and how to call those it leaves.

A train stops before its second epoch while there is a FIFO `hold/<network>` beside the folder of the links: it waits
there until something is written into it, or it is signalled to end.
"""

import json
import re
import signal
import sys
import time
from pathlib import Path

RESULTS = ("results_dir", "model_dir", "output_dir", "output-dataset", "output_folder")
"""Options that name the folder for results; where there is none the spec says it, or a file that is to be written."""
WRITTEN = {
    "export": ("output_file", "output_path", "out_file", "onnx_file"),
    "prune": ("output_file", "pruned_file"),
    "gen_trt_engine": ("engine_file", "trt_engine", "cal_cache_file", "cal_data_file"),
    "trtexec": ("saveEngine",),
    "inference": ("output_file", "label_dump_path"),
    "generate": ("label_dump_path",),
}
"""Options or spec fields that name files which the action writes."""
TO_BE_MADE = {"engine_file", "save_engine", "saveEngine", "cal_cache_file", "cal_data_file", "calib", "output_file"}
"""Fields that may name files which are not there and are not needed."""
CHECKPOINTS = {
    "action_recognition": "ar_model_epoch={0:03}.tlt",
    "bpnet": "weights/model.epoch-{0}.hdf5",
    "classification_pyt": "epoch_{0}.pth",
    "classification_tf1": "weights/classification_tf1_resnet_{0:03}.hdf5",
    "classification_tf2": "train/classification_tf2_resnet_{0:03}.tlt",
    "deformable_detr": "dd_model_epoch={0:03}.pth",
    "detectnet_v2": "weights/model.epoch-{0}.hdf5",
    "dino": "dino_model_epoch={0:03}.pth",
    "efficientdet_tf1": "model.step-{0}.hdf5",
    "efficientdet_tf2": "train/efficientdet-d0_{0:03}.tlt",
    "fpenet": "model.epoch-{0}.hdf5",
    "lprnet": "weights/lprnet_epoch-{0:03}.hdf5",
    "mal": "vit-mae-base_epoch={0:03}.pth",
    "mask_rcnn": "model.epoch-{0}.hdf5",
    "ml_recog": "ml_model_epoch={0:03}.pth",
    "multitask_classification": "weights/multitask_cls_resnet18_epoch_{0:03}.hdf5",
    "ocdnet": "ocd_model_epoch={0:03}.pth",
    "ocrnet": "ocrnet_epoch={0:03}.pth",
    "optical_inspection": "oi_model_epoch={0:03}.pth",
    "pointpillars": "checkpoint_epoch_{0}.tlt",
    "pose_classification": "pc_model_epoch={0:03}.tlt",
    "re_identification": "reid_model_epoch={0:03}.tlt",
    "segformer": "iter_{0}.pth",
    "unet": "weights/model.epoch-{0}.hdf5",
}
"""How a network calls its checkpoints; the rest write `weights/<network>_resnet18_epoch_NNN.hdf5`."""
WEIGHTS = re.compile(r"\.(tlt|hdf5|pth|onnx|engine|etlt)$")
WORKS_ON_WEIGHTS = frozenset({"evaluate", "inference", "prune", "export", "gen_trt_engine"})
FIND_THEIR_OWN = frozenset(
    (
        *("bpnet", "detectnet_v2", "efficientdet_tf1", "fpenet", "mask_rcnn", "unet"),
        *("classification_tf2", "efficientdet_tf2", "mal", "segformer"),
    )
)
"""Trainings that search their results folder for checkpoints themselves."""
COUNTS_AGAIN = frozenset({"mal"})
"""Trainings whose status lines begin with epoch 1 after a resume too; their checkpoints are named from 0."""
COUNTS_FROM_0 = frozenset({"pointpillars"})
"""Trainings whose status lines begin with epoch 0."""
EPOCHS = 2


def main() -> int:
    network = Path(sys.argv[0]).name
    action, rest = (network, sys.argv[1:]) if network in ("trtexec", "augment") else (sys.argv[1], sys.argv[2:])
    options = dict(word.removeprefix("--").partition("=")[::2] for word in rest)
    spec = read_spec(options)
    words = [(name, value) for name, value in options.items() if "." in name]
    given = [*options.items(), *spec, *words]
    print(f"{network} {action}: {len(options)} options, {len(spec)} fields of a spec", flush=True)
    if action == "trtexec":
        write(Path(options["saveEngine"]))
        return 0
    results = results_of(network, action, given)
    status = Status(results)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    status.say(status="STARTED", message=f"Starting {network} {action}")
    read = weights_to_read(action, given)
    missing = [path for path in read if not Path(path).exists()]
    if missing or (action in WORKS_ON_WEIGHTS and not read):
        what = missing[0] if missing else "model given"
        status.say(status="FAILURE", verbosity="ERROR", message=f"there is no {what}")
        return 1
    if action == "train":
        train(network, results, status, read if network not in FIND_THEIR_OWN else left_in(results))
    else:
        work(network, action, results, given, status)
    status.say(status="SUCCESS", message=f"{action} finished successfully")
    return 0


def read_spec(options: dict) -> list:
    """The fields of the spec file as (last name, text) pairs; YAML and protobuf text look alike to it."""
    path = next((value for name, value in options.items() if "spec" in name or name == "augmentation-proto"), None)
    if path is None:
        return []
    found = re.findall(r"^[\s-]*([\w-]+): *(\S.*)?$", Path(path).read_text(), re.MULTILINE)
    return [(name, value.strip().strip("\"'")) for name, value in found]


def results_of(network: str, action: str, given: list) -> str:
    """The folder for results, as the command line or the spec reports it."""
    fields = dict(reversed(given))
    if network == "ocrnet" and action == "dataset_convert":
        # Its conversion reports into the dataset: the last value, which is that of its own group or of an override.
        fields["results_dir"] = [value for name, value in given if name.rpartition(".")[2] == "results_dir"][-1]
    folder = next((fields[name] for name in RESULTS if fields.get(name)), None)
    if folder is None:
        written = (fields[name] for names in WRITTEN.values() for name in names if fields.get(name))
        folder = str(Path(next(written)).parent)
    Path(folder).mkdir(parents=True, exist_ok=True)
    return folder


def weights_to_read(action: str, given: list) -> list:
    """Weights that the command line or the spec names, except those that the action creates."""
    made = {*WRITTEN.get(action, ()), *TO_BE_MADE}
    return [
        path
        for name, value in given
        if name not in made
        for path in value.split(",")
        if path.startswith("/") and WEIGHTS.search(path)
    ]


class Status:
    """status.json: one object a line, each written at once."""

    def __init__(self, results: str) -> None:
        self._path = Path(results, "status.json")

    def say(self, **fields: object) -> None:
        now = time.localtime()
        stamp = {
            "date": f"{now.tm_mon}/{now.tm_mday}/{now.tm_year}",
            "time": f"{now.tm_hour}:{now.tm_min}:{now.tm_sec}",
            "status": "RUNNING",
            "verbosity": "INFO",
        }
        with self._path.open("a") as handle:
            handle.write(json.dumps(stamp | fields) + "\n")


def left_in(results: str) -> list:
    return [str(path) for path in sorted(Path(results).rglob("*")) if WEIGHTS.search(path.name)]


def train(network: str, results: str, status: Status, weights: list) -> None:
    """Epochs up to the last; after a stop those that are not there yet."""
    resumed = next((path for path in weights if path.startswith(results)), "")
    print("continues from", resumed, flush=True) if resumed else print("starts afresh", flush=True)
    first = 0 if network in COUNTS_AGAIN else 1
    started = int(re.findall(r"\d+", Path(resumed).stem)[-1]) + 1 - first if resumed else 0
    name = CHECKPOINTS.get(network, f"weights/{network}_resnet18_epoch_{{0:03}}.hdf5")
    for epoch in range(started + 1, EPOCHS + 1):
        if epoch > 1:
            hold(network)
        write(Path(results, name.format(epoch - 1 + first)))
        status.say(
            epoch=epoch - started if network in COUNTS_AGAIN else epoch - 1 if network in COUNTS_FROM_0 else epoch,
            max_epoch=EPOCHS,
            eta=f"0:00:0{EPOCHS - epoch}.5",
            time_per_epoch="0:00:01.25",
            message="Training loop in progress",
            kpi={"loss": 1.0 / epoch, "val_accuracy": f"{1 - 0.5 / epoch}", "mean average precision": 0.2 * epoch},
            graphical={"lr": 0.001},
        )


def hold(network: str) -> None:
    gate = Path(sys.argv[0]).parent.parent / "hold" / network
    if gate.exists():
        print("waits at", gate, flush=True)
        gate.read_bytes()


def work(network: str, action: str, results: str, given: list, status: Status) -> None:
    for name, value in given:
        if name in WRITTEN.get(action, ()):
            write(Path(results, value))
    if action == "prune" and not any(name in WRITTEN["prune"] for name, _ in given):
        suffix = ".pth" if network in ("ocdnet", "pointpillars") else ".tlt"
        write(Path(results, f"pruned_model{suffix}"))
    if action == "evaluate":
        status.say(
            message="Evaluation",
            kpi={"mean average precision": 0.61},
            categorical={"average_precision": {"car": 0.61, "person": "nan"}},
        )
    if action == "inference":
        write(Path(results, "labels", "1.txt"))
    if "convert" in action:
        prefix = next((value for name, value in given if name == "output_filename"), None)
        write(Path(f"{prefix}-fold-000-of-001") if prefix else Path(results, "tfrecords-00000-of-00001"))


def write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(path.name)


if __name__ == "__main__":
    sys.exit(main())
