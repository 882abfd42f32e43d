"""Finds the artifacts of a job that a later job needs: weights, ONNX models, engines. It goes by file names and takes
only complete checkpoints (`checkpoint_check.py`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path

from taod.catalogue.commands.checkpoint_check import fault
from taod.catalogue.network import Network, get_network

_CHECKPOINTS = (".tlt", ".hdf5", ".pth")
_STEP = "step"
_ANY = "*"
_INCOMPLETE = ".incomplete"
_STATES = (*_CHECKPOINTS, ".ckzip", ".ckpt", ".resume")
"""Files that trainings resume from, whether the tool finds them itself or is given their path."""
_EXPORTED = (".onnx", ".uff", ".etlt")
_TRAININGS = ("train", "distill", "retrain", "finetune")
_LEADING_NUMBER = re.compile(r"\d+")
_PTM_SUFFIXES = (".tlt", ".hdf5", ".pth", ".pth.tar")
_PTM_FOLDERS = frozenset({"classification_tf2", "efficientdet_tf2"})
_KEEPS_PRUNED = frozenset({"efficientdet_tf1", "efficientdet_tf2", "classification_tf2", "ocdnet"})


def weights(
    network: Network | str, action: str, results: Path, scores: Mapping[int, float] | None = None
) -> Path | None:
    """The artifact that a finished job passes on to the next one, or None.

    Training: the checkpoint of the best epoch where `scores` are given (higher is better) and can be assigned
    to checkpoints, else of the highest epoch; prune, quantize: the pruned or quantized model; export: the ONNX model;
    gen_trt_engine and trtexec: the engine. Files still being written (names that start with a dot or end in .tmp) do
    not count.
    """
    if action in _TRAININGS:
        entry = get_network(network)
        for pattern in (*entry.model_files, _ANY):
            found = (best(entry, results, scores, pattern) if scores else None) or _trained(entry, results, pattern)
            if found is not None:
                return found
        return None
    if action == "prune":
        return _first(_below(results), _CHECKPOINTS)
    if action == "quantize":
        return _first(_below(results), (*_CHECKPOINTS, *_EXPORTED))
    if action == "export":
        return _first(_below(results), _EXPORTED)
    if action in ("gen_trt_engine", "trtexec"):
        engines = (results / "model.engine", results / action / "model.engine")
        return next((path for path in engines if path.is_file()), None)
    return None


def best(network: Network | str, results: Path, scores: Mapping[int, float], pattern: str = _ANY) -> Path | None:
    """The checkpoint of the epoch with the best score, the later one of equal scores; None where scores cannot be
    assigned, as for names that count steps.

    A segformer checkpoint is named after an iteration, and the validation of it is reported under the last iteration
    logged before it, so a score between two checkpoints belongs to the later one.
    """
    entry = get_network(network)
    separator = entry.checkpoint_separator
    # Lightning's `epoch=0-step=12` ends in the step; `epoch_000_step_00012` has its epoch.
    named = [pair for pair in checkpoints(entry, results) if fnmatchcase(pair[1].name, pattern)]
    found = [pair for pair in named if _STEP not in pair[1].stem.rpartition(separator)[0]]
    if entry.status.step == "cur_iter":
        scores = _at_checkpoints(scores, [number for number, _ in found])
    scored = [(scores[epoch], epoch, path) for epoch, path in found if epoch in scores]
    ordered = sorted(scored, key=lambda one: one[:2], reverse=True)
    return next((path for _, _, path in ordered if fault(path) is None), None)


def _at_checkpoints(scores: Mapping[int, float], numbers: list[int]) -> dict[int, float]:
    """Checkpoint number -> the last score reported up to it and after the checkpoint before."""
    placed = {}
    for step in sorted(scores):
        later = [number for number in numbers if number >= step]
        if later:
            placed[min(later)] = scores[step]
    return placed


def checkpoints(network: Network | str, results: Path) -> list[tuple[int, Path]]:
    """(epoch, file) of every checkpoint of a training, in search order. Epochs count from 1, whatever the names count
    from. The files are not checked for completeness."""
    found = []
    for path in _candidates(results):
        epoch = epoch_of(path.name, network)
        if epoch is not None:
            found.append((epoch, path))
    return found


def resume(network: Network | str, action: str, results: Path) -> Path | None:
    """The checkpoint that a stopped training resumes from: the last complete one of the same job, or None."""
    entry = get_network(network)
    return _trained(entry, results, without=entry.model_files) if action in _TRAININGS else None


def incomplete(results: Path) -> list[tuple[Path, str]]:
    """(file, fault) of the incomplete checkpoints below `results`."""
    found = []
    for path in sorted(results.rglob("*")) if results.is_dir() else []:
        if path.suffix in _STATES and not path.is_symlink() and _finished(path) and (lack := fault(path)) is not None:
            found.append((path, lack))
    return found


def set_aside(path: Path) -> Path:
    """Rename an incomplete checkpoint so that no job and no tool that searches the folder reads it. Returns the new
    path."""
    return path.rename(path.with_name(path.name + _INCOMPLETE))


def pretrained(network: Network | str, place: Path) -> Path | None:
    """The weights of a PTM: the file itself, the first weight file below a folder, or for TF2 the folder."""
    if get_network(network).name in _PTM_FOLDERS and place.is_dir():
        return place
    if place.is_file():
        return place
    files = list(_below(place))
    return next((found for suffix in _PTM_SUFFIXES if (found := _first(files, (suffix,)))), None)


def pruned_to_keep(network: Network | str, action: str, parent_results: Path) -> tuple[Path, str] | None:
    """(file, name): the parent's pruned model to copy beside a finished retrain, and its name there."""
    if action != "retrain" or get_network(network).name not in _KEEPS_PRUNED:
        return None
    found = _first(_below(parent_results), _CHECKPOINTS)
    return (found, f"pruned_model{found.suffix}") if found is not None else None


