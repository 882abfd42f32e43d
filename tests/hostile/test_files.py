"""FIFOs, sockets, devices and links in the place of files that runs and users place: nothing waits, nothing leaks."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import pytest

from runners import local, ports, remote_wrapper
from runners.protocol import Command, RunRequest
from taod import atomic_file, plain_file
from taod.api.streams import file_blocks
from taod.catalogue.commands import artifacts, checkpoint_check, inherit, placeholders
from taod.catalogue.commands.inputs import DatasetFacts, ParentFacts
from taod.catalogue.commands.sources.common import class_names
from taod.catalogue.network import get_network
from taod.datasets import hardlinks
from taod.datasets.formats.validate import ContentCheck
from taod.datasets.validation import samples
from taod.datasets.validation.structure import check
from taod.datasets.validation.summary import summarise
from taod.errors import BadRequest, NotFound
from taod.paths import JobFolder, RunFolder
from taod.services.jobs import job_files
from taod.telemetry import log as logs
from taod.telemetry import log_truncation
from taod.telemetry.follow import FileTail
from taod.telemetry.log_mask import LogMask
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
    path.with_name("the-fifo").unlink(missing_ok=True)
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


def of(run: RunFolder) -> RunRequest:
    """The request of attempt 1 of a job `job`."""
    command = Command("classification_pyt", "train", [], "")
    return RunRequest("job", int(run.path.name), command, str(run.path.parents[1]))


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

    def test_open_beneath(self, path: Path) -> None:
        with pytest.raises(OSError):
            plain_file.beneath(path.parent, path.name)

    def test_read(self, path: Path) -> None:
        with pytest.raises(OSError):
            plain_file.read(path)

    def test_what_is_written_replaces_it(self, path: Path, kind: str) -> None:
        """Also if the run has placed it where the new file is written first."""
        KINDS[kind](path.with_name(".new.json.new"))
        with contextlib.nullcontext() if kind != "folder" else pytest.raises(OSError):
            atomic_file.write(path.with_name("new.json"), b"{}", durable=False)
            assert path.with_name("new.json").read_bytes() == b"{}"
        if kind != "folder":
            atomic_file.write(path, b"{}", durable=False)
            assert path.read_bytes() == b"{}" and not path.is_symlink()

    def test_notes_of_a_run(self, path: Path, kind: str) -> None:
        run = RunFolder(path.parent / "job-1" / "runs" / "1")
        run.path.mkdir(parents=True)
        for name in ("exit", "pid", "memory", "claim", "port", "ended.json"):
            KINDS[kind](run.path / name)
        assert run.exit_code() is None
        assert (local._read_pid(run), local._group(of(run))) == (None, None)
        assert (remote_wrapper.claimant(run), remote_wrapper.recorded_end(run)) == (None, None)
        assert ports.reserve_again(run.port) is None

    def test_a_job(self, path: Path, kind: str) -> None:
        folder = JobFolder(path.parent)
        KINDS[kind](folder.command)
        assert folder.status_folder() == folder.results
        with pytest.raises(NotFound):
            job_files.open_artifact(folder, "command.json")
        packed = io.BytesIO()
        job_files.pack(folder, "job", packed)
        assert [each.name for each in job_files_of(packed)] == []

    def test_a_log_that_is_shortened(self, path: Path, kind: str) -> None:
        log_truncation.trim(path, 100)
        log_truncation.close_up(path, 100)
        LogMask().apply(path, ["secret"])

    def test_a_checkpoint(self, path: Path) -> None:
        weights = path.with_name("epoch_1.pth")
        path.rename(weights)
        assert artifacts.weights(get_network("classification_pyt"), "train", path.parent) is None

    def test_a_specification_of_a_parent(self, path: Path, kind: str) -> None:
        parent = ParentFacts("classification_pyt", "train", path.parent / "results", {"a": 1})
        KINDS[kind](placeholders.spec_file(parent))
        assert inherit._written_spec(parent)["a"] == 1

    def test_class_names(self, path: Path, kind: str) -> None:
        for name in ("classes.txt", "classes.json"):
            KINDS[kind](path.with_name(name))
        assert class_names(DatasetFacts(path.parent, "image_classification", "classification_pyt")) == []

    def test_a_file_of_a_dataset_from_a_job(self, path: Path, kind: str) -> None:
        with contextlib.nullcontext() if kind == "folder" else pytest.raises((BadRequest, OSError)):
            hardlinks.copy(path.parent, path.parent.parent / f"copy-{os.getpid()}-{id(self)}", [Path("/")])

    def test_samples(self, path: Path, kind: str) -> None:
        top = path.parent / "photos"
        VALID["image_classification", "classification_pyt"](top)
        for image in top.rglob("*.png"):
            image.unlink()
            KINDS[kind](image)
        items = samples.choose(top, "image_classification", "classification_pyt", path.parent / "review", None)
        for item in items:
            assert samples.thumbnail(top, item, path.parent / "review", None, boxes=True)

    def test_log(self, path: Path) -> None:
        assert logs.size(path) == 0
        for read in (lambda: logs.tail(path, 5), lambda: logs.read_range(path, 0, 10)):
            with contextlib.suppress(OSError):
                assert read() == b""


def job_files_of(packed: io.BytesIO) -> list[tarfile.TarInfo]:
    packed.seek(0)
    with tarfile.open(fileobj=packed, mode="r:gz") as archive:
        return [each for each in archive.getmembers() if each.isfile()]


class TestRaces:
    """A file is replaced between a check and its use, or changes while it is read."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> JobFolder:
        made = JobFolder(tmp_path / "job")
        (made.results / "sub").mkdir(parents=True)
        (made.results / "sub" / "weights.pth").write_bytes(b"weights")
        (tmp_path / "secret").mkdir()
        (tmp_path / "secret" / "weights.pth").write_bytes(b"secret")
        return made

    def replaced(self, folder: JobFolder, tmp_path: Path, what: str) -> None:
        if what == "file":
            (folder.results / "sub" / "weights.pth").unlink()
            (folder.results / "sub" / "weights.pth").symlink_to(tmp_path / "secret" / "weights.pth")
        else:
            shutil.rmtree(folder.results / "sub")
            (folder.results / "sub").symlink_to(tmp_path / "secret")

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_a_link_out_of_the_job_is_not_opened(self, folder: JobFolder, tmp_path: Path, what: str) -> None:
        with job_files.open_artifact(folder, "results/sub/weights.pth") as file:
            assert file.read() == b"weights"
        self.replaced(folder, tmp_path, what)
        with pytest.raises(NotFound):
            job_files.open_artifact(folder, "results/sub/weights.pth")
        with pytest.raises(OSError):
            plain_file.beneath(folder.path, "results/sub/weights.pth")

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_between_the_check_and_the_opening(
        self, folder: JobFolder, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        beneath = plain_file.beneath

        def late(top: Path, name: str) -> BinaryIO:
            self.replaced(folder, tmp_path, what)
            return beneath(top, name)

        monkeypatch.setattr(plain_file, "beneath", late)
        with pytest.raises(NotFound):
            job_files.open_artifact(folder, "results/sub/weights.pth")

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_between_the_list_and_the_packing(
        self, folder: JobFolder, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        walk = job_files._walk

        def late(top: Path) -> list[Any]:
            found = [*walk(top)]
            self.replaced(folder, tmp_path, what)
            return found

        monkeypatch.setattr(job_files, "_walk", late)
        packed = io.BytesIO()
        job_files.pack(folder, "job", packed)
        assert job_files_of(packed) == []

    async def test_a_file_that_shrinks_or_grows_while_it_is_sent(self, folder: JobFolder) -> None:
        path = folder.results / "sub" / "weights.pth"
        for change, wanted in ((b"", b""), (b"weights and more", b"weights")):
            path.write_bytes(b"weights")
            source = job_files.open_artifact(folder, "results/sub/weights.pth")
            path.write_bytes(change)
            assert b"".join([block async for block in file_blocks(source, 0, 7)]) == wanted
            assert source.closed

    def test_a_file_that_shrinks_while_it_is_packed(self, folder: JobFolder, monkeypatch: pytest.MonkeyPatch) -> None:
        big = folder.results / "big"
        big.write_bytes(b"x" * 1_000_000)
        padded = job_files._Padded.read

        def shorter(self: Any, size: int = -1) -> bytes:
            os.truncate(big, 10)
            return padded(self, size)

        monkeypatch.setattr(job_files._Padded, "read", shorter)
        packed = io.BytesIO()
        job_files.pack(folder, "job", packed)
        assert {each.name: each.size for each in job_files_of(packed)}["job/big"] == 1_000_000

    def test_a_log_that_became_a_link_is_absent(self, folder: JobFolder, tmp_path: Path) -> None:
        secret = tmp_path / "secret" / "weights.pth"
        folder.log.symlink_to(secret)
        assert (logs.size(folder.log), logs.tail(folder.log, 5), logs.read_range(folder.log, 0)) == (0, b"", b"")
        LogMask().apply(folder.log, ["secret"])
        log_truncation.trim(folder.log, 1)
        log_truncation.close_up(folder.log, 1)
        assert secret.read_bytes() == b"secret"

    def test_a_large_file_is_not_read_into_memory(self, folder: JobFolder) -> None:
        for path in (folder.command, folder.run(1).exit, folder.run(1).memory, folder.path / "classes.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.truncate(1 << 40)
        assert folder.status_folder() == folder.results
        assert (folder.run(1).exit_code(), local._group(of(folder.run(1)))) == (None, None)
        with pytest.raises(plain_file.NotRegular, match="more than"):
            plain_file.read(folder.command)
        assert class_names(DatasetFacts(folder.path, "image_classification", "classification_pyt")) == []


GARBAGE = [b"", b"\n", b"x\n", b"\xff\n", b"9" * 5000 + b"\n", b"-1\n", b"1e9\n", b"[]\n", b"[" * 100_000, b"null\n"]


@pytest.mark.parametrize("content", GARBAGE, ids=lambda content: ascii(content[:8]))
def test_notes_of_a_run_that_it_has_overwritten_are_absent(tmp_path: Path, content: bytes) -> None:
    folder = JobFolder(tmp_path / "job")
    run = folder.run(1)
    run.path.mkdir(parents=True)
    for path in (folder.command, run.exit, run.pid, run.memory, run.claim, run.port, run.path / "ended.json"):
        path.write_bytes(content)
    assert folder.status_folder() == folder.results
    assert (run.exit_code(), local._read_pid(run), local._group(of(run))) == (None, None, None)
    remote_wrapper.claimant(run)
    assert (remote_wrapper.recorded_end(run), ports.reserve_again(run.port)) == (None, None)


@pytest.mark.parametrize(
    "named", ["/sys/fs/cgroup", "/sys/fs/cgroup/system.slice", "/", "job-1", "/sys/fs/cgroup/../job-1", "/x/other-1"]
)
def test_a_run_names_no_other_control_group(tmp_path: Path, named: str) -> None:
    run = RunFolder(tmp_path / "job" / "runs" / "1")
    run.path.mkdir(parents=True)
    run.memory.write_bytes(msgspec.json.encode({"group": named, "kills": 3}))
    assert local._group(of(run)) is None
    run.memory.write_bytes(msgspec.json.encode({"group": "/sys/fs/cgroup/taod-job-1.scope"}))
    assert local._group(of(run)) == Path("/sys/fs/cgroup/taod-job-1.scope")


class TestDatasetsFromJobs:
    """What a run left becomes data only if it is a regular file of its job or of what it read."""

    @pytest.fixture
    def results(self, tmp_path: Path) -> Path:
        made = tmp_path / "job" / "results"
        (made / "images").mkdir(parents=True)
        (made / "images" / "1.png").write_bytes(b"image")
        return made

    def test_links_within_it_are_followed(self, results: Path, tmp_path: Path) -> None:
        (results / "images" / "2.png").symlink_to("1.png")
        (results / "more").symlink_to("images")
        hardlinks.copy(results, tmp_path / "data", [results])
        assert (tmp_path / "data" / "more" / "2.png").read_bytes() == b"image"
        assert not (tmp_path / "data" / "images" / "2.png").is_symlink()

    @pytest.mark.parametrize("target", ["/etc/passwd", "/dev/zero", "/etc", "../../../taod.db", "/proc/self/environ"])
    def test_a_link_out_of_it_is_rejected(self, results: Path, tmp_path: Path, target: str) -> None:
        (tmp_path / "taod.db").write_bytes(b"secret")
        (results / "images" / "2.png").symlink_to(target)
        with pytest.raises(BadRequest, match="a symbolic link out of"):
            hardlinks.copy(results, tmp_path / "data", [results])

    def test_a_link_to_a_folder_around_it_is_rejected(self, results: Path, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            (results / "images" / name).symlink_to("..")
        with pytest.raises(BadRequest, match="a folder that it is in"):
            hardlinks.copy(results, tmp_path / "data", [results])

    def test_links_that_multiply_are_rejected(self, results: Path, tmp_path: Path) -> None:
        for level in range(30):
            (results / str(level)).mkdir()
            for name in ("a", "b"):
                (results / str(level) / name).symlink_to(f"../{level + 1}")
        (results / "30").mkdir()
        with pytest.raises(BadRequest, match="links to folders"):
            hardlinks.copy(results, tmp_path / "data", [results])


def test_a_checkpoint_with_a_huge_directory_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "epoch_1.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("data", b"weights")
    read: list[int] = []

    class Counting(zipfile.ZipFile):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            read.append(1)
            super().__init__(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zipfile, "ZipFile", Counting)
        assert checkpoint_check.fault(path) is None
    assert read == []
    path.write_bytes(path.read_bytes()[:-10])
    assert "truncated" in str(checkpoint_check.fault(path))


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
