"""docs/grafana.json asks for metrics and labels that a daemon with GPUs serves, and leaves none out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from taod.api.routes.metrics import render
from taod.config import Config, DevicesConfig, StorageConfig
from taod.services.composition import open_services
from tests.scheduler.nvml_scenario import Scenario, gpu

BOARD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "docs" / "grafana.json").read_text())
NAME = re.compile(r"\btaod_\w+")
SELECTOR = re.compile(r"(taod_\w+)(?:\{([^}]*)\})?")
ADDED_BY_PROMETHEUS = {"instance", "job"}


@pytest.fixture
async def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, set[str]]:
    """Metric → the labels of its samples, as /metrics has them."""
    Scenario(tmp_path, gpu(0)).use(monkeypatch)
    config = Config(storage=StorageConfig(root=str(tmp_path / "root")), devices=DevicesConfig())
    services = open_services(config)
    try:
        services.scheduler._context.devices.read()
        text = render(services).decode()
    finally:
        services.store.close()
    families = [*text_string_to_metric_families(text)]
    return {each.name: {label for sample in each.samples for label in sample.labels} for each in families}


def queries() -> Iterator[tuple[str, str]]:
    """Query and legend of each target, and the queries of the variables."""
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["definition"], ""


async def test_every_metric_is_served_and_every_served_one_is_shown(served: dict[str, set[str]]) -> None:
    asked = {name for query, _ in queries() for name in NAME.findall(query)}
    assert asked == set(served)


async def test_labels_exist(served: dict[str, set[str]]) -> None:
    for query, legend in queries():
        known = {label for name in NAME.findall(query) for label in served[name]} | ADDED_BY_PROMETHEUS
        matched = {
            match for _, inside in SELECTOR.findall(query) for match in re.findall(r"(\w+)\s*(?:=|!)", inside or "")
        }
        grouped = {each.strip() for inside in re.findall(r"\bby \(([^)]*)\)", query) for each in inside.split(",")}
        shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
        assert matched | grouped | shown <= known, query
        if grouped:
            assert shown <= grouped, query


async def test_states_exist() -> None:
    from taod.types.state import State

    for query, _ in queries():
        for names in re.findall(r'state(?:=|!=|=~|!~)"([^"]*)"', query):
            assert set(names.split("|")) <= {*State}, query


def test_variables_are_defined_and_panels_do_not_overlap() -> None:
    defined = {each["name"] for each in BOARD["templating"]["list"]}
    assert set(re.findall(r"\$\{?([a-z]+)", json.dumps(BOARD["panels"]))) <= defined
    taken: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])
