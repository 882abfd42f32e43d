"""The composition root: builds every part of a daemon from its configuration, each with its collaborators."""

from __future__ import annotations

import sqlite3

from runners.embedded import Embedded
from runners.environment import Rules
from runners.protocol import place_of
from runners.registry import RunnerRegistry
from store import Store, copies
from taod.automl.controller import sweep_supervisors
from taod.automl.proposer import Proposer
from taod.catalogue import Catalogue
from taod.clock import Clock, SystemClock
from taod.config import Config
from taod.datasets.upload.ingest import DatasetIngest
from taod.errors import ConfigError
from taod.ids import is_id
from taod.notify.delivery import Deliveries
from taod.notify.disk import DiskMonitor
from taod.notify.outbox import Outbox
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.scheduler import Scheduler
from taod.services.backups import Backups
from taod.services.datasets.dataset_records import DatasetRecords, Uploads
from taod.services.datasets.dataset_service import Datasets
from taod.services.datasets.dataset_validation import Checks
from taod.services.datasets.derived_datasets import DerivedDatasets
from taod.services.datasets.lineage import Lineage
from taod.services.datasets.samples import Samples
from taod.services.devices import DevicesView
from taod.services.jobs.command_builder import CommandBuilder
from taod.services.jobs.dry_run import DryRun
from taod.services.jobs.job_owner import Owners
from taod.services.jobs.job_service import Jobs
from taod.services.jobs.job_update import JobUpdate
from taod.services.jobs.preflight_facts import Preflight
from taod.services.jobs.queue_service import Queue
from taod.services.jobs.resolution import Resolver
from taod.services.jobs.spec_service import Specs
from taod.services.jobs.submission import Submission
from taod.services.lanes import Lanes
from taod.services.models.model_release import ModelReleases
from taod.services.models.model_service import Models
from taod.services.models.pretrained import Ptms
from taod.services.networks import Networks
from taod.services.notifications import Notifications
from taod.services.parser import Parser
from taod.services.services import Services
from taod.services.snapshots import Snapshots
from taod.services.streams import Streams
from taod.services.sweeps.sweep_service import Sweeps
from taod.services.tools import Tools
from taod.services.users import Users
from taod.telemetry.bus import EventBus
from taod.telemetry.publisher import Publisher
from taod.telemetry.telemetry import Telemetry
from taod.trackers.feed import Trackers
from taod.types.device import Device, DeviceKind
from taod.watch import SharedWatches


def open_services(config: Config, clock: Clock | None = None) -> Services:
    """Open the root of `config` and build its services; nothing runs before `Services.start`.

    The caller holds the root's lock. Raises ConfigError for an unusable root or configuration.
    """
    clock = clock if clock is not None else SystemClock()
    root = Root(config.root)
    root.make()
    store = _open_store(root, clock)
    try:
        services = _build(config, clock, root, store)
        store.reserve()
        services.intake.clean()
        services.datasets.recover()
        services.ptms.seed(services.catalogue.pretrained())
    except BaseException:
        store.close()
        raise
    return services


def _open_store(root: Root, clock: Clock) -> Store:
    """Open the store of a root. Raises ConfigError if its database is damaged, or missing although jobs have files."""
    jobs = sum(is_id(each.name) for each in root.jobs.iterdir())
    try:
        if jobs and not root.database.exists():
            raise ConfigError(f"{root.database} is missing, although the root has the files of {jobs} jobs")
        return Store.open(root.database, clock=clock)
    except (ConfigError, sqlite3.DatabaseError) as error:
        copy = copies.newest_good(root.backups)
        hint = f"`taod restore --root {root.path}` puts back the copy {copy.name}" if copy else "there is no copy of it"
        raise ConfigError(f"{error}; {hint}") from error


