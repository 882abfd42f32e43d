"""The environment of a local run: which devices it sees, how many threads it may use, who it is."""

from __future__ import annotations

import os

from runners.protocol import DeviceGrant, RunRequest

GPU = "gpu"


def of_run(request: RunRequest, *, threads: int) -> dict[str, str]:
    """What taod sets for a run. GPUs are named by UUID, which does not renumber; `threads` counts on CPU slots only."""
    gpus = [device for device in request.devices if device.kind == GPU]
    visible = ",".join(device.id for device in gpus)
    environment = {
        "CUDA_VISIBLE_DEVICES": visible,
        "NVIDIA_VISIBLE_DEVICES": visible,
        "NUM_GPU_PER_NODE": str(len(gpus)),
        "PYTHONUNBUFFERED": "1",
        "TAOD_JOB_ID": request.job_id,
        "TAOD_RUN": f"{request.job_id}/{request.attempt}",
    }
    if not gpus:
        environment["OMP_NUM_THREADS"] = str(threads * max(1, _slots(request.devices)))
    return environment | request.command.environment


def threads_per_slot(configured: int, cpu_slots: int) -> int:
    """`configured`, or for 0 the cores that this process may use shared among the slots; at least 1."""
    return configured or max(1, len(os.sched_getaffinity(0)) // max(1, cpu_slots))


def _slots(devices: list[DeviceGrant]) -> int:
    return sum(device.kind != GPU for device in devices)
