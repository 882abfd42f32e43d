"""Parses states of cluster jobs from the commands' output, and explains their ends. Pure."""

from __future__ import annotations

import re

import msgspec

from runners.protocol import RunEnd

FORMAT = "%i|%j|%T|%r"
"""Output format of squeue: number, name, state, reason."""
LIVING = frozenset(
    {"PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED", "REQUEUED", "RESIZING", "SIGNALING"}
    | {"STAGE_OUT", "STOPPED", "SPECIAL_EXIT", "REQUEUE_HOLD", "REQUEUE_FED", "RESV_DEL_HOLD"}
)
"""States of a job that has not ended."""
MEANINGS = {
    "BOOT_FAIL": "its node did not boot",
    "CANCELLED": "it was cancelled on the cluster",
    "DEADLINE": "it passed its deadline on the cluster",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "out of memory on its node",
    "PREEMPTED": "it was pre-empted on the cluster",
    "TIMEOUT": "it passed its time limit on the cluster (runner.slurm.time)",
}
"""Explanations of ends caused by the cluster, by state."""


class ClusterJob(msgspec.Struct, frozen=True):
    """One job as reported by the cluster."""

    number: str
    name: str
    state: str
    reason: str = ""
    exit_code: int | None = None

    @property
    def lives(self) -> bool:
        return self.state in LIVING


def queue(text: str) -> list[ClusterJob]:
    """The lines of `squeue -o FORMAT`."""
    found = []
    for line in text.splitlines():
        fields = line.strip().split("|", 3)
        if len(fields) == 4:
            found.append(ClusterJob(fields[0], fields[1], fields[2], "" if fields[3] == "None" else fields[3]))
    return found


def shown(text: str) -> ClusterJob | None:
    """The job in the line of `scontrol show job -o`; None if it knows no such job."""
    fields = dict(re.findall(r"(\w+)=(\S*)", text))
    if "JobState" not in fields:
        return None
    return ClusterJob(
        number=fields.get("JobId", ""),
        name=fields.get("JobName", ""),
        state=fields["JobState"],
        reason="" if fields.get("Reason") == "None" else fields.get("Reason", ""),
        exit_code=_code(fields.get("ExitCode", "")),
    )


def accounted(text: str) -> ClusterJob | None:
    """The job in the first line of `sacct -X -n -P -o JobIDRaw,JobName,State,ExitCode`; None without a line."""
    for line in text.splitlines():
        fields = line.split("|")
        if len(fields) == 4 and fields[2]:
            # `CANCELLED by 1000`
            return ClusterJob(fields[0], fields[1], fields[2].split()[0], "", _code(fields[3]))
    return None


def ended(seen: ClusterJob | None, recorded: int | None, handle: str) -> RunEnd:
    """How a run ended. `seen`: the cluster's last report, if any; `recorded`: the exit code written by the wrapper."""
    if seen is None:
        why = "" if recorded is not None else f"the cluster knows nothing of job {handle} any more"
        return RunEnd(recorded, why)
    why = "" if recorded == 0 else MEANINGS.get(seen.state, "")
    if recorded is not None:
        return RunEnd(recorded, why)
    if seen.state == "COMPLETED":
        return RunEnd(0)
    return RunEnd(seen.exit_code or None, why or f"the cluster says {seen.state} of job {handle}")


def _code(text: str) -> int | None:
    """The exit code in `code:signal`."""
    match = re.fullmatch(r"(\d+):(\d+)", text)
    if match is None:
        return None
    code, number = int(match[1]), int(match[2])
    return 128 + number if number else code
