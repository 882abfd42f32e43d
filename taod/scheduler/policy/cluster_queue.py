"""Who runs next of those that hold no device of this machine: a count limits them, their cluster orders them. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from store.records import PendingJob
from taod.scheduler.policy.dispatch import EXPLAINED, Explain, Lease
from taod.types.device import Device
from taod.types.reason import TURN, Reason, ReasonCode


def decisive_jobs(site: Device) -> int:
    """How many jobs of a cluster's queue decide which run next and the reasons of the first."""
    return site.slots + EXPLAINED


def serve(queue: Sequence[PendingJob], site: Device, paused: Reason | None = None) -> list[Lease | Explain]:
    """Hand the cluster's free slots to its queue, in its order; explain why the rest waits.

    `paused`: nothing is handed out, for this reason.
    """
    taken = {lease.slot for lease in site.leases}
    free = [] if paused else [slot for slot in range(site.slots) if slot not in taken]
    given = Reason(ReasonCode.LEASED_CLUSTER, {"cluster": site.name})
    decisions: list[Lease | Explain] = [
        Lease(job.id, [(site.id, slot)], given) for job, slot in zip(queue, free, strict=False)
    ]
    waits = paused or Reason(ReasonCode.CLUSTER, {"cluster": site.name, "slots": site.slots})
    for place, job in enumerate(queue[len(free) :]):
        reason = waits if place < EXPLAINED else TURN
        if job.reason != reason:
            decisions.append(Explain(job.id, reason))
    return decisions
