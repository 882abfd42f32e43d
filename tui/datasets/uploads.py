"""Uploads of archives in the background: a line with a progress bar for each."""

from __future__ import annotations

import time
from pathlib import Path

from rich.text import Text
from textual import work
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Static

from taod.client import AsyncClient, ClientError
from taod.types.dataset import UploadProgress
from tui import format
from tui.datasets import review
from tui.live import LiveNode, delivery
from tui.theme import DIM, SOFT, TEXT

DRAW_EVERY_S = 0.1
BAR_CELLS = 30


class Uploads(LiveNode, Vertical):
    """Uploads archives in parallel."""

    class UploadDone(Message):
        """An archive was uploaded; `words`: the daemon's answer."""

        def __init__(self, dataset_id: str, name: str, words: str) -> None:
            super().__init__()
            self.dataset_id, self.name, self.words = dataset_id, name, words

    class Failed(Message):
        """An archive was rejected or could not be read, or the connection was lost."""

        def __init__(self, dataset_id: str, name: str, reason: str) -> None:
            super().__init__()
            self.dataset_id, self.name, self.reason = dataset_id, name, reason

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="uploads")
        self._client = client
        self._sending: list[str] = []
        """Datasets that this dashboard uploads to."""
        self._others: dict[str, Static] = {}
        """Lines of the uploads of other clients, by dataset."""

    @delivery
    def show_progress(self, progress: UploadProgress, name: str) -> None:
        """Show the progress of an upload; uploads of this dashboard have their own line."""
        over = progress.stage in ("done", "failed")
        line = self._others.get(progress.dataset_id)
        if over or progress.dataset_id in self._sending:
            if line is not None:
                del self._others[progress.dataset_id]
                line.remove()
            return
        if line is None:
            line = self._others[progress.dataset_id] = Static("", classes="upload")
            self.mount(line)
        line.update(Text(f"{name}  ", style=TEXT).append_text(review.upload(progress)))

    @delivery
    def send(self, dataset_id: str, name: str, archive: Path) -> None:
        """Start to upload an archive."""
        line = Static(Text(f"{name}  starting …", style=SOFT), classes="upload")
        self.mount(line)
        self._send(dataset_id, name, archive, line)

    @work(group="uploads")
    async def _send(self, dataset_id: str, name: str, archive: Path, line: Static) -> None:
        drawn, started = 0.0, time.monotonic()
        self._sending.append(dataset_id)

        def progress(sent: int, total: int) -> None:
            nonlocal drawn
            now = time.monotonic()
            if sent < total and now - drawn < DRAW_EVERY_S:
                return
            drawn = now
            line.update(_line(name, sent, total, now - started))

        try:
            answer = await self._client.datasets.upload(dataset_id, archive, progress)
        except ClientError as error:
            self.post_message(self.Failed(dataset_id, name, error.description))
        except OSError as error:
            self.post_message(self.Failed(dataset_id, name, f"{archive}: {error.strerror or error}"))
        else:
            self.post_message(self.UploadDone(dataset_id, name, answer.message))
        finally:
            self._sending.remove(dataset_id)
            if line.is_mounted:
                await line.remove()


def _line(name: str, sent: int, total: int, seconds: float) -> Text:
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{name}  ", style=TEXT)
    text.append_text(format.bar(sent / total if total else 1.0, BAR_CELLS))
    text.append(f"  {format.size(sent)} of {format.size(total)}", style=SOFT)
    if sent >= total:
        return text.append("  unpacking and checking …", style=DIM)
    if seconds > 1:
        text.append(f"  {format.size(int(sent / seconds))}/s", style=DIM)
        text.append(f"  {format.duration((total - sent) / (sent / seconds))} left" if sent else "", style=DIM)
    return text
