"""`taod device`: GPUs and CPU slots, the jobs on them, and their load."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import with_client
from taod.cli.support.output import Columns, Output, short, size, with_output
from taod.types.device import Device
from taod.types.reason_text import text

if TYPE_CHECKING:
    from taod.client import AsyncClient


def _memory(device: Device) -> str:
    if device.memory_total_bytes is None:
        return ""
    return f"{size(device.memory_used_bytes)} / {size(device.memory_total_bytes)}"


def _jobs(device: Device) -> str:
    return ", ".join(f"{lease.action} {short(lease.job_id)} ({lease.network})" for lease in device.leases)


def _measured(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.0f} {unit}"


COLUMNS: Columns[Device] = {
    "device": lambda device: device.id,
    "name": lambda device: device.name,
    "slots": lambda device: f"{len(device.leases)}/{device.slots}",
    "jobs": _jobs,
    "memory": _memory,
    "utilisation": lambda device: _measured(device.utilisation_percent, "%"),
    "temperature": lambda device: _measured(device.temperature_c, "°C"),
    "power": lambda device: _measured(device.power_w, "W"),
    "unavailable because": lambda device: "" if device.busy_reason is None else text(device.busy_reason),
}


@click.group()
def device() -> None:
    """GPUs and CPU slots that jobs run on."""


@device.command("ls")
@with_client
@with_output
async def ls(client: AsyncClient, out: Output) -> None:
    """List devices with the jobs that lease them."""
    out.listing(await client.devices.list(), COLUMNS)
