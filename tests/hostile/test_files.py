"""FIFOs, sockets, devices and links in the place of files that runs and users place: nothing waits, nothing leaks."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taod import plain_file
from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation.structure import check
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest
from taod.telemetry import log as logs
from taod.telemetry.follow import FileTail
from tests.datasets.valid_sets import VALID
from tests.hostile.conftest import Daemon
from tests.patience import PATIENCE_S


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made, contextlib.chdir(path.parent):
        made.bind(path.name)


def link_to(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def link_to_fifo(path: Path) -> None:
    os.mkfifo(path.with_name("the-fifo"))
    path.symlink_to("the-fifo")


KINDS: dict[str, Callable[[Path], None]] = {
    "fifo": fifo,
    "socket": unix_socket,
    "folder": Path.mkdir,
    "link to a FIFO": link_to_fifo,
    "endless device": link_to("/dev/zero"),
    "terminal": link_to("/dev/tty"),
    "broken link": link_to("/nonexistent/file"),
    "link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("kind", KINDS)
class TestReaders:
    """Each reader finds no file."""

    @pytest.fixture
    def path(self, tmp_path: Path, kind: str) -> Path:
        KINDS[kind](tmp_path / "status.json")
        return tmp_path / "status.json"

    def test_open(self, path: Path) -> None:
        with pytest.raises(OSError):
            plain_file.binary(path)
        assert plain_file.size(path) is None

    def test_open_for_writing(self, path: Path, kind: str) -> None:
        if kind != "broken link":
            with pytest.raises(OSError):
                plain_file.descriptor(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def test_status(self, path: Path) -> None:
        tail = FileTail(path.parent, path.name)
        assert (tail.size(), tail.read()) == (0, b"")

    def test_log(self, path: Path) -> None:
        assert logs.size(path) == 0
        for read in (lambda: logs.tail(path, 5), lambda: logs.read_range(path, 0, 10)):
            with contextlib.suppress(OSError):
                assert read() == b""


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sets")


@pytest.mark.parametrize(("type_", "format_"), VALID)
def test_a_fifo_in_a_dataset_stops_no_check(sets: Path, type_: str, format_: str) -> None:
    top = sets / f"{type_}-{format_}"
    top.mkdir()
    VALID[type_, format_](top)
    by_folder: dict[tuple[Path, str], Path] = {}
    for path in sorted(top.rglob("*")):
        if path.is_file():
            by_folder.setdefault((path.parent, path.suffix), path)
    for path in by_folder.values():
        kept = path.read_bytes()
        path.unlink()
        os.mkfifo(path)
        ContentCheck(top, type_, format_, deep=True).run()
        with contextlib.suppress(BadRequest):
            summarise(check(top, type_, format_), type_, format_)
        path.unlink()
        path.write_bytes(kept)
    assert ContentCheck(top, type_, format_).run().problems == 0


@pytest.fixture
def photos(folder: Path) -> Iterator[Path]:
    """A small dataset of classes that a test may damage."""
    made = folder / "photos"
    VALID["image_classification", "classification_pyt"](made)
    yield made
    shutil.rmtree(made)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("images_train/0/out.png", "/etc/passwd"),
        ("images_train/out", "/etc"),
        ("out", "/"),
        ("out", "/dev/zero"),
        ("out", "../root/taod.db"),
        ("out", "../root"),
        ("deep/out", "../../../../../../etc/hostname"),
    ],
)
def test_a_link_out_of_the_allowed_folders_is_not_followed(
    daemon: Daemon, photos: Path, name: str, target: str
) -> None:
    link = photos / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    status, answer = daemon.ask("POST", f"/dataset/{daemon.make('dataset')}/link", {"path": str(photos)})
    assert status == 400
    assert "a symbolic link out of" in answer["error_desc"]


@pytest.mark.parametrize("target", ["classes.txt", "../photos/classes.txt", "/nonexistent"])
def test_a_link_within_the_allowed_folders_is_used(daemon: Daemon, photos: Path, folder: Path, target: str) -> None:
    (photos / "itself").symlink_to(target if target != "/nonexistent" else folder / "nonexistent")
    status, answer = daemon.ask("POST", f"/dataset/{daemon.make('dataset')}/link", {"path": str(photos)})
    assert status == 201, answer


@pytest.fixture
def model(daemon: Daemon, photos: Path) -> str:
    dataset, made = daemon.make("dataset"), daemon.make("model")
    assert daemon.ask("POST", f"/dataset/{dataset}/link", {"path": str(photos)})[0] == 201
    assert daemon.ask("PATCH", f"/model/{made}", {"train_datasets": [dataset], "eval_dataset": dataset})[0] == 200
    return made


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


REPLACE = """
cd "$results/.."
for name in log.txt command.json results/status.json results/weights.pth; do
  rm -f "$name"
  @MAKE@ "$name"
