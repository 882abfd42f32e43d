"""Finding a daemon: by its root, by its url, and the remedies when there is none."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from taod.client import ClientError, NoDaemon
from taod.client.find import find, serving
from taod.types.common import DaemonInfo


@pytest.fixture
def info(server: Any, tmp_path: Path) -> DaemonInfo:
    """daemon.json of a daemon that lives: this process."""
    started = psutil.Process().create_time()
    reported = DaemonInfo(
        server.url, os.getpid(), started, server.world.user, server.world.token, str(tmp_path), "0.1.0"
    )
    (tmp_path / "daemon.json").write_bytes(msgspec.json.encode(reported))
    return reported


async def test_by_its_root(info: DaemonInfo, tmp_path: Path) -> None:
    assert await asyncio.to_thread(find, tmp_path) == info


async def test_a_root_without_daemon(tmp_path: Path) -> None:
    with pytest.raises(NoDaemon, match=f"taod serve --root {tmp_path}"):
        find(tmp_path)


async def test_a_daemon_file_whose_process_ended(info: DaemonInfo, tmp_path: Path) -> None:
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    stale = msgspec.structs.replace(info, pid=gone.pid)
    (tmp_path / "daemon.json").write_bytes(msgspec.json.encode(stale))
    with pytest.raises(NoDaemon, match="has ended"):
        find(tmp_path)


async def test_a_pid_that_another_process_has_now(info: DaemonInfo, tmp_path: Path) -> None:
    stale = msgspec.structs.replace(info, started=info.started - 60)
    (tmp_path / "daemon.json").write_bytes(msgspec.json.encode(stale))
    with pytest.raises(NoDaemon, match="has ended"):
        find(tmp_path)


async def test_a_daemon_that_lives_and_does_not_answer(info: DaemonInfo, server: Any, tmp_path: Path) -> None:
    await server.stop()
    with pytest.raises(NoDaemon, match="taod stop"):
        await asyncio.to_thread(find, tmp_path)


async def test_a_daemon_that_lives_is_named_without_asking_it(info: DaemonInfo, server: Any, tmp_path: Path) -> None:
    await server.stop()
    assert serving(tmp_path) == info


async def test_a_damaged_daemon_file(tmp_path: Path) -> None:
    (tmp_path / "daemon.json").write_text("{")
    with pytest.raises(NoDaemon, match=r"daemon\.json cannot be read"):
        find(tmp_path)


async def test_by_its_url_with_a_key(server: Any, tmp_path: Path) -> None:
    found = await asyncio.to_thread(find, tmp_path, f"{server.url}/", server.world.key)
    assert (found.url, found.user_id, found.token) == (server.url, server.world.user, server.world.token)


async def test_by_its_url_with_a_bearer_token(server: Any, tmp_path: Path) -> None:
    found = await asyncio.to_thread(find, tmp_path, server.url, server.world.token)
    assert (found.user_id, found.token) == (server.world.user, server.world.token)


async def test_by_its_url_with_a_token_that_is_not_known(server: Any, tmp_path: Path) -> None:
    with pytest.raises(ClientError, match="not known") as caught:
        await asyncio.to_thread(find, tmp_path, server.url, "wrong")
    assert caught.value.status == 401


async def test_by_the_url_that_the_root_reports_no_token_is_needed(
    info: DaemonInfo, server: Any, tmp_path: Path
) -> None:
    assert await asyncio.to_thread(find, tmp_path, server.url) == info
    with pytest.raises(NoDaemon, match="--token"):
        find(tmp_path, "http://127.0.0.1:1")
