"""The runners that the conformance tests go over; each is given the scripted tool as the `classification_pyt` of TAO.

A runner of your own joins by `TAOD_CONFORMANCE=package.module:factory`: `factory(tools: Path)` returns a new runner
that finds the executables in the folder `tools`.
"""

from __future__ import annotations

import importlib
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runners.docker.runner import Docker
from runners.embedded import Embedded
from runners.native import Native
from runners.protocol import Runner
from runners.slurm.runner import Slurm
from taod.config import DockerConfig, EmbeddedConfig, NativeConfig, SlurmConfig
from tests.runners import engines

OWN = os.environ.get("TAOD_CONFORMANCE", "")
ENGINES = ["docker", "podman", "slurm"]
"""Runners that need a real engine or cluster, which takes seconds to start."""
NAMES = ["native", "embedded", *ENGINES, *([OWN] if OWN else [])]

Make = Callable[[], Runner]
"""A new runner, which knows nothing of those before it: as after a restart of the daemon."""


def maker(name: str, tools: Path, request: pytest.FixtureRequest) -> Make:
    """Starts what the runner needs."""
    shutil.copy(engines.TOOL, tools / "classification_pyt")
    if name == "native":
        return lambda: Native(NativeConfig(path=[str(tools)]))
    if name == "embedded":
        return lambda: Embedded(EmbeddedConfig(python=str(_interpreter(tools))))
    if name in ("docker", "podman"):
        engine = request.getfixturevalue(f"{name}_engine")
        return lambda: Docker(DockerConfig(socket=engine.url, images={"tlt-pytorch": engines.IMAGE}, ulimits={}))
    if name == "slurm":
        cluster = request.getfixturevalue("slurm_cluster")
        return lambda: Slurm(SlurmConfig(conf=str(cluster.conf), path=[str(tools)], poll_s=1.0))
    module, _, factory = name.partition(":")
    return lambda: getattr(importlib.import_module(module), factory)(tools)


def _interpreter(tools: Path) -> Path:
    """What is called as `python -m runners.engine <network> …` and runs the scripted tool; it is asked for its modules
    as `python -I -c …`, as this Python would be."""
    path = tools / "python"
    own = f'[ "$1" != -I ] || exec {shlex.quote(sys.executable)} "$@"'
    path.write_text(f'#!/bin/sh\n{own}\ntool=$3\nshift 3\nexec "$(dirname "$0")/$tool" "$@"\n')
    path.chmod(0o755)
    return path
