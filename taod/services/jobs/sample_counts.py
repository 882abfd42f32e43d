"""Counts the training samples of networks whose samples are not images, and the identities of re-identification.

A POST waits for these counts, so folders with more than `MAX_LISTED` names are not counted.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from taod.catalogue import preflight
from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.schema.merge import get
from taod.datasets.formats import arrays
from taod.datasets.formats.types import Problem

MAX_LISTED = 20_000
"""Number of names read per dataset."""

Spec = dict[str, Any]


def samples(facts: JobFacts, spec: Spec) -> int | None:
    """Number of training samples; None if they are images or cannot be counted."""
    count = _COUNTS.get(facts.network)
    return count(facts.train[0].root, spec) if count is not None and facts.train else None


def identities(facts: JobFacts) -> int | None:
    """Number of persons that re-identification trains on, from file names (`0001_c1s1.jpg`); None if unknown."""
    if "identities" not in preflight.network_facts(facts.catalogued).classes.values() or not facts.train:
        return None
    names = _names(facts.train[0].root / "sample_train")
    if names is None:
        return None
    found = {number for name in names if (number := name.partition("_")[0]).lstrip("-").isdigit()}
    return len(found - {"-1"}) or None


def _videos(root: Path, _: Spec) -> int | None:
    """Number of folders `train/<class>/<video>/`."""
    found = list(islice(_subfolders(root / "train"), MAX_LISTED + 1))
    return len(found) if 0 < len(found) <= MAX_LISTED else None


def _subfolders(folder: Path) -> Iterator[Path]:
    try:
        for below in folder.iterdir():
            yield from (each for each in below.iterdir() if each.is_dir()) if below.is_dir() else ()
    except OSError:
        return


def _sequences(root: Path, spec: Spec) -> int | None:
    """First dimension of the training array."""
    path = get(spec, "dataset.train_dataset.data_path")
    if not isinstance(path, str) or not path.startswith(f"{root}/"):
        return None
    shape = arrays.shape(root, path.removeprefix(f"{root}/"))
    return shape[0] if not isinstance(shape, Problem) and shape else None


def _scans(root: Path, _: Spec) -> int | None:
    names = _names(root / "train/lidar")
    return None if names is None else sum(name.endswith(".bin") for name in names) or None


_COUNTS: dict[str, Callable[[Path, Spec], int | None]] = {
    "action_recognition": _videos,
    "pose_classification": _sequences,
    "pointpillars": _scans,
}


def _names(folder: Path) -> list[str] | None:
    """The names in a folder; None if it cannot be read or has too many."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in islice(entries, MAX_LISTED + 1)]
    except OSError:
        return None
    return names if len(names) <= MAX_LISTED else None
