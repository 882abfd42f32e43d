"""The head of the executable: it unpacks once, whatever happens meanwhile, and removes what nothing runs."""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S

WRITE = runpy.run_path(str(Path(__file__).parents[2] / "bundle/binary.py"))["write"]
PROGRAM = '#!/bin/sh\necho "@VERSION@ $TAOD_PROGRAM $*"\n'


@pytest.fixture
def executable(tmp_path: Path) -> Callable[[str], Path]:
    """Makes an executable of a version, with a script in the place of the program."""

    def make(version: str) -> Path:
        folder = tmp_path / f"folder-{version}"
        (folder / "_internal").mkdir(parents=True)
        (folder / "_internal/library.so").write_bytes(os.urandom(1_000_000))
        (folder / "taod").write_text(PROGRAM.replace("@VERSION@", version))
        (folder / "taod").chmod(0o755)
        target = tmp_path / f"bin {version}" / "taod"
        WRITE(folder, target, version)
        return target

    return make


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a cache"))
    return tmp_path / "a cache/taod/program"


def call(program: Path | str, *words: str, code: int = 0, cwd: Path | None = None) -> str:
    done = subprocess.run([program, *words], capture_output=True, text=True, cwd=cwd, timeout=PATIENCE_S, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_unpacks_once_and_passes_its_words_and_its_file(executable: Callable[[str], Path], cache: Path) -> None:
    file = executable("1")
    assert call(file, "a b", "*") == f"1 {file} a b *\n"
    (place,) = cache.iterdir()
    assert place.name.startswith("1-") and place.stat().st_mode & 0o777 == 0o700
    before = (place / "taod").stat().st_ino
    assert call(file) == f"1 {file} \n"
    assert (place / "taod").stat().st_ino == before


def test_it_knows_its_file_by_path_name_and_link(
    executable: Callable[[str], Path], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = executable("1")
    assert call("./taod", cwd=file.parent).split(" ", 1)[1].strip() == f"{file.parent}/./taod"
    link = tmp_path / "links/taod"
    link.parent.mkdir()
    link.symlink_to(file)
    monkeypatch.setenv("PATH", f"{link.parent}:{os.environ['PATH']}")
    assert call("taod").split(" ", 1)[1].strip() == str(link)


def test_starts_at_the_same_time_unpack_one_folder(executable: Callable[[str], Path], cache: Path) -> None:
    file = executable("1")
    starts = [subprocess.Popen([file], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    assert [each.communicate(timeout=PATIENCE_S)[0] for each in starts] == [f"1 {file} \n"] * 8
    assert len(list(cache.iterdir())) == 1 and not list(cache.glob(".new*"))


def test_a_new_version_removes_old_ones_that_nothing_runs(executable: Callable[[str], Path], cache: Path) -> None:
    old, running, new = executable("1"), executable("2"), executable("3")
    call(old)
    call(running)
    (in_use,) = cache.glob("2-*")
    shutil.copy("/bin/sleep", in_use / "sleep")
    with subprocess.Popen([in_use / "sleep", "1000"]) as process:
        try:
            call(new)
            assert {path.name[:2] for path in cache.iterdir()} == {"2-", "3-"}
        finally:
            process.kill()


def test_an_interrupted_start_leaves_nothing_that_the_next_one_takes_for_whole(
    executable: Callable[[str], Path], cache: Path
) -> None:
    file = executable("1")
    whole = file.read_bytes()
    file.write_bytes(whole[:-300_000])
    assert "cannot be used" in call(file, code=1)
    assert not list(cache.glob("1-*")) and not list(cache.glob(".new*"))
    file.write_bytes(whole)
    assert call(file).startswith("1 ")


def test_a_cache_that_cannot_be_written_is_an_error_with_a_remedy(
    executable: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = executable("1")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "name a folder with 200 MB of space in XDG_CACHE_HOME" in call(file, code=1)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("HOME")
    assert "HOME is not set" in call(file, code=2)


def test_signals_reach_the_program(executable: Callable[[str], Path], cache: Path, tmp_path: Path) -> None:
    """It replaces the shell: what ends one process ends taod."""
    file = executable("1")
    call(file)
    (place,) = cache.iterdir()
    (place / "taod").write_text("#!/bin/sh\necho up\nexec sleep 1000\n")
    with subprocess.Popen([file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "up\n"
        process.terminate()
        assert process.wait(PATIENCE_S) == -signal.SIGTERM
