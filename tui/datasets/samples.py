"""Thumbnails of some images of a dataset, with their boxes and classes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from rich.text import Text
from textual import work
from textual.containers import Grid, Vertical
from textual.widgets import Static

from taod.client import AsyncClient, ClientError
from taod.types.dataset import DatasetSample
from tui.image_widget import ImageWidget, decode_image
from tui.live import LiveNode, delivery
from tui.theme import DIM, SOFT

if TYPE_CHECKING:
    from PIL.Image import Image

SETTLE_S = 0.3
SHOWN = 6
MOST_LINES = 12


class Samples(LiveNode, Vertical):
    """Shows a few images at a time; requested only when a dataset stays selected for SETTLE_S."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="samples")
        self._client = client
        self._of: tuple[str, str | None] | None = None
        """Id and fingerprint of the shown dataset."""
        self._known: list[DatasetSample] = []
        self._first = 0

    @delivery
    def show(self, dataset_id: str | None, fingerprint: str | None) -> None:
        """Show images of the dataset at this fingerprint; `dataset_id` None: no images."""
        wanted = None if dataset_id is None or fingerprint is None else (dataset_id, fingerprint)
        if wanted == self._of:
            return
        self._of, self._known, self._first = wanted, [], 0
        self._read()

    @delivery
    def more(self) -> None:
        """Show the next images; after the last, start again at the first."""
        if len(self._known) > SHOWN:
            self._first = (self._first + SHOWN) if self._first + SHOWN < len(self._known) else 0
            self._read()

    @work(group="samples", exclusive=True)
    async def _read(self) -> None:
        await self.remove_children()
        if self._of is None:
            return
        dataset_id = self._of[0]
        await asyncio.sleep(SETTLE_S)
        try:
            if not self._known:
                self._known = await self._client.datasets.samples(dataset_id)
            page = self._known[self._first : self._first + SHOWN]
            data = [await self._client.datasets.thumbnail(dataset_id, each.number) for each in page]
        except ClientError as error:
            if error.status not in (0, 404):
                await self.mount(Static(Text(error.description, style=DIM)))
            return
        if page:
            await self._draw(page, data)

    async def _draw(self, page: Sequence[DatasetSample], data: Sequence[bytes]) -> None:
        images = await asyncio.to_thread(lambda: [_decoded(each) for each in data])
        last = self._first + len(page)
        title = Text("Images", style=f"bold {SOFT}")
        title.append(f"  {self._first + 1} to {last} of {len(self._known)}, p: next images", style=f"not bold {DIM}")
        cells = [
            Vertical(
                ImageWidget(image, most_lines=MOST_LINES, classes="sample"),
                Static(_caption(sample)),
                classes="sample-cell",
            )
            for sample, image in zip(page, images, strict=True)
            if image is not None
        ]
        await self.mount(Static(title), Grid(*cells, id="sample-grid"))


def _decoded(data: bytes) -> Image | None:
    """The decoded image; None if it cannot be decoded."""
    try:
        return decode_image(data)
    except OSError:
        return None


def _caption(sample: DatasetSample) -> Text:
    text = Text(PurePosixPath(sample.image).name, style=DIM, no_wrap=True, overflow="ellipsis")
    if sample.classes:
        text = Text(", ".join(sample.classes), style=SOFT, no_wrap=True, overflow="ellipsis").append(" ").append(text)
    return text
