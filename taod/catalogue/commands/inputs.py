"""Inputs and output of the assembly: the facts of one job, gathered by a service, and its command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from taod.catalogue import releases
from taod.catalogue.network import Network, get_network
from taod.documents import Document


class DatasetFacts(msgspec.Struct, frozen=True):
    """A dataset on disk."""

    root: Path
    type: str
    format: str
    classes: list[str] = []
    """The classes found in its labels; empty: those of its class list."""
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
    """The linked folder, where `root` is a view of one."""


class ParentFacts(msgspec.Struct, frozen=True):
    """A finished job that this one follows."""

    network: str
    action: str
    results: Path
    spec: dict[str, Any] | None = None
    parent: ParentFacts | None = None
    scores: dict[int, float] = {}
    """Epoch -> score (higher is better), to choose the best checkpoint; empty: the latest is chosen."""
    release: str = releases.BASE

    @property
    def catalogued(self) -> Network:
        """Its network in its release; raises KeyError for an unknown one."""
        return get_network(self.network, self.release)


class JobFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a job's command line and specification file depend on."""

    network: str
    action: str
    folder: Path
    """The job's folder; the spec file is written in it."""
    results: Path
    """The job's results folder; a resume continues from the files of an earlier attempt in it."""
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
    """The dataset of a dataset's job."""
    gpus: int = 0
    """GPUs that the job will hold; 0 on a CPU slot."""
    release: str = releases.BASE
    """Of the tool: decides the command line and the parameters."""

    @property
    def catalogued(self) -> Network:
        """Its network in its release; raises KeyError for an unknown one."""
        return get_network(self.network, self.release)


class Assembled(msgspec.Struct, frozen=True):
    """A job ready for a runner: command line and specification file."""

    argv: list[str]
    """`[network, action, --field=value, …]`."""
    image: str
    spec_path: Path | None
    spec_text: str | None
    reads: list[Path]
    """Folders and files that the run reads."""
    further: Document = {}
    """Parameters that the user set and that the tool takes neither as an option nor in a specification file: only
    taod's engine reads them."""
    environment: dict[str, str] = {}
    then: list[list[str]] = []
    """Further command lines of the same tool, run one after the other."""
    status_folder: Path | None = None
    """The folder of status.json where it is not below the results."""
    files: dict[Path, str] = {}
    """Other files in the job's folder that the command line names: path -> text."""
    writes: list[Path] = []
    """Folders outside the job's folder that the run writes to: the dataset of a conversion."""