def epoch_of(name: str, network: Network | str) -> int | None:
    """The epoch in a checkpoint's name, counted from 1: classification_pyt's `epoch_12.pth` -> 12, dino's
    `dino_model_epoch=011.pth` -> 12. Step and iteration numbers are left as they are."""
    entry = get_network(network)
    stem = name.rpartition(".")[0]
    _, found, last = stem.rpartition(entry.checkpoint_separator)
    number = _LEADING_NUMBER.match(last) if found else None
    return int(number.group()) + 1 - entry.first_checkpoint if number else None


def _trained(network: Network, results: Path, pattern: str = _ANY, without: Sequence[str] = ()) -> Path | None:
    """The complete checkpoint of the highest epoch, the first of equal ones; else the one named `model`, else
    `…_latest`."""

    def counts(path: Path) -> bool:
        return fnmatchcase(path.name, pattern) and not any(fnmatchcase(path.name, other) for other in without)

    numbered = sorted((one for one in checkpoints(network, results) if counts(one[1])), key=lambda one: -one[0])
    others = [path for path in _candidates(results) if counts(path)]
    named = [path for path in others if path.stem == "model"]
    latest = [path for path in others if path.stem.endswith("_latest")]
    return next((path for path in [*(path for _, path in numbered), *named, *latest] if fault(path) is None), None)


def _candidates(results: Path) -> Iterator[Path]:
    for parts in product(("", "best_model"), ("", "weights"), ("", "train", "distill")):
        folder = results.joinpath(*filter(None, parts))
        if folder.is_dir():
            # unet saves each checkpoint as a folder `model.epoch-N.tlt`.
            yield from (path for path in sorted(folder.iterdir()) if path.suffix in _CHECKPOINTS and _finished(path))


def _finished(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.endswith(".tmp")


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if _finished(path) and path.is_file())


def _first(files: Iterable[Path], suffixes: tuple[str, ...]) -> Path | None:
    """The first file with the earliest of the suffixes, in order of names."""
    ordered = list(files)
    return next((path for suffix in suffixes for path in ordered if path.name.endswith(suffix)), None)
