"""The dashboard on a real daemon with a real train: with Textual's pilot, and in a real tmux."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taod.client import AsyncClient
from taod.types.state import State
from tests.e2e.journey import REPOSITORY, Daemon, ended, halted, small_model, train, until
from tests.e2e.screen import shown
from tests.patience import PATIENCE_S
from tui.app import Dashboard
from tui.screens.confirm import Confirm

pytestmark = [pytest.mark.slow, pytest.mark.engine]

SIZE = (120, 40)


async def test_a_train_is_watched_paused_resumed_and_cancelled_by_keys(
    daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path
) -> None:
    job_id = await train(client, await small_model(client, images, tmp_path, epochs=1000))
    app = Dashboard(daemon.client())
    async with app.run_test(size=SIZE) as pilot:

        def cell(column: str) -> str:
            text: str = app.screen.jobs.table.cell(job_id, column).plain
            return text

        await shown(pilot, lambda: job_id in app.screen_stack[-1].jobs.table.rows)
        await shown(pilot, lambda: "/1000" in cell("progress"))
        await shown(pilot, lambda: any("epoch 1/1000" in line for line in list(app.screen.job.log_view.lines)))
        assert cell("device") == "cpu0"

        await pilot.press("p")
        await shown(pilot, lambda: isinstance(app.screen, Confirm) or cell("word") == "paused")
        if isinstance(app.screen, Confirm):
            await pilot.press("y")
        await shown(pilot, lambda: not isinstance(app.screen, Confirm) and cell("word") == "paused")
        await pilot.press("r")
        await shown(pilot, lambda: cell("word") == "running")

        await pilot.press("c")
        await shown(pilot, lambda: isinstance(app.screen, Confirm))
        await pilot.press("y")
        await shown(pilot, lambda: not isinstance(app.screen, Confirm) and cell("word") == "cancelled")
    assert (await client.jobs.get(job_id)).job.state is State.CANCELLED


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """A tmux server of the test's own."""
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    socket = str(tmp_path / "tmux")

    def call(*arguments: str) -> str:
        return subprocess.run(["tmux", "-S", socket, *arguments], capture_output=True, text=True, check=True).stdout

    yield call
    subprocess.run(["tmux", "-S", socket, "kill-server"], capture_output=True, check=False)


class Pane:
    """The real dashboard in a pane of tmux."""

    def __init__(self, tmux: Callable[..., str], root: Path) -> None:
        self._tmux = tmux
        # A test runner may export a terminal size, which would override tmux's.
        dashboard = f"{sys.executable} -m taod tui --root {root}"
        command = f"cd {REPOSITORY}; unset COLUMNS LINES; {dashboard}; echo exit code $?; exec cat"
        tmux("-f", "/dev/null", "new-session", "-d", "-s", "taod", "-x", "120", "-y", "40", command)

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", "-t", "taod", *keys)

    async def shows(self, *wanted: str) -> None:
        """Wait until all of this is on the screen."""
        text = ""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not all(word in text for word in wanted):
                    await asyncio.sleep(0.1)  # tmux does not report changes of the screen
                    text = await asyncio.to_thread(self._tmux, "capture-pane", "-p", "-t", "taod")
        except TimeoutError:
            raise AssertionError(f"{wanted} not on the screen:\n{text}") from None


@pytest.mark.tmux
async def test_in_a_real_terminal_it_shows_the_train_and_leaves_it_running(
    daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path, tmux: Callable[..., str]
) -> None:
    job_id = await train(client, await small_model(client, images, tmp_path, epochs=8, each=8))
    async with halted(daemon, client, job_id):
        pane = Pane(tmux, daemon.root)
        await pane.shows("Devices", job_id[:8], "running", "/8")
        pane.press("k")
        await pane.shows("accuracy_top-1", "train_loss")
        pane.press("?")
        await pane.shows("Cancel the job (asks first)")
        pane.press("Escape")
    done = await until(client, job_id, ended)
    assert done.job.state is State.DONE
    await pane.shows("done", "1 done")
    pane.press("q")
    await pane.shows("exit code 0")


@pytest.mark.tmux
async def test_in_a_real_terminal_a_job_is_found_followed_cancelled_and_resumed(
    daemon: Daemon, client: AsyncClient, images: Path, tmp_path: Path, tmux: Callable[..., str]
) -> None:
    model_id = await small_model(client, images, tmp_path, epochs=1000)
    job_id, queued = await train(client, model_id), await train(client, model_id)
    pane = Pane(tmux, daemon.root)
    await pane.shows(job_id[:8], queued[:8], "All 2")
    pane.press("/")
    pane.press(job_id[:6], "Enter")
    await pane.shows(job_id[:8], "● running", "1 ─")
    pane.press("l", "Enter")
    await pane.shows("/1000 done in", "Running with embedded")
    pane.press("c")
    await pane.shows(f"Cancel train {job_id[:8]}", "its checkpoints are kept")
    pane.press("y")
    await until(client, job_id, lambda detail: detail.job.state is State.CANCELLED)
    await pane.shows("cancelled")
    pane.press("r")
    await until(client, job_id, lambda detail: detail.job.attempt == 1 and not detail.job.state.ended)
    # The terminal reads a key right after an escape as that key with Alt.
    pane.press("Escape")
    await pane.shows("1 ─")
    pane.press("Escape")
    await pane.shows("2 ─", queued[:8])
    pane.press("q")
    await pane.shows("exit code 0")
    assert not (await client.jobs.get(job_id)).job.state.ended
