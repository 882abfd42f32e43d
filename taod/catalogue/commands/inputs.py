"""What a command line is assembled from: facts of one job, gathered by a service, in types of the catalogue's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


class DatasetFacts(msgspec.Struct, frozen=True):
    """A dataset on disk."""

    root: Path
    type: str
    format: str
    classes: list[str] = []
    """The classes that were found in it; empty: what its own class list says."""
    name: str = ""
    images: int | None = None
    """None: not counted."""
    parts: dict[str, int] = {}
    """Images of each split."""
    highest_class_id: int | None = None
    lowest_class_id: int | None = None
    extensions: dict[str, int] = {}
    """Images by extension as written (`.jpg`), the most common first."""
    linked: Path | None = None
    """The linked folder that the names in `root` lead to, where `root` is a view of it."""


class ParentFacts(msgspec.Struct, frozen=True):
    """A finished job that this one follows."""

    network: str
    action: str
    results: Path
    spec: dict[str, Any] | None = None
    parent: ParentFacts | None = None
    scores: dict[int, float] = {}
    """What each epoch is worth, higher is better, where the best checkpoint is wanted; empty: the latest is."""


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything about a job that its command line and its spec file depend on."""

    network: str
    action: str
    folder: Path
    """The job's folder; the spec file is written in it."""
    results: Path
    """The job's results folder; what lies there from an earlier attempt is what a resume goes on from."""
    spec: dict[str, Any] | None
    key: str
    ptms: list[Path] = []
    """Weight files or folders of the model's PTMs."""
    parent: ParentFacts | None = None
    train: list[DatasetFacts] = []
    eval: DatasetFacts | None = None
    inference: DatasetFacts | None = None
    calibration: DatasetFacts | None = None
    own: DatasetFacts | None = None
    """The dataset that a dataset's job works on."""
    gpus: int = 0
    """GPUs that the job will hold; 0 on a CPU slot."""


class Assembled(msgspec.Struct, frozen=True):
    """A job ready for a runner: the tool's command line, and its spec file."""

    argv: list[str]
    """`[network, action, --field=value, …]`."""
    image: str
    spec_path: Path | None
    spec_text: str | None
    reads: list[Path]
    """Folders and files that the run reads."""
    environment: dict[str, str] = {}
    then: list[list[str]] = []
    """Further command lines of the same run, one after the other, each of the same tool."""
    status_folder: Path | None = None
    """Where the tool writes status.json, where that is not below the results."""
    files: dict[Path, str] = {}
    """Other files in the job's folder that the command line names, with their text."""
    writes: list[Path] = []
    """Folders outside the job's own that the run writes to: the dataset that a conversion works on."""
