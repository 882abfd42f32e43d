"""Builds the batch script of a run. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

import msgspec

from runners import ports
from runners.environment import of_every_run
from runners.protocol import RunRequest
from runners.remote_wrapper import WRAPPER
from taod.config import SlurmConfig, SlurmRule

MARKS = ("partition", "account", "qos", "time")


class Resources(msgspec.Struct, frozen=True):
    """Resources that a run requests from the cluster, its rules applied."""

    partition: str
    account: str
    qos: str
    time: str
    cpus: int
    memory: str
    gres: str
    options: list[str]


def name_of(request: RunRequest) -> str:
    """The run's name on the cluster, by which a later daemon finds it."""
    return f"taod-{request.job_id}-{request.attempt}"


def resources(config: SlurmConfig, network: str, action: str) -> Resources:
    """The configured values, overridden by every matching rule in order."""
    values = {name: getattr(config, name) for name in Resources.__struct_fields__}
    for rule in _matching(config.rule, network, action):
        values |= {name: value for name in values if (value := getattr(rule, name)) is not None}
    return Resources(**values)


def options(request: RunRequest, config: SlurmConfig) -> list[str]:
    """Options of sbatch."""
    wanted = resources(config, request.command.network, request.command.action)
    gpus = request.command.gpus
    found = [
        f"--job-name={name_of(request)}",
        f"--output={request.job_folder.log}",
        "--open-mode=append",
        f"--chdir={request.folder}",
        "--nodes=1",
        "--ntasks=1",
        "--export=ALL",
        "--requeue" if config.requeue else "--no-requeue",
    ]
    found += [f"--{name}={value}" for name in MARKS if (value := getattr(wanted, name))]
    if wanted.cpus:
        found.append(f"--cpus-per-task={wanted.cpus * max(gpus, 1)}")
    if wanted.memory:
        found.append(f"--mem={wanted.memory}")
    if wanted.gres and gpus:
        found.append(f"--gres={wanted.gres}:{gpus}")
    return found + wanted.options


def environment(request: RunRequest, extra: Mapping[str, str]) -> dict[str, str]:
    """What taod sets for the tool; the cluster decides which GPUs it sees."""
    return of_every_run(request, extra, gpus=request.command.gpus)


def script(request: RunRequest, config: SlurmConfig, extra: Mapping[str, str]) -> str:
    """A batch script: environment, set-up, and the wrapper around the tool."""
    lines = ["#!/bin/sh", *ports.SHELL.splitlines()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment(request, extra).items()]
    if config.path:
        lines.append(f'export PATH={shlex.quote(":".join(config.path))}:"$PATH"')
    lines += config.setup.splitlines()
    lines.append(f'echo "$MASTER_PORT" >{shlex.quote(str(request.run_folder.port))}')
    lines += ports.spec_shell(request.command)
    words = ["exec", "/bin/sh", "-c", WRAPPER, "taod-run", str(request.run_folder.path), ""]
    tool = [*config.prefix, *request.command.words()]
    lines.append(f'{shlex.join(words)} "$SLURM_JOB_ID" {shlex.join(tool)}')
    return "\n".join(lines) + "\n"


def _matching(rules: Iterable[SlurmRule], network: str, action: str) -> list[SlurmRule]:
    return [rule for rule in rules if fnmatchcase(network, rule.network) and fnmatchcase(action, rule.action)]
