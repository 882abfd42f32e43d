"""Lists the tools that can be installed with their environments on this machine, and checks an environment again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from runners.toolenv import own_modules
from runners.toolenv.check import check
from runners.toolenv.environments import Environments
from runners.toolenv.install import CHECK
from taod.errors import Conflict
from taod.types.tool import Environment, ToolInfo, ToolProgress, ToolState


def tools_of(environments: Environments) -> list[ToolInfo]:
    """Every release of every tool that taod knows, each with its environments."""
    found = environments.all()
    return [
        ToolInfo(
            tool=spec.tool,
            release=spec.release,
            package=spec.package,
            title=spec.title,
            python=spec.python,
            licence=spec.licence.name,
            download_mb=spec.download_mb,
            disk_mb=spec.disk_mb,
            cpu_download_mb=spec.cpu_download_mb,
            cpu_disk_mb=spec.cpu_disk_mb,
            environments=[each for each in found if (each.tool, each.release) == (spec.tool, spec.release)],
        )
        for spec in environments.specs.all()
    ]


def check_again(
    environments: Environments, name: str, report: Callable[[ToolProgress], None] = lambda _: None
) -> Environment:
    """Update taod's own modules in an environment, import every action again, and record the result.

    Returns the checked environment. Raises NotFound, and Conflict if its installation is incomplete.
    """
    with environments.lock(environments.get(name).name):
        environment = environments.get(name)
        if environment.state is not ToolState.READY:
            raise Conflict(f"{name} is not installed whole; repeat `taod tools install {environment.tool}` first")
        spec = environments.specs.get(environment.tool, environment.release)
        own_modules.add(Path(environment.path), spec, cpu=environment.cpu)
        count = len(environment.entry_points)
        at, began = iter(range(1, count + 1)), time.monotonic()
        checked = check(
            environment,
            spec.probe,
            lambda entry: report(
                ToolProgress(name, next(at, count), count, CHECK, entry, elapsed_s=time.monotonic() - began)
            ),
        )
        environments.write(checked)
        return checked
