"""Wires a daemon's parts together, from its configuration to its services."""

from __future__ import annotations

from runners.protocol import place_of
from runners.registry import RunnerRegistry
from store import Store
from taod.catalogue import Catalogue
from taod.clock import Clock, SystemClock
from taod.config import Config
from taod.paths import Root
from taod.scheduler.devices.inventory import DevicePool
from taod.scheduler.scheduler import Scheduler
from taod.services.datasets.active_uploads import Uploads
from taod.services.datasets.lineage import Lineage
from taod.services.jobs.command_builder import Planner
from taod.services.publisher import Announcer
from taod.services.services import Services
from taod.telemetry.bus import EventBus
from taod.telemetry.telemetry import Telemetry
from taod.types.device import Device, DeviceKind


def open_services(config: Config, clock: Clock | None = None) -> Services:
    """Open the root of `config` and wire everything that works on it; nothing runs before the scheduler is started.

    The caller holds the root's lock. Raises ConfigError for a root or a configuration that cannot be used.
    """
    clock = clock if clock is not None else SystemClock()
    root = Root(config.root)
    root.make()
    store = Store.open(root.database, clock=clock)
    try:
        return _wire(config, clock, root, store)
    except BaseException:
        store.close()
        raise


def _wire(config: Config, clock: Clock, root: Root, store: Store) -> Services:
    bus = EventBus()
    catalogue = Catalogue()
    devices = DevicePool.detect(config.devices)
    cpu_slots = sum(device.slots for device in devices.devices if device.kind is DeviceKind.CPU)
    runners = RunnerRegistry.from_config(config.runner, cpu_slots=max(cpu_slots, 1))
    for runner in runners.elsewhere():
        devices.add(Device(id=place_of(runner), kind=DeviceKind.CLUSTER, index=0, name=runner.name, slots=runner.slots))
    telemetry = Telemetry(store, bus)
    uploads = Uploads()
    lineage = Lineage(store, Announcer(bus), clock, config.storage.link_check_s)
    planner = Planner(store, root, catalogue, runners, devices, uploads, config.specs.checkpoint, lineage)
    scheduler = Scheduler(
        store=store,
        root=root,
        runners=runners,
        devices=devices,
        telemetry=telemetry,
        bus=bus,
        planner=planner,
        config=config.scheduler,
        supervision=config.supervision,
        clock=clock,
    )
    services = Services(
        store=store,
        root=root,
        catalogue=catalogue,
        runners=runners,
        devices=devices,
        scheduler=scheduler,
        bus=bus,
        config=config,
        clock=clock,
        telemetry=telemetry,
        uploads=uploads,
        lineage=lineage,
    )
    services.intake.clean()
    services.datasets.recover()
    services.ptms.seed(catalogue.pretrained())
    return services
