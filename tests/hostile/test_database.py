"""The database file deleted, moved, truncated, replaced or overwritten under a daemon: nothing is lost quietly."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from store import Store, copies
from taod.cli.main import command
from taod.errors import ConfigError, StoreLost
from taod.paths import Root
from tests.hostile.conftest import Daemon
from tests.patience import PATIENCE_S

READY = "/api/v1/health/readiness"


def aside(path: Path) -> Path:
    return path.with_name(path.name + ".aside")


def moved(path: Path) -> None:
    path.rename(aside(path))


def replaced_by_nothing(path: Path) -> None:
    moved(path)
    path.touch()


def replaced_by_a_copy(path: Path) -> None:
    moved(path)
    shutil.copyfile(aside(path), path)


def replaced_by_a_folder(path: Path) -> None:
    moved(path)
    path.mkdir()


def replaced_by_a_fifo(path: Path) -> None:
    moved(path)
    os.mkfifo(path)


def replaced_by_a_broken_link(path: Path) -> None:
    moved(path)
    path.symlink_to("/nonexistent")


def replaced_by_a_loop(path: Path) -> None:
    moved(path)
    path.symlink_to(path)


def put_back(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
    aside(path).rename(path)


MOVES = [
    moved, replaced_by_nothing, replaced_by_a_copy, replaced_by_a_folder, replaced_by_a_fifo,
    replaced_by_a_broken_link, replaced_by_a_loop,
]  # fmt: skip


def truncated(size: int) -> Callable[[Path], None]:
    return lambda path: os.truncate(path, size)


def overwritten(content: bytes) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("r+b") as file:
            file.write(content)

    return write


DAMAGES = {
    "deleted": Path.unlink,
    "empty": truncated(0),
    "a byte": truncated(1),
    "a header": truncated(100),
    "a page": truncated(4096),
    "half a page": truncated(6000),
    "zeros": overwritten(bytes(4096)),
    "text": overwritten(b"hello\n"),
    "another header": overwritten(b"SQLite format 2\0"),
    "WAL deleted": lambda path: path.with_name("taod.db-wal").unlink(),
    "WAL moved": lambda path: path.with_name("taod.db-wal").rename(path.with_name("other")),
    "folder moved": lambda path: path.parent.rename(path.parent.with_name("other")),
    **{each.__name__: each for each in MOVES},
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "root"
    folder.mkdir()
    return folder / "taod.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = Store.open(path)
    opened.users.add("first")
    opened._database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    opened.verify()  # as the next transaction does: from now on the file is known at its full size
    yield opened
    opened.close()


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("durable", [True, False])
def test_no_write_is_confirmed_once_the_file_is_lost(store: Store, path: Path, damage: str, durable: bool) -> None:
    DAMAGES[damage](path)
    with pytest.raises(StoreLost, match=r"taod\.db"), store.durable() if durable else store.transaction():
        store.users.add("second")
    with pytest.raises(StoreLost):
        store.verify()


def test_a_write_during_which_the_file_is_lost_is_not_confirmed(store: Store, path: Path) -> None:
    with pytest.raises(StoreLost), store.durable():
        store.users.add("second")
        path.unlink()


@pytest.mark.parametrize("move", MOVES, ids=lambda each: each.__name__)
def test_the_store_continues_when_the_file_is_back(store: Store, path: Path, move: Callable[[Path], None]) -> None:
    move(path)
    with pytest.raises(StoreLost):
        store.users.add("second")
    put_back(path)
    store.users.add("third")
    assert {user.name for user in store.users.all()} == {"first", "third"}


def test_what_a_deleted_file_held_is_copied(store: Store, path: Path) -> None:
    path.unlink()
    with pytest.raises(StoreLost):
        store.verify()
    (copy,) = copies.listed(path.parent / copies.FOLDER)
    with sqlite3.connect(copy) as connection:
        assert connection.execute("SELECT name FROM users").fetchall() == [("first",)]


def test_writers_of_other_processes_and_checkpoints_are_no_loss(store: Store, path: Path) -> None:
    code = "import sys; from pathlib import Path; from store import Store; s = Store.open(Path(sys.argv[1]))"
    code += "; [s.users.add(f'user {n}') for n in range(300)]; s.close()"
    other = subprocess.Popen([sys.executable, "-c", code, str(path)])
    names = 0
    while other.poll() is None:
        store.users.add(f"mine {(names := names + 1)}")
        store._database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        time.sleep(0.001)
    assert other.returncode == 0
    assert len(store.users.all()) == 1 + names + 300


def test_a_file_shorter_than_its_header_says_is_no_loss_while_the_wal_has_the_rest(store: Store, path: Path) -> None:
    with sqlite3.connect(path) as reader:
        # A page that is in the file's header, and whose last version is behind what the reader lets a checkpoint copy.
        store._database.connection.execute("CREATE TABLE large (block BLOB)")
        store._database.connection.execute("INSERT INTO large VALUES (zeroblob(400000))")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM users").fetchone()
        store._database.connection.execute("UPDATE large SET block = randomblob(400000)")
        store._database.connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        header = path.read_bytes()[:100]
        assert path.stat().st_size < int.from_bytes(header[16:18], "big") * int.from_bytes(header[28:32], "big")
        store.users.add("second")
        reader.rollback()
    assert len(store.users.all()) == 2


@pytest.mark.parametrize("move", [*MOVES, "the root"], ids=lambda each: getattr(each, "__name__", each))
def test_a_daemon_says_that_its_database_is_gone_and_continues_when_it_is_back(
    daemon: Daemon, move: Callable[[Path], None] | str
) -> None:
    model = daemon.make("model")
    if callable(move):
        lost = daemon.root / "taod.db"
        move(lost)
    else:
        lost = daemon.root
        moved(lost)
    for verb, path, body in (
        ("POST", "/dataset", {"type": "image_classification", "format": "classification_pyt"}),
        ("PATCH", f"/model/{model}", {"name": "lost"}),
        ("GET", f"/model/{model}", None),
        ("GET", READY, None),
    ):
        status, answer = daemon.ask(verb, path, body)
        assert (status, "taod.db" in answer["error_desc"], "move" in answer["error_desc"]) == (503, True, True)
    assert daemon.ask("GET", "/api/v1/health/liveness")[0] == 200
    put_back(lost)
    assert daemon.ask("GET", f"/model/{model}")[1]["name"] != "lost"
    daemon.healthy()
    log = (daemon.root / "daemon.log").read_text()
    assert "the database is lost" in log
    assert "the database is back" in log


def test_a_run_continues_without_the_database_and_is_recorded_once_it_is_back(daemon: Daemon, folder: Path) -> None:
    gate = folder / "gate"
    os.mkfifo(gate)
    daemon.script.write_text(f'read word < "{gate}"\n')
    daemon.script.chmod(0o755)
    photos = folder / "images"
    (photos / "images_train" / "a").mkdir(parents=True)
    (photos / "images_train" / "a" / "1.png").write_bytes(b"x")
    (photos / "classes.txt").write_text("a\n")
    dataset, model = daemon.make("dataset"), daemon.make("model")
    assert daemon.ask("POST", f"/dataset/{dataset}/link", {"path": str(photos)})[0] == 201
    daemon.ask("PATCH", f"/model/{model}", {"train_datasets": [dataset], "eval_dataset": dataset})
    (job,) = daemon.ask("POST", f"/model/{model}/job", {"actions": ["train"]})[1]

    def state() -> str:
        return str(daemon.ask("GET", f"/job/{job}")[1]["job"]["state"])

    until = time.monotonic() + PATIENCE_S
    while state() != "running" and time.monotonic() < until:
        time.sleep(0.02)
    moved(daemon.root / "taod.db")
    assert daemon.ask("GET", READY)[0] == 503
    gate.write_text("go\n")
    exit_file = daemon.root / "jobs" / job / "runs" / "1" / "exit"
    while not exit_file.exists() and time.monotonic() < until:
        time.sleep(0.02)
    put_back(daemon.root / "taod.db")
    while state() != "done" and time.monotonic() < until:
        time.sleep(0.05)
    assert state() == "done"
    daemon.script.unlink()


def taod(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command(), [*words])
    return result.exit_code, result.output


@pytest.mark.slow
def test_a_lost_database_is_restored_from_its_copy(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path).start()
    root, path = str(daemon.root), daemon.root / "taod.db"
    model = daemon.make("model", name="kept")
    code, said = taod("backup", "--root", root)
    assert (code, "Copied" in said) == (0, True)
    code, said = taod("restore", "--root", root, "--yes")
    assert (code, "served by another daemon" in said) == (1, True)
    assert daemon.stop() == 0
    os.truncate(path, path.stat().st_size // 2)
    again = [sys.executable, "-m", "taod", "serve", "--root", root, "--port", "0"]
    failed = subprocess.run(again, capture_output=True, text=True, timeout=PATIENCE_S)
    (copy,) = copies.listed(daemon.root / copies.FOLDER)
    assert failed.returncode != 0
    assert f"taod restore --root {root}` puts back the copy {copy.name}" in failed.stderr
    code, said = taod("doctor", "--root", root)
    assert (code, copy.name in said) == (1, True)
    code, said = taod("restore", "--root", root, "--yes")
    assert (code, f"Restored {copy}" in said) == (0, True)
    daemon.start()
    assert daemon.ask("GET", f"/model/{model}")[1]["name"] == "kept"
    assert daemon.stop() == 0


def test_a_root_with_jobs_and_without_a_database_is_not_served_as_a_new_one(tmp_path: Path) -> None:
    from taod.config import Config
    from taod.services.composition import open_services

    config = Config()
    config.storage.root = str(tmp_path)
    config.devices.gpus = False
    open_services(config).store.close()
    (Root(tmp_path).jobs / "11111111-1111-4111-8111-111111111111").mkdir()
    copies.copy_into(Root(tmp_path).backups, Root(tmp_path).database, 7)
    Root(tmp_path).database.unlink()
    with pytest.raises(ConfigError, match=r"is missing, although .* 1 jobs; `taod restore .* taod-.*\.db"):
        open_services(config)


@pytest.mark.parametrize("damage", ["empty", "a page", "zeros", "text"])
def test_a_damaged_copy_is_neither_restored_nor_called_good(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "taod.db"
    with sqlite3.connect(path):
        Store.open(path).close()
    good = copies.copy(path, tmp_path / copies.FOLDER / "taod-20200101-000000.db")
    bad = copies.copy(path, tmp_path / copies.FOLDER / "taod-20200102-000000.db")
    DAMAGES[damage](bad)
    assert copies.newest_good(tmp_path / copies.FOLDER) == good
    with pytest.raises(ConfigError, match="cannot be restored"):
        copies.restore(bad, path)


def test_only_the_newest_copies_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "taod.db"
    Store.open(path).close()
    for day in range(1, 6):
        copies.copy(path, tmp_path / copies.FOLDER / f"taod-2020010{day}-000000.db")
    made = copies.copy_into(tmp_path / copies.FOLDER, path, 3)
    assert [each.name[5:13] for each in copies.listed(tmp_path / copies.FOLDER)[1:]] == ["20200105", "20200104"]
    assert copies.listed(tmp_path / copies.FOLDER)[0] == made
    assert made.stat().st_mode & 0o077 == 0
