"""What the networks endpoints tell: actions, formats, and which runner can do each."""

from __future__ import annotations

import msgspec


class ActionInfo(msgspec.Struct):
    """One action of a network, and the runners that can do it here, best first."""

    name: str
    runners: list[str] = []
    takes_spec: bool = True


class NetworkInfo(msgspec.Struct):
    """One network architecture or dataset type of the catalogue."""

    name: str
    kind: str
    """`network` or `dataset`."""
    dataset_type: str
    formats: list[str]
    image: str
    spec_format: str
    """`yaml`, `protobuf` or `json`."""
    actions: list[ActionInfo]
    metric: str | None = None
