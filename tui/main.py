"""Run the dashboard for a daemon that was found."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from taod.client import AsyncClient
from taod.client.find import find
from taod.types.common import DaemonInfo
from tui.app import Dashboard, Look


def run(info: DaemonInfo, *, look: Look = "dark", bell: bool = True, ascii_only: bool | None = None) -> int:
    """Run until the user quits; returns the exit code.

    A daemon found by its root is found again after a restart with another port or token.
    """
    rediscover = partial(find, Path(info.root)) if info.root and info.pid else None
    dashboard = Dashboard(AsyncClient.from_info(info), rediscover, look=look, bell=bell, ascii_only=ascii_only)
    dashboard.run()
    return dashboard.return_code or 0
