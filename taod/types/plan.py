"""A dry run's answer about a job that it does not create: command line, environment and specification file."""

from __future__ import annotations

import msgspec

from taod.types.release import BASE
from taod.types.warning import Warning


class PlannedJob(msgspec.Struct):
    """One job as it would be made and run now. Its id and folder are stand-ins: `dry-run-1`, `dry-run-2`, …"""

    id: str
    network: str
    action: str
    parent_id: str | None
    """A job that exists, or one of the same plan."""
    runner: str
    """Empty where no runner can run it here; a warning names the reason and the remedy."""
    image: str
    devices_wanted: int
    argv: list[str]
    """The tool's own command line; secrets are masked."""
    executes: list[str]
    """What the runner would execute for it."""
    environment: dict[str, str]
    """What is set for the run. Which devices it gets is decided when it starts."""
    reads: list[str]
    """Folders and files that it reads."""
    spec_path: str | None = None
    spec_format: str | None = None
    """`yaml`, `protobuf` or `json`."""
    spec_text: str | None = None
    """The spec file as it would be written."""
    later: list[str] = []
    """Fields that get their value from what the parent leaves behind, once it is done."""
    waits_for: str | None = None
    """What it would wait for besides its parent and a device."""
    release: str = BASE
    """The release of the tools that its specification is of."""
    warnings: list[Warning] = []
    """What its job would warn of: the specification, the data it reads, one against the other."""
