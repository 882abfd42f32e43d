"""Builds the description of a run's container. Pure. A container gets only what is set here."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from runners import rules
from runners.environment import GPU, Rules, of_run
from runners.protocol import RunRequest
from runners.remote_wrapper import WRAPPER, signalled
from taod.config import DockerConfig, DockerRule

JOB, ATTEMPT = "taod.job", "taod.attempt"
"""Labels of containers."""
STOP_SIGNAL = "SIGTERM"
UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


class Mount(msgspec.Struct, frozen=True):
    """A folder or file mounted into a container, at the same path unless `target` is set."""

    path: str
    read_only: bool
    target: str = ""

    @property
    def inside(self) -> str:
        return self.target or self.path


class Container(msgspec.Struct, frozen=True):
    """The container that the engine creates for one run."""

    name: str
    image: str
    argv: list[str]
    """The tool's command line, without the wrapper."""
    wrapped: list[str]
    """The wrapper's arguments; it gets `argv` in its environment."""
    environment: dict[str, str]
    labels: dict[str, str]
    mounts: list[Mount]
    folder: str
    gpus: list[str]
    """UUIDs of the leased GPUs."""
    user: str
    network: str
    userns: str
    shm_bytes: int
    memory_bytes: int | None
    ulimits: dict[str, int]
    secrets: dict[str, str] = {}
    """Variable → source of its value (a file or `$NAME`)."""


def describe_container(
    request: RunRequest, image: str, config: DockerConfig, given: Rules, *, threads: int
) -> Container:
    """The container of a run, without the values of its secrets. Raises ValueError for an invalid size in taod.toml."""
    command = request.command
    found = rules.matching(config.rule, command.network, command.action)
    entrypoint = next((rule.entrypoint for rule in reversed(found) if rule.entrypoint is not None), [])
    words = [*entrypoint, *command.argv_with_following()]
    wrapper = [WRAPPER, "taod-run", str(request.run_folder.path), str(request.job_folder.log), "run"]
    cache = [Mount(str(given.cache), False)] if given.cache is not None else []
    return Container(
        name=name_of(request),
        image=image,
        argv=words,
        wrapped=[*wrapper, signalled(command)],
        # The image's user database lacks this machine's users: tools that need a name or a home get these.
        environment={"HOME": "/tmp", "USER": "taod", "LOGNAME": "taod"}
        | given.caches()
        | of_run(request, given.extra | rules.environment(found), threads=threads),
        labels={JOB: request.job_id, ATTEMPT: str(request.attempt)},
        mounts=cache + configured_mounts(found) + mounts(request.folder, command.reads, command.writes),
        folder=request.folder,
        gpus=[device.id for device in request.devices if device.kind == GPU],
        user=config.user or f"{os.getuid()}:{os.getgid()}",
        network=next((rule.network_mode for rule in reversed(found) if rule.network_mode), config.network),
        userns=config.userns,
        shm_bytes=size(config.shm_size, "runner.docker.shm_size"),
        memory_bytes=size(config.memory, "runner.docker.memory") if config.memory else None,
        ulimits=config.ulimits,
        secrets=rules.sources(found),
    )


def name_of(request: RunRequest) -> str:
    """The container's name. The engine accepts each name once, so an attempt has one container."""
    return f"taod-{request.job_id}-{request.attempt}"


def mounts(folder: str, reads: Iterable[str], writes: Iterable[str] = ()) -> list[Mount]:
    """Mounts of a run: the job's folder and `writes` writable, `reads` read-only; paths inside another mount need
    none."""
    own = Path(folder)
    written = set(writes)
    found: list[Path] = []
    for path in sorted(set(map(Path, reads))):
        if path != own and own not in path.parents and not any(above in (path, *path.parents) for above in found):
            found.append(path)
    return [Mount(str(path), str(path) not in written) for path in found] + [Mount(folder, False)]


def configured_mounts(found: Iterable[DockerRule]) -> list[Mount]:
    """Mounts of the rules: `/folder`, `/folder:/in/container`, either with `:ro`; later ones override earlier ones."""
    made: dict[str, Mount] = {}
    for text in (mount for rule in found for mount in rule.mounts):
        path, *more = text.split(":")
        mode = more.pop() if more and more[-1] in ("ro", "rw") else "rw"
        mount = Mount(str(Path(path).expanduser()), mode == "ro", more[0] if more else "")
        made[mount.inside] = mount
    return list(made.values())


def size(text: str, key: str) -> int:
    """Bytes of `16g`. Raises ValueError naming the key."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([bkmgt]?)b?", text.strip().lower())
    if match is None:
        raise ValueError(f"{key} = {text!r} is not a size; write it as '16g' or '512m'")
    return int(float(match[1]) * UNITS[match[2]])


def host_options(container: Container) -> dict[str, Any]:
    """Arguments of the SDK's `create_host_config`, except mounts, ulimits and device requests, which have SDK types."""
    options: dict[str, Any] = {
        "network_mode": container.network,
        "shm_size": container.shm_bytes,
        "security_opt": ["no-new-privileges"],
        "log_config": {"Type": "json-file", "Config": {"max-size": "1m"}},
        "restart_policy": {"Name": "no"},
    }
    if container.userns:
        options["userns_mode"] = container.userns
    if container.memory_bytes is not None:
        options |= {"mem_limit": container.memory_bytes, "memswap_limit": container.memory_bytes}
    return options


def command_line(container: Container) -> list[str]:
    """The equivalent `docker run`, for display; without the wrapper."""
    words = ["docker", "run", "--name", container.name, "--user", container.user, "--network", container.network]
    words += ["--shm-size", str(container.shm_bytes), "--security-opt", "no-new-privileges"]
    for name, limit in container.ulimits.items():
        words += ["--ulimit", f"{name}={limit}"]
    if container.gpus:
        words += ["--gpus", f'"device={",".join(container.gpus)}"']
    if container.userns:
        words += ["--userns", container.userns]
    if container.memory_bytes is not None:
        words += ["--memory", str(container.memory_bytes), "--memory-swap", str(container.memory_bytes)]
    for mount in container.mounts:
        words += ["--volume", f"{mount.path}:{mount.inside}{':ro' if mount.read_only else ''}"]
    for name, value in container.labels.items():
        words += ["--label", f"{name}={value}"]
    for name in container.environment | container.secrets:
        words += ["--env", name]
    return [*words, "--workdir", container.folder, container.image, *container.argv]
