"""Keeps the Python processes of a native run on the GPUs of its lease. Runs inside the tools, on Python 3.6 and later.

The tools choose GPUs by index and overwrite CUDA_VISIBLE_DEVICES with it: the entry points of TF1, TF2, deploy and
augment (`--gpu_index`, `gpu_ids`), ocrnet's scripts (`gpu_id`), the exports of efficientdet (a constant 0). Python
imports this module at start (`Native` puts its folder on PYTHONPATH), and from then on an index in that variable
counts within the lease. Processes that the tool starts inherit both.
"""

import os
import sys
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
LEASED = "TAOD_LEASED_GPUS"


def within(lease, value):  # type: (list[str], str) -> str
    """`value` with each index replaced by that GPU of the lease; the whole lease if it names any other GPU."""
    numbered = {str(index): gpu for index, gpu in enumerate(lease)}
    chosen = [numbered.get(entry.strip(), entry.strip()) for entry in value.split(",")]
    return ",".join(chosen if set(chosen) <= set(lease) else lease)


class LeasedEnvironment(type(os.environ)):  # type: ignore[misc]
    """`os.environ` in which CUDA_VISIBLE_DEVICES cannot leave the lease."""

    def __setitem__(self, name, value):  # type: (str, str) -> None
        super().__setitem__(name, within(self[LEASED].split(","), value) if name == VISIBLE else value)

    def __delitem__(self, name):  # type: (str) -> None
        if name == VISIBLE:
            self[name] = self[LEASED]
        elif name != LEASED:
            super().__delitem__(name)


def run_replaced_module():  # type: () -> None
    """Execute the sitecustomize that this module shadows."""
    here = Path(__file__).resolve().parent
    for folder in map(Path, sys.path):
        module = folder / "sitecustomize.py"
        if module.is_file() and folder.resolve() != here:
            exec(
                compile(module.read_bytes(), str(module), "exec"),
                {"__name__": "sitecustomize", "__file__": str(module)},
            )
            return


if os.environ.get(LEASED):
    os.environ.__class__ = LeasedEnvironment
    os.environ[VISIBLE] = os.environ.get(VISIBLE, os.environ[LEASED])
run_replaced_module()
