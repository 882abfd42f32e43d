"""One device in one line, as detailed as the width allows."""

from __future__ import annotations

from time import monotonic

from rich.text import Text
from textual.widget import Widget

from taod.types import reason_text
from taod.types.device import Device
from tui import format
from tui.devices.sparkline import ReadingHistory
from tui.theme import DIM, GREEN, RED, SOFT, TEXT, YELLOW

NARROW, WIDE, WIDEST = 90, 110, 150
MOVE_EVERY_S = 9.0
"""The sparklines advance at this interval without new readings."""
LONG_NAME, SHORT_NAME, SHORTEST_NAME = 30, 16, 10
LIMIT_C = 90.0
"""Temperature from which the value is drawn in red."""


def label(device: Device) -> str:
    """Short name: `gpu0`, `cpu1`."""
    return f"{device.kind.value}{device.index}"


class DeviceHistory:
    """Utilisation and memory of a device over the last minutes."""

    def __init__(self) -> None:
        self.load, self.memory = ReadingHistory(), ReadingHistory()

    def add(self, device: Device, at: float) -> None:
        """Add the current readings."""
        if device.utilisation_percent is not None:
            self.load.add(at, device.utilisation_percent / 100)
        if device.memory_used_bytes is not None and device.memory_total_bytes:
            self.memory.add(at, device.memory_used_bytes / device.memory_total_bytes)


def line(device: Device, width: int, name_cells: int, history: DeviceHistory | None = None, now: float = 0.0) -> Text:
    """A device's line, `width` cells at most, `name_cells` of them for its name; `history` up to `now`: sparklines."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("● " if device.leases else "○ ", style=GREEN if device.leases else DIM)
    text.append(label(device).upper().ljust(6), style=f"bold {TEXT}")
    room = min(name_cells, LONG_NAME if width >= WIDE else SHORT_NAME if width >= NARROW else SHORTEST_NAME)
    text.append(f"{_clip(name(device), room):<{room}}  ", style=SOFT)
    text.append_text(_figures(device, width, history or DeviceHistory(), now))
    return text.append_text(holder(device))


def name(device: Device) -> str:
    """Name of the device without the vendor."""
    return device.name.removeprefix("NVIDIA ")


def holder(device: Device) -> Text:
    """The jobs that lease it, or why it cannot be leased."""
    if device.leases:
        text = Text()
        for number, lease in enumerate(device.leases):
            text.append(" · " if number else "")
            if not lease.job_id:
                text.append("another user's run", style=DIM)
                continue
            text.append(f"{lease.action} ", style=TEXT)
            text.append(format.short(lease.job_id), style=GREEN)
            text.append(f" {lease.network}", style=DIM)
        free = device.slots - len(device.leases)
        if free > 0:
            text.append(f" · {free} of {device.slots} slots free", style=DIM)
        return text
    if device.busy_reason:
        return Text(reason_text.text(device.busy_reason), style=YELLOW)
    return Text("free" if device.slots == 1 else f"free, {device.slots} slots", style=DIM)


def _figures(device: Device, width: int, history: DeviceHistory, now: float) -> Text:
    """Bars and numbers for the readings that the device has."""
    text, cells = Text(), 20 if width >= WIDEST else 12 if width >= WIDE else 6 if width >= NARROW else 5
    if device.utilisation_percent is not None:
        text.append("util ", style=DIM)
        text.append_text(history.load.drawn(now, cells))
        text.append(f" {device.utilisation_percent:3.0f}%  ", style=TEXT)
    if device.memory_used_bytes is not None and device.memory_total_bytes:
        text.append("mem " if width >= NARROW else "", style=DIM)
        if width >= WIDE:
            text.append_text(history.memory.drawn(now, cells))
        else:
            share = device.memory_used_bytes / device.memory_total_bytes
            text.append_text(format.bar(share, cells - 1, format.heat(share)))
        used, total = device.memory_used_bytes / format.GIB, device.memory_total_bytes / format.GIB
        text.append(f" {used:.1f}/{total:.0f}G  " if width >= WIDE else f" {used:.0f}/{total:.0f}G  ", style=TEXT)
    if device.temperature_c is not None:
        colour = RED if device.temperature_c >= LIMIT_C else SOFT
        text.append(f"{device.temperature_c:.0f}°C  ", style=colour)
    if device.power_w is not None and width >= WIDE:
        limit = f"/{device.power_limit_w:.0f}" if device.power_limit_w else ""
        text.append(f"{device.power_w:.0f}{limit}W  ", style=SOFT)
    return text


def _clip(words: str, width: int) -> str:
    return words if len(words) <= width else words[: width - 1] + "…"


class DeviceRow(Widget):
    """Draws one device."""

    def __init__(self, device: Device, name_cells: int) -> None:
        super().__init__(classes="device")
        self.device = device
        self._name_cells = name_cells
        self._history = DeviceHistory()
        self._history.add(device, monotonic())

    def on_mount(self) -> None:
        self.set_interval(MOVE_EVERY_S, self.refresh)

    def show_device(self, device: Device) -> None:
        """Show new readings."""
        self._history.add(device, monotonic())
        self.device = device
        self.refresh()

    def render(self) -> Text:
        return line(self.device, self.size.width, self._name_cells, self._history, monotonic())
