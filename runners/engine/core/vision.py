"""torchvision, which some libraries import and whose compiled part may be missing.

The wheel's compiled part is built for CUDA: beside a CPU build of torch it cannot be loaded, and the import fails since
the operators that it would define are missing. `define` defines non-maximum suppression in Python there and nowhere
else. `without_torchvision` keeps transformers from importing it, which takes longer than the model's own code.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

_LIBRARY: list[torch.library.Library] = []


def greedy_nms(boxes: torch.Tensor, scores: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """Indices of the boxes that NMS keeps, best score first; of equal scores the first comes first.

    A box is suppressed where its IoU with a better one is over the threshold, as the compiled operator has it.
    """
    order = torch.argsort(scores, descending=True, stable=True)
    left, top, right, bottom = boxes.detach()[order].double().cpu().numpy().T
    areas = (right - left) * (bottom - top)
    alive = np.ones(len(areas), dtype=bool)
    kept = []
    for best in range(len(areas)):
        if not alive[best]:
            continue
        kept.append(best)
        rest = best + 1 + np.flatnonzero(alive[best + 1 :])
        across = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        down = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        inner = across.clip(0) * down.clip(0)
        union = areas[best] + areas[rest] - inner
        alive[rest[inner > iou_threshold * union]] = False
    return order[torch.tensor(kept, dtype=torch.long, device=order.device)]


def define() -> None:
    """Define the operators, once, where the compiled part is missing. Call it before anything imports torchvision."""
    if _LIBRARY or "torchvision" in sys.modules or _compiled():
        return
    library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        schema = f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
        library.define(schema)  # type: ignore[no-untyped-call]
    library.impl("nms", greedy_nms, "CompositeExplicitAutograd")  # type: ignore[no-untyped-call]
    _LIBRARY.append(library)


def _compiled() -> bool:
    """Whether torchvision's compiled part can be loaded; loads it."""
    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True
    for path in Path(spec.origin).parent.glob("_C*.so"):
        try:
            torch.ops.load_library(path)  # type: ignore[no-untyped-call]
        except OSError:
            continue
        return True
    return False


def without_torchvision() -> None:
    """Let transformers, where it is not loaded yet, do without torchvision: models do not need it."""
    if "transformers.image_utils" in sys.modules:
        return
    from transformers import utils

    setattr(utils, "is_torchvision_available", lambda: False)  # noqa: B010  lazily exported
