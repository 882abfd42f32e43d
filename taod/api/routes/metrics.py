"""Metrics for Prometheus, read from the services at each request."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import taod
from store.records import JobFilter
from taod.services import Services
from taod.types.device import Device


class _Metrics(Collector):
    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterator[Metric]:
        services = self._services
        jobs = GaugeMetricFamily("taod_jobs", "Jobs in each state", labels=["state"])
        for state, count in services.jobs.counts(JobFilter()).items():
            jobs.add_metric([state], count)
        yield jobs
        yield GaugeMetricFamily(
            "taod_queue_paused", "1 while the whole queue is paused, else 0", float(services.queue.state().paused)
        )
        yield from _device_metrics(services.devices_view.now())
        yield GaugeMetricFamily("taod_uptime_seconds", "Seconds since the server was started", services.uptime_s)
        yield GaugeMetricFamily("taod_event_listeners", "Clients of the event stream", services.bus.listeners)
        info = GaugeMetricFamily("taod_info", "The running version", labels=["version"])
        info.add_metric([taod.__version__], 1)
        yield info


def _device_metrics(devices: list[Device]) -> Iterator[Metric]:
    labels = ["id", "kind", "name"]
    families = {
        "slots": GaugeMetricFamily("taod_device_slots", "Runs that the device may take at once", labels=labels),
        "leases": GaugeMetricFamily("taod_device_leases", "Runs that hold a slot of the device", labels=labels),
        "utilisation_percent": GaugeMetricFamily("taod_device_utilisation_percent", "Utilisation", labels=labels),
        "memory_used_bytes": GaugeMetricFamily("taod_device_memory_used_bytes", "Memory in use", labels=labels),
        "memory_total_bytes": GaugeMetricFamily("taod_device_memory_total_bytes", "Memory", labels=labels),
        "temperature_c": GaugeMetricFamily("taod_device_temperature_celsius", "Temperature", labels=labels),
        "power_w": GaugeMetricFamily("taod_device_power_watts", "Power drawn", labels=labels),
    }
    for device in devices:
        for field, family in families.items():
            value = getattr(device, field)
            if value is not None:
                number = float(len(value)) if isinstance(value, list) else float(value)
                family.add_metric([device.id, str(device.kind), device.name], number)
    yield from families.values()


def render(services: Services) -> bytes:
    """The current metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Metrics(services))
    return generate_latest(registry)
