"""Out of memory, recognised in what a run said last. Pure."""

from __future__ import annotations

import re

LINES = 60
"""So many last lines of a log are searched."""
GPU, MACHINE = "gpu", "machine"

_GPU = re.compile(
    r"CUDA out of memory|cuda(?:\.|Error)?\w*OutOfMemoryError|CUDA_ERROR_OUT_OF_MEMORY|cudaErrorMemoryAllocation"
    r"|CUBLAS_STATUS_ALLOC_FAILED|CUDA error: out of memory|OOM when allocating tensor"
    r"|cuMemAlloc\w* failed: out of memory"
    r"|RESOURCE_EXHAUSTED: (?:OOM|Out of memory)"
)
_MACHINE = re.compile(
    r"^MemoryError\b|DefaultCPUAllocator: (?:can't|not enough)|std::bad_alloc|Cannot allocate memory"
    r"|Out of memory: Killed process|DataLoader worker \(pid.*\) is killed by signal: Killed",
    re.MULTILINE,
)


def exhausted(log: str) -> str:
    """Which memory was exhausted according to the log's last lines: GPU, MACHINE, or empty."""
    if _GPU.search(log):
        return GPU
    return MACHINE if _MACHINE.search(log) else ""
