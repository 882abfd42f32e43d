"""Builds the batch script of a run. Pure."""

from __future__ import annotations

import re
import shlex

import msgspec

from runners import ports, rules
from runners.environment import Rules, of_every_run
from runners.protocol import RunRequest
from runners.remote_wrapper import COMMAND, WRAPPER, signalled
from taod.catalogue import releases
from taod.config import SlurmConfig

MARKS = ("partition", "account", "qos", "time")
_VERSION = re.compile(r"(?<![\w.])(\d+\.\d+)(?:\.\d+)*(?=[-_.:]|$)")


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
    setup: str
    prefix: list[str]
    release: str


def name_of(request: RunRequest) -> str:
    """The name of the cluster job, by which a later daemon finds it."""
    return f"taod-{request.job_id}-{request.attempt}"


def resources(config: SlurmConfig, network: str, action: str) -> Resources:
    """The configured values, overridden by every matching rule in order."""
    values = {name: getattr(config, name) for name in Resources.__struct_fields__}
    for rule in rules.matching(config.rule, network, action):
        values |= {name: value for name in values if (value := getattr(rule, name)) is not None}
    return Resources(**values)


def release(config: SlurmConfig, network: str, action: str) -> str:
    """The version of the tools: as configured, or of the last name with `tao` in the prefix; else 5.0."""
    wanted = resources(config, network, action)
    if wanted.release:
        return wanted.release
    # `…/tao-toolkit:7.3.0-pyt`, `/shared/tao-7.3.0-pyt.sif`
    names = [name for word in wanted.prefix if "tao" in (name := word.rpartition("/")[2])]
    named = [found[1] for name in names if (found := _VERSION.search(name))]
    return named[-1] if named else releases.BASE


def secrets(config: SlurmConfig, network: str, action: str) -> dict[str, str]:
    """Sources of a run's secrets, by variable."""
    return rules.sources(rules.matching(config.rule, network, action))


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


def environment(request: RunRequest, config: SlurmConfig, given: Rules) -> dict[str, str]:
    """Variables that taod sets for the tool, without secrets; the cluster sets the visible GPUs."""
    command = request.command
    extra = given.extra | rules.environment(rules.matching(config.rule, command.network, command.action))
    caches = given.caches() if given.cache_for_all else {}
    return caches | of_every_run(request, extra, gpus=command.gpus)


def script(request: RunRequest, config: SlurmConfig, given: Rules) -> str:
    """The batch script: environment, set-up, and the tool in its wrapper. Secrets come from sbatch's environment."""
    wanted = resources(config, request.command.network, request.command.action)
    lines = ["#!/bin/sh", *ports.SHELL.splitlines()]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in environment(request, config, given).items()]
    if config.path:
        lines.append(f'export PATH={shlex.quote(":".join(config.path))}:"$PATH"')
    lines += wanted.setup.splitlines()
    lines.append(f'echo "$MASTER_PORT" >{shlex.quote(str(request.run_folder.port))}')
    lines += ports.spec_shell(request.command)
    words = ["exec", "/bin/sh", "-c", WRAPPER, "taod-run", str(request.run_folder.path), ""]
    tool = shlex.join([*wanted.prefix, *request.command.argv_with_following()])
    lines.append(f"export {COMMAND}={shlex.quote(tool)}")
    lines.append(f'{shlex.join(words)} "$SLURM_JOB_ID" {signalled(request.command)}')
    return "\n".join(lines) + "\n"
