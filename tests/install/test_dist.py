"""The wheel and the source distribution, built and installed as a user does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from taod import __version__
from tests.install import workflow

pytestmark = pytest.mark.slow(seconds=60)

REPOSITORY = Path(__file__).parents[2]
SHARED = [
    "man/man1/taod.1",
    "man/man1/taod-model-run.1",
    "bash-completion/completions/taod",
    "zsh/site-functions/_taod",
    "fish/vendor_completions.d/taod.fish",
]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make dist` writes."""
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, REPOSITORY], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh virtual environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    (wheel,) = built.glob("*.whl")
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-c", REPOSITORY / "constraints.txt"]
    done = subprocess.run([folder / "bin/python", *words, wheel], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_source_distribution_has_all_that_the_wheel_is_built_from(built: Path) -> None:
    with tarfile.open(built / f"taod-{__version__}.tar.gz") as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "LICENSE", "taod/cli/main.py", "share/man/man1/taod.1"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "dist/"))]


def test_the_wheel_has_every_file_of_its_packages_and_of_share(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "taod", "tui", "store", "runners", "share"],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    data = f"taod-{__version__}.data/data/"
    wanted = {data + name if name.startswith("share/") else name for name in listed}
    assert wanted - names == set()
    assert {name for name in names if ".dist-info/" not in name} - wanted == set()


def test_an_installed_wheel_serves_and_runs_a_job(installed: Path, tmp_path: Path) -> None:
    environment = {"PATH": f"{installed}/bin:{os.environ['PATH']}", "HOME": str(tmp_path)}
    taod = workflow.program([str(installed / "bin/taod")], environment)
    assert taod("--version") == f"taod {__version__}\n"
    workflow.prepare(tmp_path)
    with workflow.daemon(taod, tmp_path):
        log = workflow.train(taod, tmp_path)
        workflow.use_each_process(taod, tmp_path)
    assert "starting train" in log


def test_pages_and_completions_are_where_their_programs_search(installed: Path) -> None:
    for name in SHARED:
        assert (installed / "share" / name).read_bytes() == (REPOSITORY / "share" / name).read_bytes()


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of uv and pipx, which are no requirement of the tests: they are installed here."""
    folder = tmp_path_factory.mktemp("tools") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    words = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv", "pipx"]
    done = subprocess.run([folder / "bin/python", *words], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"uv and pipx cannot be installed: {done.stderr.strip()[-200:]}")
    return folder / "bin"


@pytest.mark.parametrize("way", ["uv tool install", "pipx install --force"])
def test_the_hint_of_a_real_tool_adds_the_extra_and_keeps_the_others(
    way: str, built: Path, tools: Path, tmp_path: Path
) -> None:
    """The docker runner needs an extra; after the command that doctor names, it is there."""
    (wheel,) = built.glob("*.whl")
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}/bin:{tools}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "UV_TOOL_DIR": f"{tmp_path}/tools",
        "UV_TOOL_BIN_DIR": f"{tmp_path}/bin",
        "UV_PYTHON": sys.executable,
        "PIPX_HOME": f"{tmp_path}/pipx",
        "PIPX_BIN_DIR": f"{tmp_path}/bin",
        "PIPX_DEFAULT_PYTHON": sys.executable,
        "TAOD_ROOT": f"{tmp_path}/root",
    }

    def run(*words: str, code: int = 0) -> str:
        done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd="/", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    run(*way.split(), f"{wheel}[notify]")
    found = {each["what"]: each for each in json.loads(run("taod", "doctor", "--json", code=1))}
    hint = found["docker"]["remedy"]
    assert hint == f"{way} '{wheel}[docker,notify]'"
    run("sh", "-c", hint)
    (python,) = (path for path in tmp_path.glob("*/**/bin/python") if path.parents[1].name == "taod")
    run(str(python), "-c", "import docker, apprise")
