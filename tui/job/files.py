"""The tab of artifacts: a tree of files with sizes, a preview, and keys that save files locally."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from taod.client import AsyncClient, ClientError, NoDaemon
from taod.types.job import Artifact, JobView
from tui import format
from tui.image_widget import ImageWidget, decode_image
from tui.job.preview import IMAGE_BYTES, TEXT_BYTES, is_image, preview
from tui.live import LiveNode, delivery
from tui.theme import DIM, SOFT, TEXT

SETTLE_S = 0.1
NAME_CELLS = 44


class FilesPane(LiveNode, Horizontal):
    """Reads the list when the tab is opened; for a running job, each time."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "save", "Save", tooltip="Save the file in the folder that the dashboard was started in"),
        Binding("S", "save_all", "Save all", show=False, tooltip="Save all files of the job as one archive"),
    ]

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(id="files")
        self._client = client
        self._view: JobView | None = None
        self._files: dict[str, Artifact] = {}
        self._read_for: str | None = None

    def compose(self) -> ComposeResult:
        yield OptionList(id="file-list", compact=True)
        with VerticalScroll(id="file-scroll"):
            yield Static("", id="file-preview")

    @delivery
    def show(self, view: JobView | None) -> None:
        """Show another job; its files are read when the tab is opened."""
        self._view, self._read_for = view, None
        self._files = {}
        self.query_one(OptionList).clear_options()
        self._show_message("")

    @delivery
    def opened(self) -> None:
        """The tab was opened: read the list, unless it is known and final."""
        view = self._view
        if view is not None and (self._read_for != view.id or not view.state.ended):
            self._read(view.id)

    @property
    def chosen(self) -> Artifact | None:
        option = self.query_one(OptionList).highlighted_option
        return self._files.get(option.id or "") if option is not None else None

    @work(group="files", exclusive=True)
    async def _read(self, job_id: str) -> None:
        try:
            files = await self._client.files.list(job_id)
        except NoDaemon:
            return
        except ClientError as error:
            self._show_message("No files yet." if error.status == 404 else error.description)
            return
        self._read_for = job_id
        self._list(files)

    def _list(self, files: Sequence[Artifact]) -> None:
        kept = self.chosen
        self._files = {file.path: file for file in files}
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(listed(files))
        if not files:
            self._show_message("No files yet.")
            return
        first = kept.path if kept is not None and kept.path in self._files else in_order(files)[0].path
        options.highlighted = options.get_option_index(first)

    @on(OptionList.OptionHighlighted)
    def _moved(self, event: OptionList.OptionHighlighted) -> None:
        event.stop()
        self._preview()

    @work(group="preview", exclusive=True)
    async def _preview(self) -> None:
        view, file = self._view, self.chosen
        if view is None or file is None:
            return
        await asyncio.sleep(SETTLE_S)
        try:
            if is_image(file.path) and file.size_bytes <= IMAGE_BYTES:
                await self._image(view.id, file)
                return
            data = await self._client.files.read(view.id, file.path, 0, TEXT_BYTES)
        except NoDaemon:
            return
        except ClientError as error:
            self._show_message(error.description)
            return
        await self._clear_image()
        self.query_one("#file-preview", Static).update(preview(file.path, data, file.size_bytes))

    async def _image(self, job_id: str, file: Artifact) -> None:
        """Show an image, drawn with half blocks."""
        with tempfile.TemporaryDirectory() as folder:
            path = await self._client.files.download(job_id, file.path, Path(folder) / "image")
            try:
                image = await asyncio.to_thread(lambda: decode_image(path.read_bytes()))
            except OSError as error:
                self._show_message(f"The image cannot be decoded: {error}")
                return
        await self._clear_image()
        self._show_message(f"{image.width} × {image.height}")
        await self.query_one("#file-scroll").mount(ImageWidget(image, classes="image"))

    async def _clear_image(self) -> None:
        await self.query(".image").remove()

    def _show_message(self, words: str) -> None:
        self.query_one("#file-preview", Static).update(Text(words, style=DIM))

    @work(group="save")
    async def action_save(self) -> None:
        view, file = self._view, self.chosen
        if view is None or file is None:
            return
        into = Path.cwd() / PurePosixPath(file.path).name
        await self._save(into, self._client.files.download(view.id, file.path, into))

    @work(group="save")
    async def action_save_all(self) -> None:
        view = self._view
        if view is None:
            return
        into = Path.cwd() / f"{view.action}-{format.short(view.id)}.tar.gz"
        await self._save(into, self._client.files.download_all(view.owner_kind, view.owner_id, view.id, into))

    async def _save(self, into: Path, fetching: Awaitable[object]) -> None:
        self.notify(f"Saving {into.name} …", timeout=2, markup=False)
        try:
            await fetching
        except (ClientError, OSError) as error:
            self.notify(str(error), title="Not saved", severity="error", timeout=10, markup=False)
        else:
            self.notify(str(into), title="Saved", markup=False)


def in_order(files: Sequence[Artifact]) -> list[Artifact]:
    """The files of a folder first, then its subfolders, each by name."""

    def folder_order(file: Artifact) -> list[tuple[bool, str]]:
        *folders, name = PurePosixPath(file.path).parts
        return [*((True, folder) for folder in folders), (False, name)]

    return sorted(files, key=folder_order)


def listed(files: Sequence[Artifact]) -> list[Option]:
    """The files as a tree: each folder once, with its total size, its files indented below it."""
    held: dict[PurePosixPath, int] = {}
    for file in files:
        for folder in PurePosixPath(file.path).parents:
            held[folder] = held.get(folder, 0) + file.size_bytes
    options, open_folders = [], {PurePosixPath()}
    for file in in_order(files):
        path = PurePosixPath(file.path)
        for folder in reversed(path.parents):
            if folder not in open_folders:
                open_folders.add(folder)
                options.append(Option(_line(folder, f"{folder.name}/", held[folder], SOFT), disabled=True))
        options.append(Option(_line(path, path.name, file.size_bytes, TEXT), id=file.path))
    return options


def _line(path: PurePosixPath, name: str, size_bytes: int, style: str) -> Text:
    shown = "  " * (len(path.parts) - 1) + name
    if len(shown) > NAME_CELLS:
        shown = shown[: NAME_CELLS - 1] + "…"
    text = Text(shown.ljust(NAME_CELLS), style=style, no_wrap=True)
    return text.append(format.size(size_bytes).rjust(10), style=SOFT)
