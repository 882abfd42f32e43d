"""All services of one daemon, wired once."""

from __future__ import annotations

import asyncio

from runners.embedded import Embedded
from runners.environment import Rules
from runners.registry import RunnerRegistry
from store import Store
from taod.automl.controller import watch_of
from taod.automl.proposer import Proposer
from taod.catalogue import Catalogue
from taod.clock import Clock
from taod.config import Config
from taod.datasets.upload.ingest import Intake
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.scheduler import Scheduler
from taod.services.datasets.active_uploads import Uploads
from taod.services.datasets.dataset_service import Datasets
from taod.services.datasets.dataset_validation import Checks
from taod.services.datasets.derived_datasets import Derived
from taod.services.datasets.lineage import Lineage
from taod.services.datasets.samples import Samples
from taod.services.devices import DevicesView
from taod.services.jobs.command_builder import Planner
from taod.services.jobs.dry_run import DryRun
from taod.services.jobs.job_owner import Owners
from taod.services.jobs.job_service import Jobs
from taod.services.jobs.preflight_facts import Preflight
from taod.services.jobs.queue_service import Queue
from taod.services.jobs.spec_service import Specs
from taod.services.jobs.submission import Posting
from taod.services.models.model_service import Models
from taod.services.models.pretrained import Ptms
from taod.services.networks import Networks
from taod.services.publisher import Announcer
from taod.services.sweeps.sweep_service import Sweeps
from taod.services.users import Users
from taod.telemetry.bus import EventBus
from taod.telemetry.telemetry import Telemetry


class Services:
    """What a request may ask for. Everything here is used on the event loop's thread."""

    def __init__(
        self,
        *,
        store: Store,
        root: Root,
        catalogue: Catalogue,
        runners: RunnerRegistry,
        devices: DevicePool,
        scheduler: Scheduler,
        bus: EventBus,
        config: Config,
        clock: Clock,
        telemetry: Telemetry | None = None,
        uploads: Uploads | None = None,
        lineage: Lineage | None = None,
    ) -> None:
        self.store = store
        self.root = root
        self.catalogue = catalogue
        self.scheduler = scheduler
        self.bus = bus
        self.config = config
        self.clock = clock
        self.telemetry = telemetry
        self.started = clock.monotonic()
        self.ready = False
        """Whether the scheduler runs."""
        self.proposer = Proposer()
        scheduler.hand_over(watch_of(scheduler, store, self.proposer))
        self.closing = asyncio.Event()
        """Set when the server is asked to stop: streams that would go on for ever end then."""
        announcer = Announcer(bus)
        self.intake = Intake(root, config.limits, config.storage.keep_free_bytes)
        self.lineage = lineage or Lineage(store, announcer, clock, config.storage.link_check_s)
        self.users = Users(store)
        self.networks = Networks(catalogue, runners)
        self.devices_view = DevicesView(store, devices)
        self.datasets = Datasets(
            store=store,
            root=root,
            catalogue=catalogue,
            scheduler=scheduler,
            intake=self.intake,
            uploads=uploads if uploads is not None else Uploads(),
            announcer=announcer,
            lineage=self.lineage,
            config=config,
            clock=clock,
        )
        self.checks = Checks(
            store=store,
            root=root,
            engine=Embedded(config.runner.embedded, Rules.of(config.runner)),
            datasets=self.datasets,
            announcer=announcer,
            config=config.datasets,
            clock=clock,
        )
        self.samples = Samples(root, self.datasets)
        self.models = Models(
            store=store, root=root, catalogue=catalogue, scheduler=scheduler, announcer=announcer, clock=clock
        )
        self.ptms = Ptms(store=store, catalogue=catalogue, announcer=announcer, config=config, clock=clock)
        owners = Owners(self.datasets, self.models)
        self.specs = Specs(store, catalogue, owners, config.specs)
        planner = Planner(store, root, catalogue, runners, devices, uploads, config.specs.checkpoint)
        self.posting = Posting(
            store=store,
            catalogue=catalogue,
            runners=runners,
            devices=devices,
            scheduler=scheduler,
            owners=owners,
            specs=self.specs,
            planner=planner,
            announcer=announcer,
            preflight=Preflight(store, planner, self.checks.report),
            config=config.scheduler,
            automl=config.automl,
        )
        self.dry_run = DryRun(
            root=root,
            runners=runners,
            devices=devices,
            posting=self.posting,
            planner=planner,
        )
        self.queue = Queue(store=store, scheduler=scheduler, bus=bus, config=config.scheduler)
        self.jobs = Jobs(
            store=store,
            root=root,
            scheduler=scheduler,
            bus=bus,
            owners=owners,
            posting=self.posting,
            announcer=announcer,
            clock=clock,
        )
        self.derived = Derived(store, self.datasets, self.jobs)

        self.sweeps = Sweeps(store, self.proposer, scheduler)

    @property
    def uptime_s(self) -> float:
        return self.clock.monotonic() - self.started

    async def start(self) -> None:
        """Adopt what runs, settle what ended, and begin to schedule."""
        self.intake.start()
        await self.scheduler.start()
        self.checks.start()
        self.ready = True

    async def stop(self) -> None:
        """Stop watching; runs live on. Streams end."""
        self.ready = False
        self.closing.set()
        await self.checks.stop()
        await self.scheduler.stop()
        await self.proposer.close()
        await self.lineage.close()
        await self.intake.close()
        if self.telemetry is not None:
            await self.telemetry.close()
