"""Every command line of the catalogue names its evidence in decisions.tsv: how it was compared with NVIDIA's tool."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taod.catalogue.tables import index

KINDS = ("ran", "parsed", "read")
"""Ran: the tool was run with it. Parsed: the tool's own parser and configuration accepted it. Read: in its source."""

MISSING = frozenset(
    [
        "bpnet",
        "classification_tf1",
        "classification_tf2",
        "detectnet_v2",
        "dssd",
        "efficientdet_tf1",
        "efficientdet_tf2",
        "faster_rcnn",
        "fpenet",
        "lprnet",
        "mask_rcnn",
        "multitask_classification",
        "retinanet",
        "ssd",
        "unet",
        "yolo_v3",
        "yolo_v4",
        "yolo_v4_tiny",
        "object_detection",
        "instance_segmentation",
        "semantic_segmentation",
    ]
)
"""Networks without evidence yet; it only shrinks."""


def evidence() -> dict[tuple[str, str], tuple[str, str]]:
    """(network, action) -> kind of evidence, and how it was gathered."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for line in (Path(__file__).parent / "decisions.tsv").read_text(encoding="utf-8").splitlines():
        cells = line.split("\t")
        if not line.startswith("#") and cells[2] == "evidence":
            network, path, _, kind, how = cells
            place = (network, path.removeprefix("commands."))
            assert place not in found, f"{place}: two lines"
            found[place] = (json.loads(kind), how)
    return found


@pytest.mark.parametrize("name", sorted(set(index()) - MISSING))
def test_every_action_of_a_network_has_evidence(name: str) -> None:
    assert {action for network, action in evidence() if network == name} == set(index()[name].actions)


def test_evidence_has_a_known_kind_and_one_clause() -> None:
    for place, (kind, how) in evidence().items():
        assert kind in KINDS, place
        assert how and not how.endswith("."), place


def test_the_networks_without_evidence_are_listed() -> None:
    with_evidence = {network for network, _ in evidence()}
    complete = {name for name, entry in index().items() if entry.actions and set(entry.actions) == _actions_of(name)}
    assert MISSING & complete == set(), "remove these from MISSING"
    assert with_evidence <= set(index())


def _actions_of(name: str) -> set[str]:
    return {action for network, action in evidence() if network == name}
