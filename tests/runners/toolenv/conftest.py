"""An index of tiny packages, and installers of the tool in it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.toolenv.environments import Environments
from runners.toolenv.install import Installer
from runners.toolenv.spec import ToolSpec
from taod.types.tool import Consent, Environment, ToolProgress

from .wheels import MACHINE, PYTHON, index, pip_settings, tool_spec

CONSENT = Consent("Tiny Licence", "2026-01-01T00:00:00+00:00", "tester")


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return index(tmp_path_factory.mktemp("index") / "packages")


@pytest.fixture
def environments(tmp_path: Path) -> Environments:
    return Environments(tmp_path / "tools")


def installer(environments: Environments, packages: Path) -> Callable[..., Environment]:
    """Installs the tool; keywords replace what is usual."""

    def run(spec: ToolSpec | None = None, **given: Any) -> Environment:
        consent, python = given.pop("consent", CONSENT), given.pop("python", None)
        given = {
            "cpu": False,
            "report": lambda progress: None,
            "machine": lambda folder: MACHINE,
            "environ": os.environ | pip_settings(packages),
        } | given
        return Installer(environments, spec or tool_spec(), **given).install(consent, python=python)

    return run


@pytest.fixture
def install(environments: Environments, packages: Path) -> Callable[..., Environment]:
    return installer(environments, packages)


@pytest.fixture(scope="session")
def shared(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Environments, Environment]:
    """An installed tool, of which no test changes more than its own modules."""
    environments = Environments(tmp_path_factory.mktemp("shared") / "tools")
    return environments, installer(environments, packages)()


@pytest.fixture
def made(shared: tuple[Environments, Environment], tmp_path: Path) -> Iterator[Environment]:
    """The shared tool, whose modules are restored after the test."""
    modules = Path(shared[1].path, f"lib/python{PYTHON}/site-packages/tiny_tool")
    shutil.copytree(modules, tmp_path / "modules")
    yield shared[1]
    shutil.rmtree(modules)
    shutil.copytree(tmp_path / "modules", modules)


@pytest.fixture
def reports() -> list[ToolProgress]:
    return []
