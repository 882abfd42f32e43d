"""The page of datasets: list, details, uploads, and the actions of keys."""

from __future__ import annotations

from typing import ClassVar

from rich.markup import escape
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from taod.client import ClientError
from taod.types.dataset import Dataset, DatasetReport, UploadProgress
from taod.types.release import NEWEST
from tui import feed
from tui.datasets.details import COLUMNS, DatasetDetails, rows
from tui.datasets.forms import AddFiles, Files, NewDataset
from tui.datasets.review import GOING
from tui.datasets.uploads import Uploads
from tui.lists.panel import ListPanel
from tui.run.dialogue import RunDialogue
from tui.screens.confirm import Confirm
from tui.screens.list_page import FILTER_KEYS, ListPage

EMPTY = "No datasets yet.\n\n[$primary]n[/] [$dim]create one from a folder or an archive[/]"


class DatasetsPage(ListPage[Dataset]):
    """All datasets of the user, newest first."""

    NAME = "datasets"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new", "New", tooltip="New dataset, from a folder or an archive"),
        Binding(
            "u", "add_files", "Upload or link", tooltip="Add files to the dataset: upload an archive or link a folder"
        ),
        Binding("t", "run", "Run", tooltip="Run an action on the dataset"),
        Binding("v", "check", "Check", tooltip="Check all its files in the background, or cancel the check"),
        Binding("p", "images", "Images", show=False, tooltip="Show more of its images"),
        Binding("x", "delete", "Delete", tooltip="Delete the dataset (asks first)"),
        *FILTER_KEYS,
    ]

    def __init__(self) -> None:
        super().__init__()
        self._uploads: dict[str, UploadProgress] = {}
        """Upload progress by dataset, reported since its summary was requested; the summary may be older."""

    def parts(self) -> ComposeResult:
        with Container(classes="list-and-details"):
            yield ListPanel("Datasets", COLUMNS, "datasets")
            yield DatasetDetails(self.dashboard.client)
        yield Uploads(self.dashboard.client)

    async def fetch(self) -> None:
        page = await self.dashboard.client.datasets.list()
        self.items = {dataset.id: dataset for dataset in page.items}

    def draw(self) -> None:
        self.listing.show({dataset.id: rows(dataset) for dataset in self.items.values()}, EMPTY)

    @on(feed.DatasetChanged)
    def _changed(self, event: feed.DatasetChanged) -> None:
        self.read()

    @on(feed.JobChanged)
    def _job_changed(self, event: feed.JobChanged) -> None:
        if event.view.owner_id in self.items and event.view.state.ended:
            self.read()

    def show_selected(self) -> None:
        self._read_selected()

    @work(group="details", exclusive=True)
    async def _read_selected(self) -> None:
        dataset = self.selected
        details = self.query_one(DatasetDetails)
        if dataset is None:
            details.show(None, None)
            return
        self._uploads.pop(dataset.id, None)
        try:
            summary = await self.dashboard.client.datasets.summary(dataset.id)
        except ClientError as error:
            if error.status not in (0, 404):
                self.notify_error(error)
            summary = None
        if summary is not None and dataset.id in self._uploads:
            summary.upload = _unfinished(self._uploads[dataset.id])
        names = {each.id: each.name for each in self.items.values()}
        details.show(dataset, summary, names)
        try:
            report = await self.dashboard.client.datasets.report(dataset.id)
        except ClientError as error:
            if error.status not in (0, 404):
                self.notify_error(error)
            return
        if self.selected is not None and self.selected.id == dataset.id:
            details.report(report)

    @on(feed.CheckProgressed)
    def _check_progressed(self, event: feed.CheckProgressed) -> None:
        """Progress of a running check; its end is reported by a change of the dataset."""
        now = event.progress
        if self.selected is not None and self.selected.id == now.dataset_id and now.state in GOING:
            going = DatasetReport(now.state, now.message, deep=now.deep, progress=now.progress)
            self.query_one(DatasetDetails).report(going)

    @on(feed.UploadProgressed)
    def _upload_progressed(self, event: feed.UploadProgressed) -> None:
        progress = event.progress
        dataset = self.items.get(progress.dataset_id)
        self.query_one(Uploads).show_progress(
            progress, dataset.name if dataset is not None else progress.dataset_id[:8]
        )
        if self.selected is not None and self.selected.id == progress.dataset_id:
            self._uploads[progress.dataset_id] = progress
            self.query_one(DatasetDetails).uploading(_unfinished(progress))

    def why_not(self, action: str) -> str:
        return "No dataset is selected. n: create one"

    def allows(self, action: str) -> bool | None:
        if action in ("add_files", "run", "delete", "check", "images"):
            return True if self.selected is not None else None
        return True

    @work(group="ask", exclusive=True)
    async def action_new(self) -> None:
        try:
            networks = await self.dashboard.client.networks.list(NEWEST)
        except ClientError as error:
            self.notify_error(error)
            return
        # Some types are also networks, with datasets of their own.
        kinds = [each for each in networks if each.kind == "dataset" or each.name == each.dataset_type]
        self._add_files(await self.app.push_screen_wait(NewDataset(self.dashboard.client, kinds)))

    @work(group="ask", exclusive=True)
    async def action_add_files(self) -> None:
        if (dataset := self.selected) is not None:
            self._add_files(await self.app.push_screen_wait(AddFiles(self.dashboard.client, dataset)))

    def _add_files(self, files: Files | None) -> None:
        if files is None:
            return
        self.read(files.dataset_id)
        if files.archive is not None:
            self.query_one(Uploads).send(files.dataset_id, files.name, files.archive)

    @on(Uploads.UploadDone)
    def _uploaded(self, event: Uploads.UploadDone) -> None:
        self.notify(escape(event.words), title=escape(event.name))
        self.read(event.dataset_id)

    @on(Uploads.Failed)
    def _rejected(self, event: Uploads.Failed) -> None:
        self.notify(escape(event.reason), title=f"{escape(event.name)} was not uploaded", severity="error", timeout=20)
        self.read(event.dataset_id)

    @work(group="ask", exclusive=True)
    async def action_run(self) -> None:
        dataset = self.selected
        if dataset is None:
            return
        started = await self.app.push_screen_wait(
            RunDialogue(self.dashboard.client, "dataset", dataset.id, dataset.name, dataset.type, dataset.jobs)
        )
        if started:
            self.dashboard.show_job(started[0])

    @work(group="ask", exclusive=True)
    async def action_delete(self) -> None:
        dataset = self.selected
        if dataset is None:
            return
        consequence = "Its uploaded files are deleted. A linked folder is not changed."
        if await self.app.push_screen_wait(
            Confirm(f"Delete '{dataset.name}'?", consequence, "Delete dataset", "Keep dataset")
        ):
            try:
                await self.dashboard.client.datasets.delete(dataset.id)
            except ClientError as error:
                self.notify_error(error)
            self.read()

    @work(group="ask", exclusive=True)
    async def action_check(self) -> None:
        dataset, client = self.selected, self.dashboard.client
        if dataset is None:
            return
        try:
            going = (await client.datasets.report(dataset.id)).state in GOING
            await (client.datasets.cancel_check(dataset.id) if going else client.datasets.check(dataset.id))
        except ClientError as error:
            self.notify_error(error)
            return
        self.show_selected()

    def action_images(self) -> None:
        self.query_one(DatasetDetails).samples.more()


def _unfinished(progress: UploadProgress) -> UploadProgress | None:
    return None if progress.stage == "done" else progress
