"""A disk without a free byte: cancel, pause and delete work, and free what they free."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from store import Store
from tests.datasets.valid_sets import VALID
from tests.hostile.conftest import Daemon
from tests.patience import PATIENCE_S


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own of 48 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Take every free byte; returns the file that has them."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_a_full_disk_is_resolved_from_within(small_disk: Path) -> None:
    daemon = Daemon(small_disk).start()
    photos = small_disk / "photos"
    VALID["image_classification", "classification_pyt"](photos)
    dataset, model, spare = daemon.make("dataset"), daemon.make("model"), daemon.make("model")
    daemon.ask("POST", f"/dataset/{dataset}/link", {"path": str(photos)})
    daemon.ask("PATCH", f"/model/{model}", {"train_datasets": [dataset], "eval_dataset": dataset})

    def post() -> str:
        status, made = daemon.ask("POST", f"/model/{model}/job", {"actions": ["train"]})
        assert status == 201, made
        return str(made[0])

    def state(job: str) -> str:
        return str(daemon.ask("GET", f"/job/{job}")[1]["job"]["state"])

    daemon.script.write_text(":\n")
    daemon.script.chmod(0o755)
    ended = post()
    until(lambda: state(ended) == "done")
    daemon.script.write_text("exec sleep 600\n")
    first = post()
    until(lambda: state(first) == "running")
    second, third, fourth = post(), post(), post()
    filler = fill(small_disk)

    assert daemon.ask("POST", f"/job/{third}/cancel")[0] == 200
    assert state(third) == "cancelled"
    assert daemon.ask("POST", f"/job/{first}/pause")[0] == 200
    until(lambda: state(first) in ("paused", "cancelled", "failed"))
    assert daemon.ask("POST", f"/job/{second}/cancel")[0] == 200
    until(lambda: state(second) in ("cancelled", "failed"))
    assert daemon.ask("DELETE", f"/job/{third}")[0] == 200
    assert daemon.ask("DELETE", f"/job/{ended}")[0] == 200
    assert daemon.ask("DELETE", f"/model/{spare}")[0] == 200
    assert daemon.ask("POST", f"/job/{fourth}/cancel")[0] == 200
    until(lambda: state(fourth) in ("cancelled", "failed"))
    assert daemon.ask("GET", "/api/v1/health/readiness")[0] == 200
    filler.unlink()
    daemon.healthy()
    assert daemon.stop() == 0


@pytest.mark.parametrize("changes", [1, 100, 1000])
def test_small_changes_need_no_new_disk_space(small_disk: Path, changes: int) -> None:
    store = Store.open(small_disk / "taod.db")
    store.reserve()
    user = store.users.add("ada")
    fill(small_disk)
    for number in range(changes):
        with store.durable():
            token = store.users.add_token(user.id, kind="key", label="x" * 50, secret=f"secret {number}")
        if number % 2:
            store.users.revoke(token.id)
    assert len(store.users.tokens(user.id)) == changes - changes // 2
    store.close()


def test_a_reserve_that_finds_no_space_prevents_no_start(small_disk: Path) -> None:
    store = Store.open(small_disk / "taod.db")
    fill(small_disk)
    store.reserve()
    assert store.users.all() == []
    store.close()


def test_space_is_reserved_again_after_a_kill_while_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed = Store.open(tmp_path / "taod.db")
    with killed.transaction():
        killed._database.write("CREATE TABLE reserve (block BLOB)")
        killed._database.write("INSERT INTO reserve VALUES (zeroblob(1000000))")
    killed.close()
    store = Store.open(tmp_path / "taod.db")
    store.reserve()
    assert store._database.number("PRAGMA freelist_count") >= 1024
    assert store._database.number("SELECT count(*) FROM sqlite_master WHERE name = 'reserve'") == 0
    assert caplog.records == []
    store.close()
