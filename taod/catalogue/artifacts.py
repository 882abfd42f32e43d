"""Finds what a job left behind that a later one works on: weights, ONNX models, engines. Looks only at names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from pathlib import Path

from taod.catalogue.network import Network, of

_CHECKPOINTS = (".tlt", ".hdf5", ".pth")
_LIGHTNING = "="
_STEP = "step"
_EXPORTED = (".onnx", ".uff", ".etlt")
_LEADING_NUMBER = re.compile(r"\d+")
_PTM_SUFFIXES = (".tlt", ".hdf5", ".pth", ".pth.tar")
_PTM_FOLDERS = frozenset({"classification_tf2", "efficientdet_tf2"})
_KEEPS_PRUNED = frozenset({"efficientdet_tf1", "efficientdet_tf2", "classification_tf2", "ocdnet"})


def weights(
    network: Network | str, action: str, results: Path, scores: Mapping[int, float] | None = None
) -> Path | None:
    """What a finished job offers to one that follows it, or None.

    Training: the checkpoint of the best epoch where `scores` are given (higher is better) and can be told to belong
    to checkpoints, else of the highest epoch; prune: the pruned model; export: the ONNX model; gen_trt_engine
    and trtexec: the engine. Files still being written (names that start with a dot or end in .tmp) do not count.
    """
    if action in ("train", "retrain", "finetune"):
        separator = of(network).checkpoint_separator
        return (best(network, results, scores) if scores else None) or _trained(separator, results)
    if action == "prune":
        return _first(_below(results), _CHECKPOINTS)
    if action == "export":
        return _first(_below(results), _EXPORTED)
    if action in ("gen_trt_engine", "trtexec"):
        engines = (results / "model.engine", results / action / "model.engine")
        return next((path for path in engines if path.is_file()), None)
    return None


def best(network: Network | str, results: Path, scores: Mapping[int, float]) -> Path | None:
    """The checkpoint of the epoch that scored best, of equals the later one; None where that cannot be told.

    It can where a checkpoint's name counts what the scores count. PyTorch Lightning's names (`epoch=011`) may count
    from 0 and the status file from 1, which nothing tells; names with steps in them count no epochs.
    """
    separator = of(network).checkpoint_separator
    if separator == _LIGHTNING:
        return None
    scored = [
        (scores[epoch], epoch, path)
        for epoch, path in checkpoints(separator, results)
        if epoch in scores and _STEP not in path.name
    ]
    return max(scored, key=lambda one: one[:2])[2] if scored else None


def checkpoints(separator: str, results: Path) -> list[tuple[int, Path]]:
    """(epoch, file) of everything that a training left behind where it may have, in the order of looking."""
    found: list[tuple[int, Path]] = []
    for path in _candidates(results):
        epoch = epoch_of(path.name, separator)
        if epoch is not None:
            found.append((epoch, path))
    return found


def resume(network: Network | str, action: str, results: Path) -> Path | None:
    """The checkpoint that a stopped training goes on from: the last whole one of this same job, or None."""
    return weights(network, action, results) if action in ("train", "retrain", "finetune") else None


def pretrained(network: Network | str, place: Path) -> Path | None:
    """The weights of a PTM: the file itself, the first weight file below its folder, or for TF2 the folder."""
    if of(network).name in _PTM_FOLDERS and place.is_dir():
        return place
    if place.is_file():
        return place
    files = list(_below(place))
    return next((found for suffix in _PTM_SUFFIXES if (found := _first(files, (suffix,)))), None)


def pruned_to_keep(network: Network | str, action: str, parent_results: Path) -> tuple[Path, str] | None:
    """The parent's pruned model that has to lie beside a finished retrain, and the name it gets there."""
    if action != "retrain" or of(network).name not in _KEEPS_PRUNED:
        return None
    found = _first(_below(parent_results), _CHECKPOINTS)
    return (found, f"pruned_model{found.suffix}") if found is not None else None


def epoch_of(name: str, separator: str) -> int | None:
    """The epoch in a checkpoint's name: `epoch_12.pth` with `_` -> 12, `dd_model_epoch=012.pth` with `=` -> 12."""
    stem = name.rpartition(".")[0]
    _, found, last = stem.rpartition(separator)
    number = _LEADING_NUMBER.match(last) if found else None
    return int(number.group()) if number else None


def _trained(separator: str, results: Path) -> Path | None:
    """The checkpoint of the highest epoch, of equals the first; else one that is called `model`, else `…_latest`."""
    found = checkpoints(separator, results)
    if found:
        return max(found, key=lambda one: one[0])[1]
    others = list(_candidates(results))
    named = [path for path in others if path.stem == "model"]
    return next(iter(named + [path for path in others if path.stem.endswith("_latest")]), None)


def _candidates(results: Path) -> Iterator[Path]:
    for parts in product(("", "best_model"), ("", "weights"), ("", "train")):
        folder = results.joinpath(*filter(None, parts))
        if folder.is_dir():
            # unet saves each checkpoint as a folder `model.epoch-N.tlt`.
            yield from (path for path in sorted(folder.iterdir()) if path.suffix in _CHECKPOINTS and _whole(path))


def _whole(path: Path) -> bool:
    return not path.name.startswith(".") and not path.name.endswith(".tmp")


def _below(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if _whole(path) and path.is_file())


def _first(files: Iterable[Path], suffixes: tuple[str, ...]) -> Path | None:
    """The first file with the earliest of the suffixes, in order of names."""
    ordered = list(files)
    return next((path for suffix in suffixes for path in ordered if path.name.endswith(suffix)), None)
