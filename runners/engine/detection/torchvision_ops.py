"""torchvision where its compiled part cannot be loaded (a wheel for CUDA on a machine without it): detectors import
what they use of it from here. Where the compiled part is there, nothing is changed.

Of its operators, detectors need NMS; RoI align has a form of its own (`regions`).
"""

from __future__ import annotations

from runners.engine.core import vision

vision.define()

from torchvision import tv_tensors as tv_tensors  # noqa: E402
from torchvision.extension import _has_ops  # noqa: E402
from torchvision.models.detection._utils import BoxCoder as BoxCoder  # noqa: E402
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor as FastRCNNPredictor  # noqa: E402
from torchvision.models.detection.faster_rcnn import TwoMLPHead as TwoMLPHead  # noqa: E402
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads as MaskRCNNHeads  # noqa: E402
from torchvision.models.detection.mask_rcnn import MaskRCNNPredictor as MaskRCNNPredictor  # noqa: E402
from torchvision.models.detection.rpn import RPNHead as RPNHead  # noqa: E402
from torchvision.ops import FeaturePyramidNetwork as FeaturePyramidNetwork  # noqa: E402
from torchvision.ops import batched_nms as batched_nms  # noqa: E402
from torchvision.ops import box_iou as box_iou  # noqa: E402
from torchvision.ops import boxes as _boxes  # noqa: E402
from torchvision.ops import complete_box_iou_loss as complete_box_iou_loss  # noqa: E402
from torchvision.ops import sigmoid_focal_loss as sigmoid_focal_loss  # noqa: E402
from torchvision.transforms import v2 as v2  # noqa: E402


def has_ops() -> bool:
    """Whether the compiled part is there."""
    return bool(_has_ops())


if not has_ops():
    _boxes._assert_has_ops = lambda: None
