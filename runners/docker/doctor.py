"""Checks of the docker runner's requirements on this machine, shown by `taod doctor`."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from runners.docker import endpoint
from runners.docker.endpoint import EngineInfo, NoEngine
from taod import installed
from taod.config import DockerConfig, RunnerConfig

GIB = 1024**3
ROOM = 60 * GIB
"""Bytes of free disk: the images of TAO 5.0 take 8 to 20 GB each, and as much again while they are unpacked."""
REGISTRY = "nvcr.io"
DRIVER = Path("/proc/driver/nvidia")


class Check(NamedTuple):
    """Result of one check: whether it passed, what was found, the remedy, and further lines."""

    ok: bool
    what: str
    found: str
    remedy: str = ""
    details: tuple[str, ...] = ()


def examine(config: RunnerConfig) -> Iterator[Check]:
    """Checks from the configuration to a running container; parts that are not configured are skipped."""
    docker = config.docker
    meant = docker != DockerConfig() or any(rule.runner == "docker" for rule in config.rule)
    if not meant and "docker" not in config.order:
        return
    if find_spec("docker") is None:
        yield Check(not meant, "docker", "the Docker SDK is not installed", installed.add("docker"))
        return
    try:
        url = endpoint.find(docker.socket)
        facts = endpoint.facts(url)
    except NoEngine as error:
        found, _, why = str(error).partition(": ")
        yield Check(not meant, "docker", found, "start Docker or podman, or set runner.docker.socket", (why,))
        return
    yield engine(url, facts)
    yield toolkit(facts, gpus=DRIVER.exists())
    yield images(url, docker, meant=meant)
    yield disk(Path(facts.docker_root_dir))
    yield login(Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser() / "config.json")


def engine(url: str, facts: EngineInfo) -> Check:
    """The engine's version, and whether runs outlive its restart."""
    hint = "" if facts.live_restore_enabled else 'with "live-restore": true in daemon.json, runs outlive its restarts'
    return Check(True, "docker", f"{facts.server_version} at {url}", hint)


def toolkit(facts: EngineInfo, *, gpus: bool) -> Check:
    """Checks that containers can get GPUs. `gpus`: whether the machine has any."""
    if "nvidia" in facts.runtimes:
        return Check(True, "toolkit", "the engine gives GPUs to containers")
    remedy = "install the NVIDIA Container Toolkit, then `nvidia-ctk runtime configure` and restart the engine"
    return Check(not gpus, "toolkit", "the engine has no NVIDIA runtime", remedy if gpus else "")


def images(url: str, config: DockerConfig, *, meant: bool) -> Check:
    """Checks which of the images are present."""
    try:
        missing = [image for image in config.images.values() if not endpoint.has_image(url, image)]
    except NoEngine as error:
        return Check(False, "images", str(error))
    if not missing:
        return Check(True, "images", f"all {len(config.images)} are there")
    found = f"{len(config.images) - len(missing)} of {len(config.images)} are there"
    details = tuple(f"missing: {image}" for image in missing)
    if config.pull != "never":
        return Check(True, "images", found, f"a run downloads its own (runner.docker.pull = {config.pull!r})", details)
    remedy = f"`docker pull {missing[0]}`, or set runner.docker.pull = 'missing'"
    return Check(not meant, "images", found, remedy, details)


def disk(folder: Path) -> Check:
    """Checks the free space of the engine's image folder."""
    existing = next((each for each in (folder, *folder.parents) if each.exists()), Path("/"))
    try:
        free = shutil.disk_usage(existing).free
    except OSError as error:
        return Check(True, "images", f"{folder} cannot be inspected: {error.strerror}")
    remedy = "" if free >= ROOM else "an image takes up to 20 GB: free some, or move the engine's data-root"
    return Check(free >= ROOM, "images", f"{free / GIB:.0f} GiB free in {folder}", remedy)


def login(file: Path) -> Check:
    """Checks the login to the images' registry: by a credential helper, or none."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    if document.get("credsStore") or REGISTRY in document.get("credHelpers", {}):
        return Check(True, "registry", f"{REGISTRY}: by a credential helper")
    if document.get("auths", {}).get(REGISTRY, {}).get("auth"):
        found = f"{REGISTRY}: a password in {file}, which taod does not use"
        return Check(True, "registry", found, "install a docker-credential-helper and `docker login nvcr.io` again")
    return Check(True, "registry", f"{REGISTRY}: not logged in", "`docker login nvcr.io`, if it asks for that")
