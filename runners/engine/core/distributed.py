"""Several processes that train one model: how they are started, and what they agree on.

Plain torch.distributed: NCCL between GPUs, gloo between processes on CPUs. The first process is the run itself; it
starts the others as the same command with a rank.
"""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from datetime import timedelta

import msgspec
import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from runners.engine.errors import EngineError
from taod import program

log = logging.getLogger("engine")

ON_CPU = "TAOD_ENGINE_PROCESSES"
"""How many processes a training without a GPU has; for tests, since threads use the cores better."""
PATIENCE = timedelta(hours=2)
"""How long a process waits for the others: the first one validates alone."""


class Group(msgspec.Struct, frozen=True):
    """This process among those of the run."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0


def rank() -> int:
    """The rank of this process, 0 where it is the only one."""
    return int(os.environ.get("RANK", "0"))


class Processes:
    """The processes of a training; a context that ends the others."""

    def __init__(self, gpus: int) -> None:
        wanted = gpus if torch.cuda.is_available() else int(os.environ.get(ON_CPU, "1"))
        have = torch.cuda.device_count() if torch.cuda.is_available() else wanted
        size = max(1, min(wanted, have))
        if gpus > size and rank() == 0:
            log.warning("%d GPUs were asked for; the engine trains on %s", gpus, size if size > 1 else "one")
        self.group = Group(rank(), size)
        self._others: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Group:
        group = self.group
        if group.size == 1:
            return group
        if group.first:
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port())}
            command = program.module("runners.engine", *sys.argv[1:])
            for number in range(1, group.size):
                environment = {**os.environ, "RANK": str(number), "LOCAL_RANK": str(number)}
                self._others.append(subprocess.Popen(command, env=environment))
        if torch.cuda.is_available():
            torch.cuda.set_device(group.rank)
        distributed.init_process_group(
            "nccl" if torch.cuda.is_available() else "gloo", rank=group.rank, world_size=group.size, timeout=PATIENCE
        )
        return group

    def __exit__(self, *error: object) -> None:
        if self.group.size == 1:
            return
        if error[0] is None:
            distributed.destroy_process_group()
        for other in self._others:
            if error[0] is not None:
                other.terminate()
            try:
                other.wait(timeout=30)
            except subprocess.TimeoutExpired:
                other.kill()
                other.wait()
        failed = [other.returncode for other in self._others if other.returncode]
        if failed and error[0] is None:
            raise EngineError(f"A process of the training ended with {failed[0]}; its log says why.")


def wrap(model: nn.Module, group: Group, device: torch.device) -> nn.Module:
    """The model as all processes train it. On GPUs batch norms count over all of them."""
    if group.size == 1:
        return model
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(model, device_ids=[device.index])
    return DistributedDataParallel(model)


def sum_over_processes(values: torch.Tensor, group: Group) -> torch.Tensor:
    """The sum over all processes."""
    if group.size > 1:
        distributed.all_reduce(values)
    return values


def any_of(flag: bool, group: Group, device: torch.device) -> bool:
    """Whether any process says so; all of them get the same reply."""
    if group.size == 1:
        return flag
    return bool(sum_over_processes(torch.tensor(float(flag), device=device), group).item())


def barrier(group: Group) -> None:
    """Wait for all processes."""
    if group.size > 1:
        distributed.barrier()


def broadcast(value: Sequence[float], group: Group, device: torch.device) -> list[float]:
    """The first process's numbers, in every process."""
    held = torch.tensor(list(value), dtype=torch.float64, device=device)
    if group.size > 1:
        distributed.broadcast(held, 0)
    found: list[float] = held.tolist()
    return found


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
