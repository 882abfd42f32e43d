"""The `taod` command without a daemon: exit codes, errors, users, doctor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from store import Store
from taod import __version__
from taod.cli.commands.doctor import examine
from taod.cli.main import COMMANDS
from taod.cli.support import sample_dataset
from taod.clock import SystemClock
from taod.config import Config, StorageConfig
from taod.paths import Root


def taod(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "taod", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(cwd),
            "COLUMNS": "160",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
    )


def test_version_needs_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['taod', '--version']\n"
        "from taod.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as end: print(end.code, sorted({'litestar', 'textual', 'httpx'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == f"taod {__version__}\n0 []\n"


def test_help_lists_every_command(tmp_path: Path) -> None:
    ran = taod("--help", cwd=tmp_path)
    assert ran.returncode == 0
    for name in COMMANDS:
        assert f" {name} " in ran.stdout


@pytest.mark.parametrize("arguments", [("tui",), ("stop",), ("job", "ls"), ("model", "show", "x"), ("network", "ls")])
def test_a_client_without_a_daemon_exits_3(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ran = taod(*arguments, "--root", str(tmp_path / "root"), cwd=tmp_path)
    assert ran.returncode == 3, ran.stderr
    assert "taod serve" in ran.stderr


def test_an_unknown_command_exits_2(tmp_path: Path) -> None:
    assert taod("sevre", cwd=tmp_path).returncode == 2


def test_a_wrong_configuration_exits_2_and_names_the_key(tmp_path: Path) -> None:
    (tmp_path / "taod.toml").write_text("[server]\nprot = 1\n")
    ran = taod("serve", cwd=tmp_path)
    assert ran.returncode == 2
    assert "did you mean server.port?" in ran.stderr


def test_config_prints_the_effective_configuration(tmp_path: Path) -> None:
    (tmp_path / "taod.toml").write_text("[server]\nport = 9000\n")
    ran = taod("config", "--root", "/somewhere", cwd=tmp_path)
    assert "taod.toml" in ran.stdout
    assert "port = 9000" in ran.stdout
    assert 'root = "/somewhere"' in ran.stdout


def test_a_user_is_created_listed_and_deleted_and_only_the_key_logs_in(tmp_path: Path) -> None:
    root = ("--root", str(tmp_path / "root"))
    created = taod("user", "add", "ada", *root, cwd=tmp_path)
    key = created.stdout.split()[-1]
    listed = taod("user", "ls", *root, cwd=tmp_path).stdout
    assert "ada" in listed
    assert key not in listed
    store = Store.open(Root(tmp_path / "root").database, clock=SystemClock())
    owner = store.users.by_token(key, kind="key")
    assert owner is not None
    assert owner[0].name == "ada"
    store.close()
    assert key.encode() not in (tmp_path / "root" / "taod.db").read_bytes()
    again = taod("user", "add", "ada", *root, cwd=tmp_path)
    assert again.returncode == 1
    assert "taod user key ada" in again.stderr
    assert taod("user", "rm", "ada", "--yes", *root, cwd=tmp_path).returncode == 0
    assert "ada" not in taod("user", "ls", *root, cwd=tmp_path).stdout


def test_doctor_reports_the_environment(tmp_path: Path) -> None:
    results = {result.name: result for result in examine(Config(storage=StorageConfig(root=str(tmp_path / "r"))))}
    assert results["python"].ok
    assert results["daemon"].found == "none is running on this root; `taod serve` starts one"
    assert "not created yet" in results["root"].found
    assert not (tmp_path / "r").exists(), "a check changes nothing"


@pytest.mark.engine
def test_digits_are_written_split_and_packed(tmp_path: Path) -> None:
    counts = sample_dataset.write(tmp_path)
    assert sum(counts.values()) == 1797
    assert len(list((tmp_path / "images_val").rglob("*.png"))) == counts["val"]
    assert sorted(path.name for path in (tmp_path / "images_train").iterdir()) == sample_dataset.CLASSES
    assert sample_dataset.pack(tmp_path, "test", tmp_path).stat().st_size > 10_000
