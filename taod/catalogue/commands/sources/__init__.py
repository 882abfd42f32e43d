"""Writes the paths of each network's data into its specification: one function for each layout, listed here."""

from __future__ import annotations

from typing import Any

from taod.catalogue.commands.inputs import JobFacts
from taod.catalogue.commands.sources import classification, depth, detection, language, segmentation, services, video
from taod.catalogue.commands.sources.common import Fill, calibrate, listed

_FILLS: dict[str, Fill] = {
    "action_recognition": video.action_recognition,
    "analytics": services.analytics,
    "annotations": services.annotation_conversion,
    "augmentation": services.augmentation,
    "auto_label": services.auto_label,
    "bpnet": video.bpnet,
    "classification_pyt": classification.classification_pyt,
    "classification_tf1": classification.classification_tf1,
    "classification_tf2": classification.classification_tf2,
    "deformable_detr": detection.detr,
    "depth_net_mono": depth.depth_net,
    "depth_net_stereo": depth.depth_net,
    "detectnet_v2": detection.tfrecords_single_validation,
    "dino": detection.detr,
    "dssd": detection.tfrecords_with_labels,
    "efficientdet_tf1": detection.efficientdet_tf1,
    "efficientdet_tf2": detection.efficientdet_tf2,
    "faster_rcnn": detection.tfrecords_single_validation,
    "fpenet": video.fpenet,
    "grounding_dino": detection.grounding,
    "image": services.image,
    "lprnet": language.lprnet,
    "mal": segmentation.mal,
    "mask2former": segmentation.mask2former,
    "mask_grounding_dino": detection.grounding,
    "mask_rcnn": segmentation.mask_rcnn,
    "ml_recog": classification.ml_recog,
    "multitask_classification": classification.multitask_classification,
    "object_detection": detection.conversions,
    "ocdnet": language.ocdnet,
    "ocrnet": language.ocrnet,
    "oneformer": segmentation.oneformer,
    "optical_inspection": classification.optical_inspection,
    "pointpillars": video.pointpillars,
    "pose_classification": video.pose_classification,
    "re_identification": video.re_identification,
    "rtdetr": detection.detr,
    "retinanet": detection.tfrecords_with_labels,
    "segformer": segmentation.segformer,
    "ssd": detection.tfrecords_with_labels,
    "unet": segmentation.unet,
    "visual_changenet_segment": segmentation.visual_changenet_segment,
    "yolo_v3": detection.tfrecords_many_validation,
    "yolo_v4": detection.tfrecords_many_validation,
    "yolo_v4_tiny": detection.tfrecords_many_validation,
}


def overrides(facts: JobFacts) -> list[dict[str, str]]:
    """Spec fields with the values of each further command line that the job needs; mostly none."""
    if (facts.network, facts.action) == ("ocrnet", "dataset_convert"):
        return language.ocrnet_parts(facts)[1:]
    return []


def fill_sources(spec: dict[str, Any], facts: JobFacts) -> None:
    """Write the paths of the job's data into its specification; fields of missing datasets stay unset."""
    parts = facts.catalogued.file.sources
    network = _FILLS.get(facts.network)
    if parts is not None:
        listed(spec, facts, parts.get(facts.action, []))
    elif network is not None:
        network(spec, facts)
    calibrate(spec, facts)
