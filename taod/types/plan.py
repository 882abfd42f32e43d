"""Answer of a dry run for a job that is not created: command line, environment and specification file."""

from __future__ import annotations

import msgspec

from taod.types.release import BASE
from taod.types.warning import Warning


class PlannedJob(msgspec.Struct):
    """One job as it would be created and run now. Its id and folder are placeholders: `dry-run-1`, `dry-run-2`, …"""

    id: str
    network: str
    action: str
    parent_id: str | None
    """An existing job, or one of the same plan."""
    runner: str
    """Empty if no runner can run it here; a warning names the reason and the remedy."""
    image: str
    devices_wanted: int
    argv: list[str]
    """The tool's own command line; secrets are masked."""
    executes: list[str]
    """The command line that the runner would execute."""
    environment: dict[str, str]
    """Variables set for the run. Its devices are chosen when it starts."""
    reads: list[str]
    """Folders and files that it reads."""
    spec_path: str | None = None
    spec_format: str | None = None
    """`yaml`, `protobuf` or `json`."""
    spec_text: str | None = None
    """Content of the specification file."""
    later: list[str] = []
    """Fields that get their value from the parent's artifacts once it is done."""
    waits_for: str | None = None
    """The reason why it would wait, other than its parent and a device."""
    release: str = BASE
    """The release of the tools that its specification is of."""
    warnings: list[Warning] = []
    """Warnings of the job about its specification and its data."""
