"""The result of a dry run as text. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from rich.console import Group
from rich.text import Text

from taod.types.plan import PlannedJob
from taod.types.warning_text import text
from tui import format
from tui.theme import BLUE, DIM, GREEN, SOFT, TEXT, YELLOW


def drawn(plan: Sequence[PlannedJob]) -> Group:
    """Each job with its parent, runner, devices and command line; specification files at the end."""
    names = {job.id: job.action for job in plan}
    parts: list[Text] = []
    for number, job in enumerate(plan, 1):
        head = Text(f"{number}  {job.action}", style=f"bold {TEXT}")
        if job.parent_id is not None:
            parent = names.get(job.parent_id) or f"job {format.short(job.parent_id)}"
            head.append(f"  on {parent}", style=SOFT)
        devices = "1 device" if job.devices_wanted == 1 else f"{job.devices_wanted} devices"
        head.append(f"  by {job.runner or 'no runner'}, {devices}", style=DIM)
        parts.append(head)
        parts.append(Text("   ").append(shlex.join(job.argv), style=GREEN))
        if job.waits_for:
            parts.append(Text(f"   waits for {job.waits_for}", style=YELLOW))
        if job.later:
            parts.append(Text(f"   filled in when its parent is done: {', '.join(job.later)}", style=SOFT))
        parts += [Text(f"   {text(warning)}", style=YELLOW) for warning in job.warnings]
    for job in plan:
        if job.spec_text:
            parts.append(Text(f"\n{job.action}: specification file ({job.spec_format})", style=f"bold {SOFT}"))
            parts.append(Text(job.spec_text.rstrip(), style=BLUE))
    return Group(*parts)
