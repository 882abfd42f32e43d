"""Tools that choose GPUs by index and overwrite CUDA_VISIBLE_DEVICES: how they are kept on those of their lease. Pure.

Read in the sources, not run on several GPUs. TF1 and TF2 (5.0) count GPUs with `nvidia-smi -L`, deploy with
`cuda.Device.count()`; all then set CUDA_VISIBLE_DEVICES to `--gpu_index`, by default 0 … n-1, whatever it was before.
ocrnet does the same with a field of its specification. In a container the leased GPUs are all that there is.
"""

from __future__ import annotations

from runners.protocol import Command, DeviceGrant, StartFailed

_MANY = frozenset({"tlt-tf1", "tlt-tf2"})
_ONE = frozenset({"tao-deploy"})
_OTHERS = frozenset({"trtexec", "augment"})
"""Programs of these images that leave CUDA_VISIBLE_DEVICES alone or have no such option."""
_BY_FIELD = {("ocrnet", action): f"{action}.gpu_id" for action in ("evaluate", "inference", "export", "prune")}
ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""CUDA counts as nvidia-smi and NVML do; by default it counts the fastest GPU first."""


def hold(command: Command, gpus: list[DeviceGrant]) -> tuple[list[str], dict[str, str]]:
    """Words after the command line, and variables, that keep the tool on these GPUs; none where it keeps to them.

    Raises StartFailed for MIG instances, which have no index of their own.
    """
    indices = sorted(gpu.index for gpu in gpus)
    field = _BY_FIELD.get((command.network, command.action)) if command.image == "tlt-pytorch" else None
    indexed = command.image in _MANY | _ONE and command.argv[0] not in _OTHERS
    if not gpus or not (indexed or field):
        return [], {}
    if any(gpu.id.startswith("MIG-") for gpu in gpus):
        raise StartFailed(
            f"{command.argv[0]} chooses its GPU by index and cannot be kept on the MIG instance {gpus[0].id}; "
            "use the docker runner, or lease it whole GPUs (devices.exclude)"
        )
    if indices == list(range(len(indices))):
        return [], {}
    # Up to the highest index, so that the tool's own count takes it for valid.
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(indices[-1] + 1)))}
    if field:
        return [f"{field}={indices[0]}"], visible
    if command.image in _ONE:
        return [f"--gpu_index={indices[0]}"], visible
    return ["--gpu_index", *map(str, indices)], visible
