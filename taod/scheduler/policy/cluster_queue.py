"""Decides which jobs to submit to a cluster: its slots limit their number, its own scheduler orders them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from store.records import PendingJob
from taod.scheduler.policy.dispatch import EXPLAINED, Explain, Lease
from taod.types.device import Device
from taod.types.reason import TURN, Reason, ReasonCode


def decisive_jobs(site: Device) -> int:
    """Number of jobs at the front of a cluster's queue that decisions depend on."""
    return site.slots + EXPLAINED


def serve(queue: Sequence[PendingJob], site: Device, paused: Reason | None = None) -> list[Lease | Explain]:
    """Lease the cluster's free slots to its queue in order, and explain why other jobs wait.

    `paused`: the reason to lease nothing.
    """
    taken = {lease.slot for lease in site.leases}
    free = [] if paused else [slot for slot in range(site.slots) if slot not in taken]
    leased = Reason(ReasonCode.LEASED_CLUSTER, {"cluster": site.name})
    decisions: list[Lease | Explain] = [
        Lease(job.id, [(site.id, slot)], leased) for job, slot in zip(queue, free, strict=False)
    ]
    waits = paused or Reason(ReasonCode.CLUSTER, {"cluster": site.name, "slots": site.slots})
    for position, job in enumerate(queue[len(free) :]):
        reason = waits if position < EXPLAINED else TURN
        if job.reason != reason:
            decisions.append(Explain(job.id, reason))
    return decisions
