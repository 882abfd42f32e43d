"""Parameters in paths, queries and headers for the OpenAPI document, with their types and descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from taod.catalogue import Catalogue, releases
from taod.types.common import JobSort, Sort
from taod.types.dataset import DatasetType, UploadMode
from taod.types.network import NetworkArch
from taod.types.state import State, Status

Document = dict[str, Any]

_VARIABLE = re.compile(r"\{(\w+)\}")
_SHA256 = "^[0-9a-fA-F]{64}$"
_DIGEST = "^sha-256=:[A-Za-z0-9+/]{43}=:$"
_HEADER_PATTERNS = {
    "Content-Range": r"^bytes ([0-9]+-[0-9]+|\*)/[0-9]+$",
    "Content-Digest": _DIGEST,
    "Repr-Digest": _DIGEST,
}
_TEXT: Document = {"type": "string"}
_UUID: Document = {"type": "string", "format": "uuid"}
_NUMBER: Document = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_FLAG: Document = {"type": "boolean"}

_PATHS: dict[str, tuple[str, Document]] = {
    "user_id": ("User ID", _UUID),
    "dataset_id": ("ID of Dataset", _UUID),
    "model_id": ("ID of Model", _UUID),
    "job_id": ("Job ID", _UUID),
    "action": ("Action name; a model's or a dataset's `actions` lists those that it has", _TEXT),
    "number": ("Number of a sample, from 0", _TEXT),
    "path": ("Path of a file, as in the list of files", _TEXT),
    "name": ("A network architecture or a type of datasets", {"type": "string", "enum": Catalogue().names()}),
    "tool": ("Name of a tool or of an installed environment, as the list of tools has them", _TEXT),
    "key": ("A key that `taod user add` has created", _TEXT),
}


def _one_of(kind: Iterable[str]) -> Document:
    return {"type": "string", "enum": list(kind)}


_QUERIES: dict[str, tuple[str, Document]] = {
    "skip": ("Optional skip for pagination", _NUMBER),
    "size": ("Optional size for pagination; all without it", _NUMBER),
    "sort": ("Optional sort; date-descending without it", _one_of(Sort)),
    "job_sort": ("Optional sort; date-descending without it", _one_of(JobSort)),
    "name": ("Optional name filter: a part of it, in any case", _TEXT),
    "type": ("Optional type filter", _one_of(DatasetType)),
    "arch": ("Optional network architecture filter", _one_of(NetworkArch)),
    "network_arch": ("The same as `arch`", _one_of(NetworkArch)),
    "read_only": ("Optional read_only filter", _FLAG),
    "status": ("Statuses, joined by commas", {"type": "array", "items": _one_of(Status), "minItems": 1}),
    "state": ("States, joined by commas", {"type": "array", "items": _one_of(State), "minItems": 1}),
    "action": ("Action", _TEXT),
    "network": ("Network architecture, or type of the dataset", _TEXT),
    "dataset": ("Id of a dataset that the job read", _TEXT),
    "metric": ("Name of a metric; without it the main metric of the newest job that reports its own", _TEXT),
    "text": ("Part of an id, a name or a description, in any case", _TEXT),
    "trials": ("Only trials of sweeps, or only other jobs", _FLAG),
    "dry_run": ("Create no job: respond with 200 and the jobs that would be created", _FLAG),
    "popular": ("Only parameters that are shown first, or only others", _FLAG),
    "required": ("Only required parameters, or only others", _FLAG),
    "automl": ("Only parameters that are swept by default, or only others", _FLAG),
    "hidden": ("Also parameters that the schema does not show", _FLAG),
    "release": (
        "Release of NVIDIA's tools; without it 5.0, or the first that has the network",
        {"type": "string", "pattern": releases.pattern()},
    ),
    "to": ("Release of NVIDIA's tools; without it the present one", {"type": "string", "pattern": releases.pattern()}),
    "tail": ("The last lines only, this many", _NUMBER),
    "boxes": ("Draw the boxes or masks; true without it", _FLAG),
    "follow": ("Continue until the job ends", _FLAG),
    "plain": ("As a terminal would show it: without colours, progress bars in their last state", _FLAG),
    "mode": ("Whether the dataset's files are replaced or added to", _one_of(UploadMode)),
    "sha256": ("SHA-256 of the archive; on a mismatch nothing is kept", {"type": "string", "pattern": _SHA256}),
    "filename": ("Name of the archive, if the body has none", _TEXT),
    "last_event_id": ("Continue after this event; the header Last-Event-ID takes precedence", _TEXT),
}

_EXAMPLES: dict[str, Any] = {
    "user_id": "5d0f4a6e-1c2b-4a3d-9e8f-7a6b5c4d3e2f",
    "dataset_id": "3f0c8e7a-52b4-4d1e-9c55-1f6f1b0c2a10",
    "model_id": "8a4b1f52-9d0e-4b3c-8f5a-6f3f0a7d9c21",
    "job_id": "c1d2e3f4-0a1b-4c2d-8e3f-4a5b6c7d8e9f",
    "number": "0",
    "path": "results/status.json",
    "tool": "pytorch-7.3.0",
    "key": "a-key-of-taod-user-add",
    "release": "7.3",
    "to": "7.3",
    "skip": 20,
    "size": 20,
    "sort": Sort.NAME_ASCENDING,
    "job_sort": JobSort.DATE_ASCENDING,
    "type": DatasetType.IMAGE_CLASSIFICATION,
    "arch": NetworkArch.CLASSIFICATION_PYT,
    "network_arch": NetworkArch.CLASSIFICATION_PYT,
    "status": [Status.PENDING, Status.RUNNING],
    "state": [State.QUEUED],
    "action": "train",
    "network": "classification_pyt",
    "dataset": "3f0c8e7a-52b4-4d1e-9c55-1f6f1b0c2a10",
    "metric": "val_loss",
    "text": "flower",
    "tail": 100,
    "filename": "flowers.tar.gz",
    "mode": UploadMode.ADD,
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "Content-Range": "bytes 0-67108863/2154967040",
    "Content-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    "Repr-Digest": "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
    "last_event_id": "4d9978c1-26",
    "Range": "bytes=0-99",
    "Last-Event-ID": "4d9978c1-26",
}
"""Name of a parameter → example; flags have true, and `name` has one for paths and one for queries."""

_HEADERS = {
    "Content-Range": "A part of the archive, `bytes START-END/TOTAL`; `bytes */TOTAL` without a body: a query",
    "Content-Digest": "SHA-256 of this body (RFC 9530), `sha-256=:<base64>:`; on a mismatch the body is dropped",
    "Repr-Digest": "SHA-256 of the whole archive, in the same form; of an upload in parts, in the last one",
    "Range": "One range of bytes (RFC 9110), as in `bytes=0-99`; anything else returns the whole",
    "Last-Event-ID": "Continue after this event",
}


def parameters(path: str, queries: Iterable[str], headers: Iterable[str]) -> list[Document]:
    """The parameters of one operation in its path, query and headers."""
    found = [_path(name) for name in _VARIABLE.findall(path)]
    found += [_query(name) for name in queries]
    return found + [_header(name) for name in headers]


def _path(name: str) -> Document:
    description, schema = _PATHS[name]
    parameter = {"name": name, "in": "path", "required": True, "description": description, "schema": schema}
    return parameter | {"example": "dino" if name == "name" else _EXAMPLES[name]}


def _query(name: str) -> Document:
    description, schema = _QUERIES[name]
    parameter: Document = {
        "name": "sort" if name == "job_sort" else name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
        "example": "flower" if name == "name" else schema is _FLAG or _EXAMPLES[name],
    }
    if schema["type"] == "array":
        parameter |= {"style": "form", "explode": False}
    return parameter


def _header(name: str) -> Document:
    schema = _TEXT | ({"pattern": _HEADER_PATTERNS[name]} if name in _HEADER_PATTERNS else {})
    return {"name": name, "in": "header", "required": False, "description": _HEADERS[name], "schema": schema} | {
        "example": _EXAMPLES[name]
    }