def _build(config: Config, clock: Clock, root: Root, store: Store) -> Services:
    bus = EventBus()
    publisher = Publisher(bus)
    catalogue = Catalogue()
    devices, runners = _devices_and_runners(config)
    telemetry = Telemetry(store, publisher)
    proposer = Proposer()
    parser = Parser(config.limits)
    snapshots = Snapshots(store)
    outbox = Outbox(store, config.notify, clock)
    uploads = Uploads()
    lineage = Lineage(store, publisher, clock, config.storage.link_check_s)
    resolver = Resolver(store, runners, devices)
    commands = CommandBuilder(
        store=store,
        root=root,
        catalogue=catalogue,
        resolver=resolver,
        uploads=uploads,
        lineage=lineage,
        snapshots=snapshots,
        checkpoint=config.specs.checkpoint,
    )
    scheduler = Scheduler(
        store=store,
        root=root,
        runners=runners,
        devices=devices,
        telemetry=telemetry,
        bus=bus,
        publisher=publisher,
        planner=commands,
        config=config.scheduler,
        supervision=config.supervision,
        clock=clock,
        outbox=outbox,
        supervisor_factory=sweep_supervisors(store, proposer),
    )
    intake = DatasetIngest(root, config.limits, config.storage.keep_free_bytes)
    records = DatasetRecords(store, root)
    checks = Checks(
        store=store,
        root=root,
        engine=Embedded(config.runner.embedded, Rules.of(config.runner)),
        records=records,
        publisher=publisher,
        config=config.datasets,
        clock=clock,
    )
    datasets = Datasets(
        store=store,
        root=root,
        catalogue=catalogue,
        records=records,
        scheduler=scheduler,
        intake=intake,
        uploads=uploads,
        checks=checks,
        publisher=publisher,
        lineage=lineage,
        config=config,
        clock=clock,
    )
    models = Models(
        store=store,
        root=root,
        catalogue=catalogue,
        runners=runners,
        scheduler=scheduler,
        publisher=publisher,
        clock=clock,
    )
    owners = Owners(records, models, catalogue)
    specs = Specs(
        store=store, catalogue=catalogue, owners=owners, config=config.specs, parser=parser, snapshots=snapshots
    )
    preflight = Preflight(store, commands, checks.report)
    submission = Submission(
        store=store,
        catalogue=catalogue,
        runners=runners,
        scheduler=scheduler,
        owners=owners,
        specs=specs,
        resolver=resolver,
        commands=commands,
        publisher=publisher,
        preflight=preflight,
        snapshots=snapshots,
        config=config.scheduler,
        automl=config.automl,
    )
    update = JobUpdate(
        store=store,
        scheduler=scheduler,
        owners=owners,
        specs=specs,
        resolver=resolver,
        preflight=preflight,
        publisher=publisher,
        snapshots=snapshots,
    )
    jobs = Jobs(store=store, root=root, scheduler=scheduler, bus=bus, owners=owners, update=update, publisher=publisher)
    return Services(
        config=config,
        clock=clock,
        root=root,
        store=store,
        bus=bus,
        catalogue=catalogue,
        scheduler=scheduler,
        telemetry=telemetry,
        proposer=proposer,
        parser=parser,
        intake=intake,
        lineage=lineage,
        users=Users(store, clock, config.server.login_days),
        networks=Networks(catalogue, runners),
        devices_view=DevicesView(store, devices),
        dataset_records=records,
        datasets=datasets,
        checks=checks,
        samples=Samples(root, records, snapshots),
        models=models,
        model_releases=ModelReleases(
            store=store, root=root, catalogue=catalogue, models=models, publisher=publisher, snapshots=snapshots
        ),
        ptms=Ptms(store=store, catalogue=catalogue, publisher=publisher, config=config, clock=clock),
        specs=specs,
        submission=submission,
        dry_run=DryRun(root=root, devices=devices, submission=submission, commands=commands),
        queue=Queue(store=store, scheduler=scheduler, publisher=publisher, config=config.scheduler),
        jobs=jobs,
        tools=Tools(folder=config.tools_folder, specs=config.tool_specs, store=store, publisher=publisher, clock=clock),
        derived=DerivedDatasets(store, records, datasets, jobs),
        sweeps=Sweeps(store, proposer, scheduler, snapshots),
        backups=Backups(root, config.storage),
        notifications=Notifications(store, root, config.notify, clock),
        deliveries=Deliveries(store=store, root=root, outbox=outbox, config=config.notify, clock=clock),
        disk=DiskMonitor(store=store, root=root, outbox=outbox, config=config.notify),
        trackers=Trackers(store=store, root=root, bus=bus, reads=snapshots, config=config.trackers),
        snapshots=snapshots,
        streams=Streams(config.server.streams_per_user),
        transfers=Lanes(config.server.transfers_per_user),
        watches=SharedWatches(),
        started=clock.monotonic(),
    )


def _devices_and_runners(config: Config) -> tuple[DevicePool, RunnerRegistry]:
    """The machine's devices and one device per cluster, and the runners."""
    devices = DevicePool.detect(config.devices)
    cpu_slots = sum(device.slots for device in devices.devices if device.kind is DeviceKind.CPU)
    runners = RunnerRegistry.from_config(
        config.runner, cpu_slots=max(cpu_slots, 1), tools=config.tools_folder, cache=config.cache_folder
    )
    for runner in runners.off_host():
        devices.add(Device(id=place_of(runner), kind=DeviceKind.CLUSTER, index=0, name=runner.name, slots=runner.slots))
    return devices, runners
