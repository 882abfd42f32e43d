"""Parses the TAO-style command line of the engine."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import msgspec

from runners.engine import capabilities
from taod.catalogue.network import get


class Arguments(msgspec.Struct, frozen=True):
    """One run as asked for. The key is taken because every TAO tool takes it; the engine encrypts nothing."""

    network: str
    action: str
    spec: Path | None
    """None where the action takes no specification file."""
    results: Path | None
    gpus: int | None
    overrides: list[str]
    options: dict[str, str] = {}
    """Further options of the tool's command line, as they stand there; a bare one is `true`."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n{known()}\n")


def known() -> str:
    """The networks and actions that the engine has, for people."""
    lines = [f"  {network}: {', '.join(actions)}" for network, actions in capabilities.NETWORKS.items()]
    return "Networks and their actions:\n" + "\n".join(lines)


def parse(argv: Sequence[str]) -> Arguments:
    """The arguments; wrong usage prints what is known and exits with code 2."""
    parser = _Parser(
        prog="python -m runners.engine",
        description="The embedded engine.",
        epilog=known(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("network")
    parser.add_argument("action")
    parser.add_argument("overrides", nargs="*", metavar="a.b=c", help="values put into the spec")
    spec = ("-e", "--experiment_spec_file", "--experiment_spec", "--experiment_spec_path")
    parser.add_argument(*spec, dest="spec", type=Path, metavar="SPEC")
    parser.add_argument("-r", "--results_dir", type=Path, metavar="FOLDER", help="default: results_dir of the spec")
    parser.add_argument("-k", "--key", default="", metavar="KEY", help="accepted, not needed")
    parser.add_argument("-g", "--gpus", type=int, metavar="N")
    found, further = parser.parse_known_intermixed_args(list(argv))
    if found.network not in capabilities.NETWORKS:
        parser.error(f"unknown network '{found.network}'")
    if found.action not in capabilities.NETWORKS[found.network]:
        parser.error(f"unknown action '{found.action}' of {found.network}")
    for override in found.overrides:
        if "=" not in override:
            parser.error(f"'{override}' is not an override a.b=c")
    options = _options(found.network, found.action, further, parser)
    if found.spec is None and not options:
        parser.error("the following arguments are required: -e/--experiment_spec_file")
    return Arguments(
        found.network,
        found.action,
        found.spec,
        found.results_dir,
        found.gpus if found.gpus is not None else _node_gpus(),
        found.overrides,
        options,
    )


def _options(network: str, action: str, words: list[str], parser: argparse.ArgumentParser) -> dict[str, str]:
    """The options that the tool's own command line has beside the common ones."""
    known: set[str] = set()
    catalogued = get(network)
    if catalogued is not None and action in catalogued.actions:
        known = set((catalogued.file.commands or {}).get(action, {}))
        known |= {name for name in catalogued.table(action).rows if "." not in name}
    options = {}
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or name not in known:
            parser.error(f"unrecognized arguments: {word}")
        options[name] = value if equals else "true"
    return options


def _node_gpus() -> int | None:
    text = os.environ.get("NUM_GPU_PER_NODE", "")
    return int(text) if text.isdigit() else None
