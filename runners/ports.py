"""Reserves a TCP port for each run, in the kernel, from before its start until its end.

torchrun takes it from `PET_MASTER_PORT` (without it torch 1.12.1 takes 29500, and two side by side collide; 2.13.0
takes a random port); Lightning and scripts that initialise torch.distributed themselves take it from `MASTER_PORT`.
pointpillars passes `train.tcp_port` of its specification to torch.distributed.launch, which overrides both (5.0).
`exp_config.MASTER_PORT` of segformer and classification_pyt applies only if the variable is not set (5.0).
Horovod and MPI choose their own ports.
"""

from __future__ import annotations

import random
import re
import shlex
import socket
from pathlib import Path

from runners.protocol import Command
from taod import atomic_file, plain_file

FIRST, LAST = 20_000, 32_767
"""Range of ports, below those of Linux for outgoing connections (net.ipv4.ip_local_port_range, from 32768)."""
TRIES = 100
_SPEC_FIELDS = {"pointpillars": "tcp_port"}
"""By network: the field of the specification file that holds the port of its processes."""
_SPEC_OPTION = "--experiment_spec_file="


class Reservation:
    """A bound socket that never listens.

    It is bound without SO_REUSEADDR and gets the option afterwards: another reservation of the same port fails, also by
    another daemon, while the tool's own server (which sets SO_REUSEADDR, as torch does) can bind it too. The kernel
    ends the reservation when the last process with the socket has ended.
    """

    def __init__(self, holder: socket.socket) -> None:
        self._holder = holder
        self.number: int = holder.getsockname()[1]

    def fileno(self) -> int:
        return self._holder.fileno()

    def close(self) -> None:
        self._holder.close()

    def record(self, path: Path) -> None:
        """Write the port's number to a file. Raises OSError."""
        atomic_file.write(path, b"%d\n" % self.number, durable=False)


def reserve() -> Reservation:
    """Reserve a free port. Raises OSError if there is none."""
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
    """Reserve the recorded port of a run that outlived the daemon; None if none is recorded or it is in use."""
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("", int(plain_file.read(path, plain_file.SMALL))))
    except (OSError, ValueError, OverflowError):  # the run may have overwritten it
        holder.close()
        return None
    return Reservation(holder)


def write_to_spec(command: Command, number: int) -> None:
    """Replace the port in the run's specification file, if its network has one there. Raises OSError."""
    if (found := _field_in_spec(command)) is not None:
        path, field = Path(found[0]), found[1]
        text = plain_file.read(path).decode("utf-8")
        changed = re.sub(rf"(?m)^( +{field}:).*$", rf"\1 {number}", text)
        atomic_file.write(path, changed.encode(), durable=False, mode=0o600)


def spec_shell(command: Command) -> list[str]:
    """Lines of a batch script that do the same with the script's `MASTER_PORT`."""
    if (found := _field_in_spec(command)) is None:
        return []
    return [f'sed -i "s/^\\( *{found[1]}:\\).*/\\1 $MASTER_PORT/" {shlex.quote(found[0])}']


def _field_in_spec(command: Command) -> tuple[str, str] | None:
    field = _SPEC_FIELDS.get(command.network)
    path = next((word.removeprefix(_SPEC_OPTION) for word in command.argv if word.startswith(_SPEC_OPTION)), None)
    return None if field is None or path is None else (path, field)


def environment(number: int) -> dict[str, str]:
    """The variables that pass the port to the tools."""
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(number), "PET_MASTER_PORT": str(number)}


SHELL = f"""port=$(({FIRST} + SLURM_JOB_ID % {LAST + 1 - FIRST}))
while grep -qi ":$(printf %04X "$port") " /proc/net/tcp /proc/net/tcp6 2>/dev/null; do port=$((port + 1)); done
export MASTER_ADDR=127.0.0.1 MASTER_PORT="$port" PET_MASTER_PORT="$port\""""
"""Lines of a batch script that choose the port on its node: jobs of one node have different numbers."""
