"""Forms that create a dataset and give it files."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec
from textual import on
from textual.suggester import Suggester
from textual.widget import Widget
from textual.widgets import Input, Select

from taod.client import AsyncClient, ClientError
from taod.types.dataset import Dataset, DatasetCreate
from taod.types.network import NetworkInfo
from tui.forms.form import Form, Row, choice

WHERE = "a folder is linked, an archive (.tar, .tar.gz, .zip, …) is uploaded; empty: later"


class Files(msgspec.Struct, frozen=True):
    """Source of a dataset's files."""

    dataset_id: str
    name: str
    archive: Path | None
    """To upload; None: linked already, or no files yet."""


class LocalFiles(Suggester):
    """Completes paths as a shell does."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(_completed, value)


def _completed(value: str) -> str | None:
    folder, _, beginning = value.rpartition("/")
    if not value or not (folder or value.startswith("/")):
        return None
    try:
        names = sorted(Path(folder or "/").expanduser().iterdir())
    except OSError:
        return None
    for found in names:
        if found.name.startswith(beginning) and (beginning or not found.name.startswith(".")):
            return f"{folder}/{found.name}" + ("/" if found.is_dir() else "")
    return None


def _found(where: str) -> tuple[Path, bool]:
    """The absolute path, and whether it is a file here."""
    path = Path(where).expanduser().absolute()
    return path, path.is_file()


async def add_files(client: AsyncClient, dataset: Dataset, where: str) -> Files:
    """Link a folder; an archive is returned for the caller to upload. Raises ClientError."""
    if not where:
        return Files(dataset.id, dataset.name, None)
    path, is_file = await asyncio.to_thread(_found, where)
    if is_file:
        return Files(dataset.id, dataset.name, path)
    # A folder that is not here may still be on the daemon's machine.
    await client.datasets.link(dataset.id, str(path))
    return Files(dataset.id, dataset.name, None)


class NewDataset(Form[Files]):
    """Creates a dataset; deletes it again if its folder cannot be linked."""

    YES = "Create"

    def __init__(self, client: AsyncClient, kinds: Sequence[NetworkInfo]) -> None:
        super().__init__("New dataset")
        self._client = client
        self._kinds = {kind.name: kind for kind in kinds}

    def rows(self) -> Iterable[Widget]:
        first = "object_detection" if "object_detection" in self._kinds else next(iter(self._kinds), None)
        yield Row("Name", Input(placeholder="a name of your choice", id="name", compact=True))
        yield Row("Type", choice("type", [(name, name) for name in self._kinds], first, "choose"))
        yield Row("Format", choice("format", self._formats(first), None, "choose"), "file format of its labels")
        yield Row("Files", Input(id="where", suggester=LocalFiles(), compact=True), WHERE)

    def _formats(self, kind: str | None) -> list[tuple[str, str]]:
        return [(each, each) for each in (self._kinds[kind].formats if kind in self._kinds else ())]

    @on(Select.Changed, "#type")
    def _typed(self, event: Select.Changed) -> None:
        event.stop()
        formats = self._formats(None if event.value is Select.NULL else str(event.value))
        field = self.query_one("#format", Select)
        field.set_options(formats)
        if len(formats) == 1:
            field.value = formats[0][1]

    async def submit(self) -> Files:
        name, kind, written = self.text("#name"), self.chosen("#type"), self.chosen("#format")
        if not name:
            raise ValueError("Name: enter a name.")
        if not kind or not written:
            raise ValueError("Type and format: choose both.")
        dataset = await self._client.datasets.create(DatasetCreate(type=kind, format=written, name=name))
        try:
            return await add_files(self._client, dataset, self.text("#where"))
        except ClientError:
            await self._client.datasets.delete(dataset.id)
            raise


class AddFiles(Form[Files]):
    """Adds or replaces the files of a dataset."""

    YES = "Add files"

    def __init__(self, client: AsyncClient, dataset: Dataset) -> None:
        super().__init__(f"Files of {dataset.name}".replace("[", r"\["))
        self._client, self._dataset = client, dataset

    def rows(self) -> Iterable[Widget]:
        yield Row("Files", Input(id="where", suggester=LocalFiles(), compact=True), WHERE.split(";")[0])

    async def submit(self) -> Files:
        if not self.text("#where"):
            raise ValueError("Files: enter the path of a folder or an archive.")
        return await add_files(self._client, self._dataset, self.text("#where"))
