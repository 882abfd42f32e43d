"""`taod serve`: run the daemon. It prints one line with its address, root, devices and dashboard command."""

from __future__ import annotations

import gc
import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from taod.cli.support.options import config_option, configured, root_option
from taod.types.device import Device, DeviceKind

if TYPE_CHECKING:
    from taod.services import Services
    from taod.types.common import DaemonInfo


@click.command()
@root_option
@click.option("--host", help="Address to listen on; loopback unless server.allow_remote is set.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 chooses a free port.")
@config_option
@click.option("--detach", is_flag=True, help="Serve in the background and return; `taod stop` ends the daemon.")
@click.option("--in-background", is_flag=True, hidden=True, help="Write to the log only, once it serves.")
def serve(
    root: Path | None, host: str | None, port: int | None, config_file: Path | None, detach: bool, in_background: bool
) -> None:
    """Serve the API until Ctrl-C. Runs outlive the daemon; the next `taod serve` re-adopts them."""
    if detach:
        from taod.cli.support import background

        given = {"--root": root, "--host": host, "--port": port, "--config": config_file}
        options = [f"{name}={value}" for name, value in given.items() if value is not None]
        _, line = background.start(*options)
        click.echo(line)
        return
    gc.disable()  # Objects loaded at startup stay alive; collections would take 7 % of the startup.
    config = configured(config_file, root, **{"server.host": host, "server.port": port})
    from taod.daemon import serve as serve_daemon

    def announce(info: DaemonInfo, services: Services) -> None:
        _announce(info, services)
        if in_background:
            with Path(os.devnull).open("w") as nowhere:
                for stream in (sys.stdout, sys.stderr):
                    os.dup2(nowhere.fileno(), stream.fileno())

    raise SystemExit(serve_daemon(config, announce))


def _announce(info: DaemonInfo, services: Services) -> None:
    gc.freeze()
    gc.enable()
    devices = describe(services.devices_view.now())
    print(f"taod {info.version} at {info.url} · root {info.root} · {devices} · taod tui --root {info.root}", flush=True)


def describe(devices: list[Device]) -> str:
    """Devices in a few words: `2 × NVIDIA H100 PCIe`, `1 CPU slot`."""
    gpus = Counter(device.name for device in devices if device.kind is DeviceKind.GPU)
    slots = sum(device.slots for device in devices if device.kind is DeviceKind.CPU)
    words = [f"{count} × {name}" for name, count in gpus.items()]
    words += [f"{device.slots} runs on {device.name}" for device in devices if device.kind is DeviceKind.CLUSTER]
    if slots:
        words.append(f"{slots} CPU slot{'s' if slots > 1 else ''}")
    return ", ".join(words) or "no devices"
