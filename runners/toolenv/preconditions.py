"""Preconditions of an installation, from a specification and facts about the machine. Pure."""

from __future__ import annotations

from runners.toolenv.machine import Machine
from runners.toolenv.spec import ToolSpec, version
from taod.errors import BadRequest, NoSpace, TaodError

MB = 10**6
GB = 10**9


def obstacle(
    spec: ToolSpec, machine: Machine, *, cpu: bool, cuda_builds: bool, done_bytes: int = 0
) -> TaodError | None:
    """Why the tool cannot be installed on this machine; None if it can.

    `cpu`: with the compatibility layer. `cuda_builds`: CUDA builds of libraries are installed, which are larger.
    `done_bytes`: disk space that an earlier, interrupted installation uses already.
    """
    if machine.processor not in spec.machines:
        return BadRequest(
            f"{spec.tool} {spec.release} is built for {', '.join(spec.machines)}, and this machine is "
            f"{machine.processor}; use a container image for it"
        )
    if cpu and not spec.cpu_disk_mb:
        return BadRequest(f"{spec.tool} {spec.release} needs a GPU; --cpu is not available for it")
    if not cpu and spec.gpu_obstacle:
        return BadRequest(f"{spec.tool} {spec.release}: {spec.gpu_obstacle}")
    if not cpu and machine.gpus and spec.cuda > machine.cuda:
        return BadRequest(
            f"{spec.tool} {spec.release} needs a driver for CUDA {spec.cuda}, and driver {machine.driver} supports "
            f"CUDA {machine.cuda}; update the NVIDIA driver, or add --cpu for trials"
        )
    megabytes = spec.disk_mb if cuda_builds and spec.disk_mb else spec.cpu_disk_mb or spec.disk_mb
    needed = megabytes * MB - done_bytes
    if machine.free_bytes < needed:
        return NoSpace(
            f"{spec.tool} {spec.release} needs {needed / GB:.1f} GB of disk and {machine.free_bytes / GB:.1f} GB are "
            "free; free some, or set tools.folder in taod.toml to another disk"
        )
    return None


def notices(spec: ToolSpec, machine: Machine, *, cpu: bool) -> list[str]:
    """Restrictions of the tool on this machine."""
    found: list[str] = []
    if cpu:
        found.append("runs on the CPU through taod's compatibility layer: slow, for trials and tests")
    elif not machine.gpus:
        found.append("no GPU was found here: its networks cannot train; add --cpu to try them on the CPU")
    for each in spec.operators:
        if why := _operators_obstacle(each.glibcxx, each.cuda, machine):
            found.append(f"{', '.join(each.networks)}: {each.title} cannot be loaded ({why}){_then(each.without)}")
    return found


def _operators_obstacle(glibcxx: str, cuda: int, machine: Machine) -> str:
    why = []
    if glibcxx and version(machine.glibcxx) < version(glibcxx):
        have = f"the system's is {machine.glibcxx}" if machine.glibcxx else "libstdc++ was not found"
        why.append(f"needs GLIBCXX_{glibcxx}, {have}")
    if cuda and machine.cuda < cuda:
        why.append(f"needs CUDA {cuda}" + (f", the driver supports {machine.cuda}" if machine.cuda else ""))
    return "; ".join(why)


def _then(without: str) -> str:
    return f"; {without}" if without else ""
