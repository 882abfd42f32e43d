"""The dashboard in a browser: the guard, and the page behind it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import pytest

from taod import installed
from taod.client import ClientError
from tests.patience import PATIENCE_S
from tui.web import guarded_app, serve

TOKEN = "a-token-of-this-run"
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
async def site() -> AsyncIterator[tuple[str, aiohttp.ClientSession]]:
    """A guarded page whose programs are `true`, and a browser that has not been there."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    runner = aiohttp.web.AppRunner(await guarded_app(["true"], port, TOKEN))
    await runner.setup()
    await aiohttp.web.SockSite(runner, listening).start()
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield f"http://127.0.0.1:{port}", session
    await runner.cleanup()


@pytest.mark.parametrize("path", ["/", "/ws", "/static/js/textual.js", "/download/x", "/nothing", "/?token=wrong"])
async def test_without_the_token_nothing_is_shown(site: Any, path: str) -> None:
    url, session = site
    async with session.get(url + path) as answer:
        assert answer.status == 401
        assert "taod tui --web" in await answer.text()
        assert not answer.cookies


async def test_the_token_in_the_address_becomes_a_cookie_and_leaves_the_address(site: Any) -> None:
    url, session = site
    async with session.get(f"{url}/?token={TOKEN}", allow_redirects=False) as answer:
        assert (answer.status, answer.headers["Location"]) == (303, "/")
        (cookie,) = answer.cookies.values()
        assert cookie["httponly"] and cookie["samesite"] == "Strict"
    async with session.get(url) as answer:
        assert answer.status == 200
        assert "textual.js" in await answer.text()
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("headers", [{"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}])
async def test_another_host_or_origin_is_rejected_even_with_the_token(site: Any, headers: dict[str, str]) -> None:
    url, session = site
    async with session.get(f"{url}/?token={TOKEN}"):
        pass
    for path in ("/", "/ws", f"/?token={TOKEN}"):
        async with session.get(url + path, headers=headers, allow_redirects=False) as answer:
            assert answer.status == 403


def test_without_the_library_the_error_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    with pytest.raises(ClientError, match=re.escape(installed.add("web"))):
        serve([], 0)


async def test_a_port_in_use_is_reported(site: Any) -> None:
    with pytest.raises(ClientError, match="give another --port"):
        serve([], int(site[0].rpartition(":")[2]))


@pytest.mark.slow
async def test_the_page_is_the_dashboard(server: Any, busy: Any) -> None:
    environment = {**os.environ, "TAOD_TOKEN": busy.key, "PYTHONUNBUFFERED": "1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "taod", "tui", "--web", "--url", server.url,
        cwd=REPOSITORY, env=environment, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), PATIENCE_S)).decode()
        found = re.search(r"(http://127\.0\.0\.1:\d+)(/\?token=\S+)", line)
        assert found, line
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            async with session.get(found[1] + found[2]) as answer:
                assert answer.status == 200
            async with session.ws_connect(f"{found[1]}/ws?width=120&height=40", origin=found[1]) as page:
                await asyncio.wait_for(_seen(page, busy.train.id[:8].encode()), PATIENCE_S)
    finally:
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


async def _seen(page: aiohttp.ClientWebSocketResponse, wanted: bytes) -> None:
    """Read what the page is sent until it has the wanted bytes."""
    seen = b""
    async for message in page:
        seen = seen[-8192:] + (message.data if isinstance(message.data, bytes) else message.data.encode())
        if wanted in seen:
            return
    raise AssertionError(f"the page ended without {wanted!r}: {seen!r}")
