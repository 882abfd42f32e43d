"""`taod tools`: what it prints, its exit codes, and the licence that is asked for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from runners.toolenv.environments import PROGRESS, Environments, Progress
from taod.cli.main import command
from taod.types.tool import ActionCheck, EntryPoint, Environment, ToolState
from tests.runners.toolenv.wheels import index, pip_settings, tool_spec


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root, and a specification of a tiny tool whose packages are what pip finds."""
    for name, value in pip_settings(index(tmp_path / "packages")).items():
        monkeypatch.setenv(name, value)
    specs = tmp_path / "specs"
    specs.mkdir()
    spec = msgspec.structs.replace(tool_spec(), step=[tool_spec().step[1]])
    (specs / "tiny.toml").write_bytes(msgspec.toml.encode(msgspec.to_builtins(spec)))
    monkeypatch.setenv("TAOD_TOOLS_SPECS", str(specs))
    return tmp_path / "root"


def taod(root: Path, *words: str) -> Result:
    # Wide enough for the paths of the tests; some ways to run tests set a narrow terminal.
    return CliRunner(env={"COLUMNS": "300"}).invoke(command(), ["tools", *words, "--root", str(root)])


def installed(root: Path) -> Environment:
    environments = Environments(root / "tools")
    made = Environment(
        name="tiny-7.3.0",
        tool="tiny",
        release="7.3.0",
        package="tiny-tool",
        path=str(environments.path("tiny-7.3.0")),
        state=ToolState.READY,
        python="3.12.1",
        entry_points=[EntryPoint("net_a", [ActionCheck("train", True)]), EntryPoint("net_b", reason="ImportError: x")],
        size_bytes=6_700_000_000,
    )
    Path(made.path).mkdir(parents=True)
    environments.write(made)
    return made


def test_the_list_has_what_is_installed_and_what_can_be(root: Path) -> None:
    made = installed(root)
    half = root / "tools" / "tf2-6.0.0-cpu"
    half.mkdir()
    progress = Progress("tf2", "6.0.0", "nvidia-tao-tf2", True, "/usr/bin/python3.12", 6, ["a", "b"])
    (half / PROGRESS).write_bytes(msgspec.json.encode(progress))
    done = taod(root, "ls")
    assert done.exit_code == 0, done.output
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert "tiny-tool 7.3.0" in lines["tiny-7.3.0"] and "ready" in lines["tiny-7.3.0"]
    assert "1 of 2 networks" in lines["tiny-7.3.0"] and "6.7 GB" in lines["tiny-7.3.0"]
    assert made.path in lines["tiny-7.3.0"]
    assert "incomplete (2 of 6 steps)" in lines["tf2-6.0.0-cpu"]
    assert "not installed" in lines["pytorch"] and "NVIDIA Proprietary Software" in lines["pytorch"]
    tools = json.loads(taod(root, "ls", "--json").stdout)
    assert {each["tool"] for each in tools} == {"data-services", "deploy", "pytorch", "tf2", "tiny"}


def test_without_a_terminal_the_licence_is_accepted_by_the_option_alone(root: Path) -> None:
    done = taod(root, "install", "tiny", "--python", sys.executable)
    assert done.exit_code == 1
    assert "the licence of tiny-tool (Tiny Licence) was not accepted" in done.stderr
    assert not (root / "tools").exists()


def test_wrong_names_are_answered_with_the_right_ones(root: Path) -> None:
    done = taod(root, "install", "pytroch", "--accept-license")
    assert done.exit_code == 1 and "did you mean pytorch?" in done.stderr
    done = taod(root, "rm", "tiny-7.3.0", "--yes")
    assert done.exit_code == 1 and "tool environment 'tiny-7.3.0' not found; installed: none" in done.stderr


@pytest.mark.slow
def test_install_check_and_remove(root: Path) -> None:
    done = taod(root, "install", "tiny", "--accept-license", "--python", sys.executable)
    assert done.exit_code == 0, done.output
    assert "step 1 of 3: virtual environment" in done.stdout and "step 3 of 3: check" in done.stdout
    assert "✓ net_b: evaluate, train" in done.stdout and "✗ net_b: export: ModuleNotFoundError" in done.stdout
    assert "2 networks of 2 can be used" in done.stdout
    again = taod(root, "install", "tiny", "--json")
    assert again.exit_code == 0 and json.loads(again.stdout)["consent"]["licence"] == "Tiny Licence"
    checked = taod(root, "check", "tiny-7.3.0", "--quiet")
    assert (checked.exit_code, checked.stdout) == (0, "tiny-7.3.0\n")
    kept = CliRunner().invoke(command(), ["tools", "rm", "tiny-7.3.0", "--root", str(root)], input="n\n")
    assert kept.exit_code == 1 and (root / "tools" / "tiny-7.3.0").exists()
    gone = taod(root, "rm", "tiny-7.3.0", "--yes")
    assert (gone.exit_code, gone.stdout) == (0, "tiny-7.3.0 is removed.\n")
    assert not (root / "tools" / "tiny-7.3.0").exists()


def test_doctor_names_installed_tools_and_how_an_incomplete_one_is_resumed(root: Path) -> None:
    def tools() -> list[tuple[str, str]]:
        done = CliRunner().invoke(command(), ["doctor", "--json", "--root", str(root)])
        return [(each["found"], each["remedy"]) for each in json.loads(done.stdout) if each["what"] == "tools"]

    assert tools() == [("none is installed as a package", "`taod tools ls` shows what there is")]
    installed(root)
    half = root / "tools" / "tf2-6.0.0-cpu"
    half.mkdir()
    progress = Progress("tf2", "6.0.0", "nvidia-tao-tf2", True, "/usr/bin/python3.12", 6, ["a", "b"])
    (half / PROGRESS).write_bytes(msgspec.json.encode(progress))
    assert tools() == [
        (
            "tf2-6.0.0-cpu: 2 of 6 steps installed",
            "`taod tools install tf2 --release 6.0.0 --cpu` resumes it; `taod tools rm` removes it",
        ),
        ("tiny-7.3.0: tiny-tool 7.3.0, 1 of 2 networks", ""),
    ]
