"""One device in one line: as much of it as the width allows. Pure but for the widget around it."""

from __future__ import annotations

from rich.text import Text
from textual.widget import Widget

from taod.types.device import Device
from tui import format
from tui.theme import DIM, GREEN, RED, SOFT, TEXT, YELLOW

WIDE = 110
LONG_NAME, SHORT_NAME = 30, 16
LIMIT_C = 90.0
"""Temperature at which the figure is drawn as being at its limit."""


def label(device: Device) -> str:
    """`gpu0`, `cpu1`: how other parts of the screen name it."""
    return f"{device.kind.value}{device.index}"


def line(device: Device, width: int, name_cells: int) -> Text:
    """A device's line, `width` cells at most; `name_cells` go to its name at most."""
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append("● " if device.leases else "○ ", style=GREEN if device.leases else DIM)
    text.append(label(device).upper().ljust(6), style=f"bold {TEXT}")
    room = min(name_cells, LONG_NAME if width >= WIDE else SHORT_NAME)
    text.append(f"{_clip(name(device), room):<{room}}  ", style=SOFT)
    text.append_text(_figures(device, width))
    return text.append_text(holder(device))


def name(device: Device) -> str:
    """What the device is called, without what everybody knows."""
    return device.name.removeprefix("NVIDIA ")


def holder(device: Device) -> Text:
    """Who uses it, or why nobody may."""
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
        return Text(device.busy_reason, style=YELLOW)
    return Text("free" if device.slots == 1 else f"free, {device.slots} slots", style=DIM)


def _figures(device: Device, width: int) -> Text:
    """Bars and numbers for what the device can tell; nothing for what it cannot."""
    text, bar_width = Text(), 10 if width >= WIDE else 5
    if device.utilisation_percent is not None:
        load = device.utilisation_percent / 100
        text.append("util ", style=DIM)
        text.append_text(format.bar(load, bar_width, format.heat(load)))
        text.append(f" {device.utilisation_percent:3.0f}%  ", style=TEXT)
    if device.memory_used_bytes is not None and device.memory_total_bytes:
        share = device.memory_used_bytes / device.memory_total_bytes
        text.append("mem ", style=DIM)
        text.append_text(format.bar(share, bar_width, format.heat(share)))
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

    def tell(self, device: Device) -> None:
        """Show newer figures."""
        if device != self.device:
            self.device = device
            self.refresh()

    def render(self) -> Text:
        return line(self.device, self.size.width, self._name_cells)