done
echo replaced > "@DONE@"
@THEN@
"""
SHELL = {
    "fifo": "mkfifo",
    "folder": "mkdir",
    "endless device": "ln -s /dev/zero",
    "link to itself": "ln -s itself",
    "broken link": "ln -s /nonexistent",
}


@pytest.mark.parametrize("kind", SHELL)
@pytest.mark.parametrize("end", ["by itself", "cancelled"])
def test_a_run_that_replaces_its_files_blocks_no_client(
    daemon: Daemon, folder: Path, model: str, kind: str, end: str
) -> None:
    done = folder / "done"
    done.unlink(missing_ok=True)
    script = REPLACE.replace("@MAKE@", SHELL[kind]).replace("@DONE@", str(done))
    daemon.script.write_text(script.replace("@THEN@", "exit 0" if end == "by itself" else "exec sleep 60"))
    daemon.script.chmod(0o755)
    (job,) = daemon.ask("POST", f"/model/{model}/job", {"actions": ["train"]})[1]
    until(done.exists)
    followers = [
        threading.Thread(target=daemon.ask, args=("GET", f"/job/{job}/log?follow=true"), daemon=True) for _ in range(2)
    ]
    for follower in followers:
        follower.start()
    for path in (
        "log",
        "log?tail=10",
        "log?plain=true",
        "files",
        "download",
        "files/log.txt",
        "files/results/status.json",
    ):
        assert daemon.ask("GET", f"/job/{job}/{path}")[0] in (200, 404), path
    daemon.healthy()
    if end == "cancelled":
        assert daemon.ask("POST", f"/job/{job}/cancel")[0] == 200
    until(lambda: daemon.ask("GET", f"/job/{job}")[1]["job"]["ended_at"] is not None)
    for follower in followers:
        follower.join(PATIENCE_S)
        assert not follower.is_alive()
    assert daemon.ask("GET", f"/job/{job}/log")[0] in (200, 404)
    assert daemon.ask("DELETE", f"/job/{job}")[0] == 200
    daemon.healthy()


@pytest.mark.slow
def test_a_daemon_stops_while_a_run_has_replaced_its_files(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path).start()
    made = tmp_path / "photos"
    VALID["image_classification", "classification_pyt"](made)
    dataset, model = daemon.make("dataset"), daemon.make("model")
    daemon.ask("POST", f"/dataset/{dataset}/link", {"path": str(made)})
    daemon.ask("PATCH", f"/model/{model}", {"train_datasets": [dataset], "eval_dataset": dataset})
    script = REPLACE.replace("@MAKE@", "mkfifo").replace("@DONE@", str(tmp_path / "done"))
    daemon.script.write_text(script.replace("@THEN@", "exec sleep 60"))
    daemon.script.chmod(0o755)
    (job,) = daemon.ask("POST", f"/model/{model}/job", {"actions": ["train"]})[1]
    until((tmp_path / "done").exists)
    threading.Thread(target=daemon.ask, args=("GET", f"/job/{job}/log?follow=true"), daemon=True).start()
    assert daemon.stop() == 0
    daemon.start()
    assert daemon.ask("POST", f"/job/{job}/cancel")[0] == 200
    until(lambda: daemon.ask("GET", f"/job/{job}")[1]["job"]["ended_at"] is not None)
    assert daemon.stop(signal.SIGTERM) == 0
