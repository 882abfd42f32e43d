"""Reads an experiment spec: YAML, overrides of the command line, typed settings with errors that name the path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from runners.engine.errors import SpecError
from taod.catalogue.network import get
from taod.catalogue.specfiles.parse import ParseError, parse
from taod.documents import Document, DocumentError, read_value, read_yaml

T = TypeVar("T")


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """Options of an export that may quantize, and the images of an inference, as which those of a calibration are
    read."""

    data_type: str = "fp32"
    cal_image_dir: str | None = None
    batches: Annotated[int, Meta(ge=1)] = 10
    image_dir: str | None = None

    @property
    def int8(self) -> bool:
        return self.data_type == "int8"


class CommandLine(Calibrated, frozen=True, kw_only=True):
    """Options of the TF1 tools' command lines, which are parameters at the top of the document."""

    gpus: int | None = None
    use_amp: bool = False
    model_path: str | None = None
    """Evaluate and inference."""
    model: str | None = None
    """Export and prune."""
    output_file: str | None = None
    batch_size: Annotated[int, Meta(ge=1)] | None = None


def read(path: Path, overrides: Sequence[str] = (), network: str = "", action: str = "") -> Document:
    """The spec's document with `a.b=c` overrides put in, in the format of the network. Raises SpecError."""
    catalogued = get(network)
    protobuf = catalogued is not None and catalogued.spec_format == "protobuf"
    # An export and a pruning are given the specification of their training.
    table = "train" if action in ("export", "prune") else action
    try:
        text = path.read_text(encoding="utf-8")
        document = _bare(parse("protobuf", text, network, table)) if protobuf else read_yaml(text)
    except OSError as error:
        raise SpecError(f"The experiment spec {path} cannot be read: {error.strerror or error}.") from None
    except (DocumentError, ParseError, UnicodeDecodeError) as error:
        kind = "protobuf text" if protobuf else "YAML"
        raise SpecError(f"The experiment spec {path} is not valid {kind}: {' '.join(str(error).split())}.") from None
    if document is None:
        document = {}
    if not isinstance(document, dict):
        raise SpecError(f"The experiment spec {path} must be a mapping at its top, not a {type(document).__name__}.")
    for override in overrides:
        _put(document, override)
    return document


def _put(document: Document, override: str) -> None:
    name, equals, text = override.partition("=")
    parts = name.lstrip("+").split(".")
    if not equals or not all(parts):
        raise SpecError(f"The override '{override}' must look like a.b=value.")
    value = read_value(text)
    group = document
    for depth, part in enumerate(parts[:-1], 1):
        inner = group.get(part)
        if inner is None:
            inner = group[part] = {}
        if not isinstance(inner, dict):
            raise SpecError(f"The override '{override}' does not fit: {'.'.join(parts[:depth])} is not a group.")
        group = inner
    group[parts[-1]] = value


def with_options(document: Document, options: Mapping[str, str]) -> Document:
    """The document with the options of the command line as parameters at its top."""
    return document | {name: read_value(value) for name, value in options.items()}


def _bare(value: Any) -> Any:
    """The same nested value with the members of enums as plain names: `__FLOAT32__` is `FLOAT32`."""
    if isinstance(value, dict):
        return {key: _bare(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_bare(inner) for inner in value]
    is_member = isinstance(value, str) and value.startswith("__") and value.endswith("__") and len(value) > 4
    return value[2:-2] if is_member else value


def convert(document: Document, into: type[T]) -> T:
    """The document as a Struct: nulls count as absent, unknown keys are let pass. Raises SpecError naming the path."""
    try:
        return msgspec.convert(without_nulls(_bare(document)), into, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        name = where.strip("`").removeprefix("$").removeprefix(".") or "the spec"
        raise SpecError(f"{name}: {what[:1].lower()}{what[1:].replace('`', '')}.") from None


def without_nulls(value: Any) -> Any:
    """The same nested value without keys whose value is null."""
    if isinstance(value, dict):
        return {str(key): without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value]
    return value


def lookup(document: Any, path: str) -> Any:
    """The value at a dotted path, or None where any part is missing."""
    for part in path.split("."):
        if not isinstance(document, dict):
            return None
        document = document.get(part)
    return document
