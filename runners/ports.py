"""A TCP port for each run: reserved in the kernel before the run starts, and for as long as the run lives.

torchrun takes it from `PET_MASTER_PORT` (without it torch 1.12.1 takes 29500, and two side by side collide; 2.13.0
takes a random port); Lightning and scripts that initialise torch.distributed themselves take it from `MASTER_PORT`.
Horovod and MPI choose their own ports.
"""

from __future__ import annotations

import random
import socket
from pathlib import Path

FIRST, LAST = 20_000, 32_767
"""Below the ports that Linux gives to outgoing connections (net.ipv4.ip_local_port_range, 32768 by default)."""
TRIES = 100


class Reservation:
    """A bound socket that never listens.

    It is bound without SO_REUSEADDR and gets the option afterwards: another reservation of the same port fails, on the
    whole machine and whatever daemon asks, while the tool's own server (which sets SO_REUSEADDR, as torch does) can
    bind beside it. The kernel ends the reservation when the last process that has the socket is gone.
    """

    def __init__(self, holder: socket.socket) -> None:
        self._holder = holder
        self.number: int = holder.getsockname()[1]

    def fileno(self) -> int:
        return self._holder.fileno()

    def close(self) -> None:
        self._holder.close()

    def record(self, path: Path) -> None:
        """Keep the number in the run's folder. Raises OSError."""
        path.write_text(f"{self.number}\n")


def reserve() -> Reservation:
    """A port that is free now and that no other run has. Raises OSError where there is none."""
    for number in [*(random.randint(FIRST, LAST) for _ in range(TRIES)), 0]:
        holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            holder.bind(("", number))
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        except OSError:
            holder.close()
            if number == 0:
                raise
        else:
            return Reservation(holder)
    raise AssertionError("unreachable: port 0 either binds or raises")


def reserve_again(path: Path) -> Reservation | None:
    """The recorded port of a run that outlived the daemon; None where none is recorded or it cannot be had."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("", int(path.read_text())))
    except (OSError, ValueError):
        holder.close()
        return None
    return Reservation(holder)


def environment(number: int) -> dict[str, str]:
    """How the tools are given the port."""
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(number), "PET_MASTER_PORT": str(number)}


SHELL = f"""port=$(({FIRST} + SLURM_JOB_ID % {LAST + 1 - FIRST}))
while grep -qi ":$(printf %04X "$port") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; do port=$((port + 1)); done
export MASTER_ADDR=127.0.0.1 MASTER_PORT="$port" PET_MASTER_PORT="$port\""""
"""The same in a batch script, on the node where it runs: jobs of one node have different numbers."""
