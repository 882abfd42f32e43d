"""The services of one daemon, and their start and stop. `composition` builds them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from store import Store
from taod.automl.proposer import Proposer
from taod.catalogue import Catalogue
from taod.clock import Clock
from taod.config import Config
from taod.datasets.upload.ingest import DatasetIngest
from taod.notify.delivery import Deliveries
from taod.notify.disk import DiskMonitor
from taod.paths import Root
from taod.scheduler.scheduler import Scheduler
from taod.services.backups import Backups
from taod.services.datasets.dataset_records import DatasetRecords
from taod.services.datasets.dataset_service import Datasets
from taod.services.datasets.dataset_validation import Checks
from taod.services.datasets.derived_datasets import DerivedDatasets
from taod.services.datasets.lineage import Lineage
from taod.services.datasets.samples import Samples
from taod.services.devices import DevicesView
from taod.services.jobs.dry_run import DryRun
from taod.services.jobs.job_service import Jobs
from taod.services.jobs.queue_service import Queue
from taod.services.jobs.spec_service import Specs
from taod.services.jobs.submission import Submission
from taod.services.lanes import Lanes
from taod.services.models.model_release import ModelReleases
from taod.services.models.model_service import Models
from taod.services.models.pretrained import Ptms
from taod.services.networks import Networks
from taod.services.notifications import Notifications
from taod.services.parser import Parser
from taod.services.snapshots import Snapshots
from taod.services.streams import Streams
from taod.services.sweeps.sweep_service import Sweeps
from taod.services.tools import Tools
from taod.services.users import Users
from taod.telemetry.bus import EventBus
from taod.telemetry.telemetry import Telemetry
from taod.trackers.feed import Trackers
from taod.watch import SharedWatches


@dataclass(kw_only=True)
class Services:
    """All services of a daemon. They run on the event loop's thread, or in `snapshots`."""

    config: Config
    clock: Clock
    root: Root
    store: Store
    bus: EventBus
    catalogue: Catalogue
    scheduler: Scheduler
    telemetry: Telemetry
    proposer: Proposer
    parser: Parser
    intake: DatasetIngest
    lineage: Lineage
    users: Users
    networks: Networks
    devices_view: DevicesView
    dataset_records: DatasetRecords
    datasets: Datasets
    checks: Checks
    samples: Samples
    models: Models
    model_releases: ModelReleases
    ptms: Ptms
    specs: Specs
    submission: Submission
    dry_run: DryRun
    queue: Queue
    jobs: Jobs
    derived: DerivedDatasets
    sweeps: Sweeps
    tools: Tools
    backups: Backups
    notifications: Notifications
    deliveries: Deliveries
    disk: DiskMonitor
    trackers: Trackers
    snapshots: Snapshots
    streams: Streams
    transfers: Lanes
    """Uploads and downloads of archives, which compute for as long as they last."""
    watches: SharedWatches
    started: float
    """Start of the daemon by `clock.monotonic()`."""
    ready: bool = False
    """Whether the scheduler runs."""
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server stops."""

    @property
    def uptime_s(self) -> float:
        return self.clock.monotonic() - self.started

    async def start(self) -> None:
        """Adopt active runs, record ended ones, and start scheduling."""
        self.intake.start()
        await self.scheduler.start()
        self.checks.start()
        self.backups.start()
        self.deliveries.start()
        self.disk.start()
        self.trackers.start()
        self.ready = True

    def end_streams(self) -> None:
        """End endless answers: event streams and followed logs."""
        self.closing.set()
        self.bus.close()

    async def stop(self) -> None:
        """End streams and stop all services; runs continue."""
        self.ready = False
        self.end_streams()
        await self.disk.stop()
        await self.backups.stop()
        await self.checks.stop()
        await self.tools.stop()
        await self.scheduler.stop()
        await self.deliveries.stop()
        await self.trackers.stop()
        await self.proposer.close()
        await self.parser.close()
        await self.lineage.close()
        await self.intake.close()
        await self.telemetry.close()
        self.snapshots.close()
