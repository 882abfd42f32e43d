"""Command lines against the parsers of the TF1 tools: every option exists, every required one is given."""

from __future__ import annotations

import shlex
from functools import lru_cache
from pathlib import Path

import pytest

from taod.catalogue.schema.tables import index, network_file, table

HERE = Path(__file__).parent
DEPLOYED = ("gen_trt_engine", "trtexec")
"""Run by the deploy tools or TensorRT itself, and so is what follows them."""
DATASETS = ("object_detection", "instance_segmentation", "semantic_segmentation")
NETWORKS = sorted(name for name, entry in index().items() if entry.image == "tlt-tf1" and entry.kind == "network")
BY_USER = {("yolo_v3", "kmeans"): {"size_x", "size_y"}}
"""Required by the tool and by taod's own table: no default is right, so the user gives them."""


@lru_cache(maxsize=1)
def options() -> dict[tuple[str, str], dict[str, str]]:
    """(network, action) -> option -> its marks: `!` required, `?` a flag."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line in (HERE / "facts/tools/tf1_options.tsv").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            network, action, names = line.split("\t")
            found[network, action] = {name.rstrip("!?"): name[len(name.rstrip("!?")) :] for name in names.split()}
    shared = found.pop(("*", "*"))
    return {place: shared | own for place, own in found.items()}


def lines(name: str) -> list[tuple[str, list[str]]]:
    """(job and what it follows, words) of the command lines that were reviewed."""
    found: list[tuple[str, list[str]]] = []
    chain = ""
    for line in (HERE / f"golden/{name}.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            chain = line.removeprefix("## ")
        elif line.startswith("$ ") and not set(DEPLOYED) & set(chain.split(" on ")):
            found.append((chain, shlex.split(line.removeprefix("$ "))))
    return found


def test_all_tools_are_listed() -> None:
    assert {network for network, _ in options()} == set(NETWORKS)
    assert len(options()) == 99


@pytest.mark.parametrize("name", [*NETWORKS, *DATASETS])
def test_command_lines_are_accepted_by_the_tools_parser(name: str) -> None:
    checked = 0
    for chain, (tool, action, *words) in lines(name):
        if tool == "augment" or tool not in NETWORKS:
            continue  # of the data services, of TF2
        known = options()[tool, action]
        given = dict(word.removeprefix("--").partition("=")[::2] for word in words)
        assert set(given) <= set(known), chain
        assert all(("=" in word) != ("?" in known[word.removeprefix("--").partition("=")[0]]) for word in words), chain
        missing = {option for option, marks in known.items() if "!" in marks} - set(given)
        assert missing == BY_USER.get((tool, action), set()), chain
        checked += 1
    assert checked


@pytest.mark.parametrize("name", NETWORKS)
def test_every_field_of_a_command_line_is_an_option_of_its_tool(name: str) -> None:
    for action, fields in network_file(name).commands.items():
        if action.endswith("_tao_deploy") or action in DEPLOYED:
            continue
        known = options()[name, "train" if action == "retrain" else action]
        assert set(fields) <= set(known), action


def test_options_without_a_function_are_required_of_the_user() -> None:
    rows = table("object_detection", "kmeans").rows
    assert all(rows[option].required for option in BY_USER["yolo_v3", "kmeans"])
