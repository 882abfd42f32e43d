"""Every command line of the catalogue has a row of evidence in decisions.tsv: how it was compared with the tool."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from taod.catalogue.schema.tables import index

KINDS = ("ran", "parsed", "read")
"""Ran: the tool was run with it. Parsed: the tool's own parser and configuration accepted it. Read: in its source."""


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


@pytest.mark.parametrize("name", sorted(index()))
def test_every_action_of_a_network_has_evidence(name: str) -> None:
    assert {action for network, action in evidence() if network == name} == set(index()[name].actions)


def test_evidence_has_a_known_kind_and_one_clause() -> None:
    for place, (kind, how) in evidence().items():
        assert kind in KINDS, place
        assert how and not how.endswith("."), place


def test_evidence_names_networks_of_the_catalogue() -> None:
    assert {network for network, _ in evidence()} <= set(index())


def later_evidence() -> dict[tuple[str, str], tuple[str, str]]:
    """The same of release 7.3, in the order of its file."""
    lines = (Path(__file__).parent / "evidence-7.3.tsv").read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines if not line.startswith("#")]
    found = {(network, action): (kind, how) for network, action, kind, how in rows}
    assert len(found) == len(rows)
    return found


def test_every_action_of_release_7_3_has_evidence() -> None:
    entries = {name: entry for name, entry in index("7.3").items() if entry.release == "7.3"}
    assert list(later_evidence()) == [(name, action) for name in sorted(entries) for action in entries[name].actions]
    assert all(kind in KINDS and how and not how.endswith(".") for kind, how in later_evidence().values())
