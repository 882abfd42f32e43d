"""Hints to install an extra fit the way in which taod was installed."""

from __future__ import annotations

import json
import re
import shutil
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from taod import installed, program
from taod.installed import Way, add, way

REPOSITORY = Path(__file__).parents[2]


class Distribution:
    """What the environment records about where taod came from (PEP 610)."""

    def __init__(self, origin: dict[str, Any] | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return None if self._origin is None else json.dumps(self._origin)


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment with taod of the package index, whose bin folder is the first in PATH."""
    (tmp_path / "bin").mkdir()
    for name in ("python", "pip"):
        (tmp_path / "bin" / name).touch(0o755)
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    monkeypatch.setenv("PATH", f"{tmp_path}/bin")
    came_from(monkeypatch, None)
    return tmp_path


def came_from(monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | None) -> None:
    monkeypatch.setattr(installed, "distribution", lambda name: Distribution(origin))


def test_pip_of_the_active_environment(prefix: Path) -> None:
    assert way() is Way.PIP and add("engine") == "pip install 'taod[engine]'"


def test_pip_of_another_environment_than_the_shells(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/usr/bin")
    assert add("engine") == f"{prefix}/bin/python -m pip install 'taod[engine]'"


def test_an_environment_without_pip(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "find_spec", lambda name: None)
    assert add("web") == f"uv pip install --python {prefix}/bin/python 'taod[web]'"


def test_a_clone(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    came_from(monkeypatch, {"url": folder.as_uri(), "dir_info": {"editable": True}})
    assert add("engine") == f"pip install -e '{folder}[engine]'"
    folder.rmdir()
    assert add("engine") == "pip install 'taod[engine]'"


def test_a_repository(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    came_from(monkeypatch, {"url": "https://example.org/taod.git", "vcs_info": {"vcs": "git", "commit_id": "1"}})
    assert add("mcp") == "pip install 'taod[mcp] @ git+https://example.org/taod.git'"


def test_a_uv_tool_keeps_its_extras(prefix: Path) -> None:
    receipt = prefix / "uv-receipt.toml"
    receipt.write_text('[tool]\nrequirements = [{ name = "taod", extras = ["docker"] }]\n')
    assert way() is Way.UV and add("engine") == "uv tool install 'taod[docker,engine]'"
    receipt.write_text("damaged")
    assert add("engine") == "uv tool install 'taod[engine]'"


def test_pipx_keeps_its_extras(prefix: Path) -> None:
    file = prefix / "pipx_metadata.json"
    file.write_text(json.dumps({"main_package": {"package": "taod", "package_or_url": "taod[web, docker]"}}))
    assert way() is Way.PIPX and add("engine") == "pipx install --force 'taod[docker,engine,web]'"
    file.write_text("{}")
    assert add("engine") == "pipx install --force 'taod[engine]'"


def test_the_executable_names_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "FROZEN", True)
    assert way() is Way.EXECUTABLE
    start = "install 'taod[engine]' in a Python environment"
    assert add("engine") == f"{start} and use its taod"
    assert add("engine", then="and x") == f"{start} and x"


def test_this_environment() -> None:
    origin = metadata.distribution("taod").read_text("direct_url.json")
    assert origin is None or way() is Way.PIP
    assert "[docker]" in add("docker")


def test_a_service_starts_the_file_and_not_what_it_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert program.durable("serve") == [sys.executable, "-m", "taod", "serve"]
    monkeypatch.setattr(program, "FROZEN", True)
    monkeypatch.setenv("TAOD_PROGRAM", "/opt/taod")
    assert program.durable("serve") == ["/opt/taod", "serve"]
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert program.typed() == "/opt/taod"


def test_only_one_module_starts_this_program_again() -> None:
    """`sys.executable` is no Python in the executable: what runs it must accept what taod/program.py writes."""
    shown = {"taod/program.py", "taod/installed.py", "taod/cli/commands/doctor.py", "runners/embedded.py"}
    others = {"runners/toolenv/interpreters.py"}  # asks another Python for its own
    folders = [REPOSITORY / name for name in ("taod", "tui", "store", "runners")]
    files = {
        str(file.relative_to(REPOSITORY))
        for folder in folders
        for file in folder.rglob("*.py")
        if "sys.executable" in file.read_text(encoding="utf-8")
    }
    assert files == shown | others


def test_the_page_lists_every_extra() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (REPOSITORY / "docs/install.md").read_text(encoding="utf-8")
    rows = [line for line in page.partition("## Extras")[2].splitlines() if line.startswith("| `")]
    listed = {name for row in rows for name in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert listed == set(project["optional-dependencies"])
