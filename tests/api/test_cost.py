"""What a start and a request must not cost: unused libraries, tasks for two dependencies."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from litestar.routes import HTTPRoute

from store import Store

SLOW = ["httpx", "numpy", "prometheus_client", "pydantic", "sqlite_utils", "textual", "torch"]
_START = f"""
import sys
import taod.cli.main, taod.cli.commands.serve, taod.daemon
from taod.api.app import create_app
from taod.config import Config
from taod.services.composition import open_services

config = Config()
config.storage.root = sys.argv[1]
create_app(open_services(config))
print(*[name for name in {SLOW} if name in sys.modules])
"""


def test_a_start_loads_no_library_that_it_does_not_need(tmp_path: Path) -> None:
    Store.open(tmp_path / "taod.db").close()
    started = subprocess.run([sys.executable, "-c", _START, str(tmp_path)], capture_output=True, text=True, check=True)
    assert started.stdout.split() == []


async def test_dependencies_come_one_after_the_other(server) -> None:
    routes = [route for route in server.app.routes if isinstance(route, HTTPRoute)]
    handlers = [(route, handler) for route in routes for handler in route.route_handlers]
    assert handlers
    for route, handler in handlers:
        batches = handler.create_kwargs_model(path_parameters=route.path_parameters).dependency_batches
        assert all(len(batch) == 1 for batch in batches), handler
