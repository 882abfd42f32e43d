"""How each network of release 7.3 is trained on tiny data, so that a CPU needs a minute or two."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.tools import tiny_data


class Plan(msgspec.Struct, frozen=True):
    """How a network is trained on tiny data."""

    dataset: tuple[str, str]
    """Type and format."""
    write: Callable[[Path], None]
    spec: dict[str, Any]
    """Of its training, without the epochs."""
    kpis: set[str]
    """Reported by its training."""
    later: tuple[dict[str, dict[str, Any]], ...] = ()
    """Chains of further actions with their specifications: the first on the training, each on the one before."""
    actions: tuple[str, ...] = ("evaluate", "inference", "export")
    """On the training."""
    specs: dict[str, dict[str, Any]] = {}
    """Of those actions, where the default one does not do."""
    evaluated: str = ""
    """Format of a second dataset for evaluation and inference; empty: the training's."""
    needs: str = ""
    """A text model that it reads: `bert` or `clip`, which `text_models.py` creates with random weights."""


_SMALL_CROPS = {
    "scales": [96],
    "train_random_resize": [96],
    "train_random_crop_min": 48,
    "train_random_crop_max": 64,
    "random_resize_max_size": 128,
    "test_random_resize": 96,
}
_LIGHTS = {
    "image_ext": ".jpg",
    "image_width": 64,
    "image_height": 64,
    "num_input": 2,
    "input_map": {light: number for number, light in enumerate(tiny_data.LIGHTS)},
    "concat_type": "linear",
    "batch_size": 4,
    "workers": 1,
}
_OCD_MODEL = {"backbone": "deformable_resnet18", "neck": "FPN"}
_OCD_CROP = {"type": "EastRandomCropData", "args": {"size": [128, 128], "max_tries": 5, "keep_ratio": True}}
_OCD_BORDER = {"type": "MakeBorderMap", "args": {"shrink_ratio": 0.4, "thresh_min": 0.3, "thresh_max": 0.7}}
_OCD_SHRINK = {"type": "MakeShrinkMap", "args": {"shrink_ratio": 0.4, "min_text_size": 8}}
_OCD_RESIZE = {"type": "Resize2D", "args": {"short_size": [128, 128], "resize_text_polys": True}}
_OCD_DATA = {
    "train_dataset": {
        "args": {"pre_processes": [_OCD_CROP, _OCD_BORDER, _OCD_SHRINK]},
        "loader": {"batch_size": 2},
    },
    "validate_dataset": {"args": {"pre_processes": [_OCD_RESIZE]}},
}
_OCD_TRAIN = {"lr_scheduler": {"args": {"warmup_epoch": 2}}}
"""The tool rejects as many epochs of warm-up as there are epochs."""
_DETR_MODEL = {
    "backbone": "resnet_50",
    "num_feature_levels": 2,
    "return_interm_indices": [1, 2],
    "enc_layers": 1,
    "dec_layers": 1,
    "dim_feedforward": 64,
    "num_queries": 30,
    "num_select": 20,
}
_DETR_DATA = {
    "num_classes": 3,
    "dataset_type": "default",
    "augmentation": _SMALL_CROPS,
    "batch_size": 2,
    "workers": 1,
}
_GROUNDING_DATA = {"max_labels": 2} | {name: _DETR_DATA[name] for name in _DETR_DATA if name != "num_classes"}
_SMALL_DEPTH = {"batch_size": 1, "workers": 1, "augmentation": {"crop_size": [70, 70]}}
_SMALL_STEREO = {"batch_size": 1, "workers": 1, "augmentation": {"crop_size": [96, 96]}}
_PARTS_OF_DEPTH = ("train_dataset", "val_dataset", "test_dataset", "infer_dataset")
_QUANTIZE = {"quantize": {"layers": [{"module_name": "Linear", "weights": {"dtype": "int8"}}], "device": "cpu"}}
_RTDETR_MODEL = {
    "backbone": "resnet_18",
    "hidden_dim": 64,
    "feat_channels": [64, 64, 64],
    "dim_feedforward": 64,
    "dec_layers": 2,
    "num_queries": 30,
    "num_select": 20,
    "dn_number": 4,
    "train_backbone": True,
}
_CLASSIFIER = {"backbone": {"type": "resnet_18"}, "head": {"in_channels": 512}}
_ONE_EPOCH = {"num_epochs": 1}
PLANS = {
    "classification_pyt": Plan(
        ("image_classification", "classification_pyt"),
        tiny_data.shapes,
        {
            "model": _CLASSIFIER,
            "dataset": {"num_classes": 2, "img_size": 64, "batch_size": 4, "workers": 1},
        },
        {"val_loss", "val_acc_1"},
        ({"quantize": _QUANTIZE, "evaluate": {}}, {"distill": {"model": _CLASSIFIER, "train": _ONE_EPOCH}}),
    ),
    "pose_classification": Plan(
        ("pose_classification", "default"),
        tiny_data.skeletons,
        {"dataset": {"num_classes": 6, "label_map": {name: at for at, name in enumerate("abcdef")}, "batch_size": 8}},
        {"train_loss", "train_acc"},
    ),
    "action_recognition": Plan(
        ("action_recognition", "default"),
        tiny_data.videos,
        {
            "model": {"input_width": 64, "input_height": 64, "rgb_seq_length": 3},
            "dataset": {
                "label_map": {"run": 0, "walk": 1},
                "augmentation_config": {"train_crop_type": "no_crop"},
                "batch_size": 4,
                "workers": 1,
            },
        },
        {"val_loss", "val_acc"},
    ),
    "re_identification": Plan(
        ("re_identification", "default"),
        tiny_data.persons,
        {
            "model": {"backbone": "resnet_50", "pretrain_choice": "", "input_width": 64, "input_height": 128},
            "dataset": {"num_classes": 8, "num_workers": 1, "batch_size": 8, "val_batch_size": 4},
        },
        {"cmc_rank_1", "mAP"},
    ),
    "rtdetr": Plan(
        ("object_detection", "coco"),
        tiny_data.objects,
        {
            "model": _RTDETR_MODEL,
            "dataset": {
                "num_classes": 3,
                "dataset_type": "default",
                "augmentation": {
                    "train_spatial_size": [128, 128],
                    "eval_spatial_size": [128, 128],
                    "multi_scales": [128],
                },
                "batch_size": 2,
                "workers": 1,
            },
        },
        {"val_mAP", "val_mAP50"},
        ({"quantize": _QUANTIZE, "evaluate": {}}, {"distill": {"model": _RTDETR_MODEL, "train": _ONE_EPOCH}}),
    ),
    "dino": Plan(
        ("object_detection", "coco"),
        tiny_data.objects,
        {
            "model": _DETR_MODEL | {"dn_number": 2},
            "dataset": _DETR_DATA,
        },
        {"val_mAP", "val_mAP50"},
        ({"quantize": _QUANTIZE},),
    ),
    "segformer": Plan(
        ("semantic_segmentation", "unet"),
        tiny_data.masks,
        {
            "model": {"backbone": {"type": "fan_tiny_8_p4_hybrid"}},
            "dataset": {"segment": {"num_classes": 2, "img_size": 64, "batch_size": 2, "workers": 1}},
        },
        {"val_loss", "val_miou"},
    ),
    "optical_inspection": Plan(
        ("optical_inspection", "default"),
        tiny_data.boards,
        {"dataset": _LIGHTS, "train": {"loss": "contrastive"}},
        {"val_loss", "val_acc"},
    ),
    "visual_changenet_classify": Plan(
        ("optical_inspection", "default"),
        tiny_data.boards,
        {
            "model": {
                "backbone": {"type": "fan_tiny_8_p4_hybrid"},
                "decode_head": {"feature_strides": [4, 8, 16, 16]},
            },
            "dataset": {"classify": _LIGHTS},
        },
        {"val_loss", "val_acc"},
    ),
    "deformable_detr": Plan(
        ("object_detection", "coco"),
        tiny_data.objects,
        {
            "model": _DETR_MODEL | {"num_queries": 40},
            "dataset": _DETR_DATA,
        },
        {"val_mAP", "val_mAP50"},
    ),
    "visual_changenet_segment": Plan(
        ("visual_changenet_segment", "default"),
        tiny_data.changes,
        {
            "model": {
                "backbone": {"type": "fan_tiny_8_p4_hybrid"},
                "decode_head": {"in_channels": [128, 256, 192, 192], "decoder_params": {"embed_dim": 32}},
            },
            "dataset": {"segment": {"num_classes": 2, "img_size": 64, "batch_size": 2, "workers": 1}},
        },
        {"val_loss"},
    ),
    "mask2former": Plan(
        ("instance_segmentation", "coco"),
        tiny_data.instances,
        {
            "model": {
                "mode": "instance",
                "test_topk_per_image": 10,
                "backbone": {"swin": {"depths": [1, 1, 1, 1], "out_indices": [0, 1, 2, 3]}},
                "sem_seg_head": {"transformer_enc_layers": 1, "num_classes": 2, "convs_dim": 32, "mask_dim": 32},
                "mask_former": {
                    "num_object_queries": 10,
                    "hidden_dim": 32,
                    "dim_feedforward": 32,
                    "dec_layers": 2,
                    "nheads": 4,
                    "train_num_points": 64,
                },
            },
            "dataset": {
                "contiguous_id": True,
                "train": {"batch_size": 1, "num_workers": 1},
                "val": {"batch_size": 1, "num_workers": 1},
                "test": {"batch_size": 1},
                "augmentation": {
                    "train_min_size": [64],
                    "train_max_size": 96,
                    "train_crop_size": [64, 64],
                    "test_min_size": 64,
                    "test_max_size": 96,
                },
            },
        },
        {"val_mAP50"},
    ),
    "ml_recog": Plan(
        ("ml_recog", "default"),
        tiny_data.products,
        {
            "model": {"backbone": "resnet_50", "input_width": 64, "input_height": 64, "feat_dim": 32},
            "dataset": {"workers": 1},
            "train": {"batch_size": 4, "val_batch_size": 4},
        },
        {"val Precision at Rank 1"},
    ),
    "ocrnet": Plan(
        ("ocrnet", "default"),
        tiny_data.words,
        {"dataset": {"batch_size": 8, "workers": 1}},
        {"val_acc"},
        ({"prune": {}, "retrain": {"dataset": {"batch_size": 8, "workers": 1}, "train": {"num_epochs": 1}}},),
    ),
    "ocdnet": Plan(
        ("ocdnet", "default"),
        tiny_data.scenes,
        {"model": _OCD_MODEL, "dataset": _OCD_DATA, "train": _OCD_TRAIN},
        {"hmean"},
        (
            {
                "prune": {"dataset": _OCD_DATA},
                "retrain": {"dataset": _OCD_DATA, "train": _OCD_TRAIN | {"num_epochs": 1}},
            },
        ),
    ),
    "mae": Plan(
        ("image_classification", "classification_pyt"),
        tiny_data.shapes,
        {
            "model": {"arch": "convnextv2_atto", "num_classes": 2},
            "dataset": {"batch_size": 2, "num_workers_per_gpu": 1, "augmentation": {"input_size": 64}},
            "train": {"stage": "finetune"},
        },
        {"train_loss"},
    ),
    "nvdinov2": Plan(
        ("image_classification", "ssl"),
        tiny_data.unlabelled,
        {
            "model": {
                "backbone": {"teacher_type": "vit_s", "student_type": "vit_s", "img_size": 56},
                "head": {"hidden_dim": 32, "bottleneck_dim": 16},
            },
            "dataset": {
                "batch_size": 2,
                "workers": 1,
                "transform": {"global_crops_size": 56, "local_crops_size": 28, "n_local_crops": 2},
            },
            "train": {"num_prototypes": 64, "precision": "32", "use_custom_attention": False},
        },
        set(),
        actions=("inference", "export"),
    ),
    "centerpose": Plan(
        ("centerpose", "default"),
        tiny_data.cuboids,
        {
            "model": {"backbone": {"model_type": "fan_small"}},
            "dataset": {"category": "cup", "batch_size": 2, "workers": 1},
        },
        {"val_3DIoU"},
    ),
    "mal": Plan(
        ("instance_segmentation", "coco"),
        tiny_data.instances,
        {
            "model": {"arch": "vit-deit-small/16", "mask_head_num_convs": 4},
            "dataset": {"min_obj_size": 16, "crop_size": 128, "num_workers_per_gpu": 1},
            "train": {"batch_size": 2, "use_amp": False, "warmup_epochs": 0},
        },
        {"mIoU"},
        actions=("evaluate", "inference"),
    ),
    "grounding_dino": Plan(
        ("object_detection", "odvg"),
        tiny_data.phrases,
        {"model": _DETR_MODEL, "dataset": _GROUNDING_DATA},
        {"val_mAP50"},
        evaluated="coco",
        needs="bert",
    ),
    "mask_grounding_dino": Plan(
        ("instance_segmentation", "odvg"),
        tiny_data.phrases,
        {"model": _DETR_MODEL, "dataset": _GROUNDING_DATA},
        {"[bbox] val_mAP@50"},
        evaluated="coco",
        needs="bert",
    ),
    "oneformer": Plan(
        ("instance_segmentation", "coco_panoptic"),
        tiny_data.segments,
        {
            "model": {
                "sem_seg_head": {"num_classes": 2, "transformer_enc_layers": 1, "convs_dim": 64, "mask_dim": 64},
                "one_former": {
                    "hidden_dim": 64,
                    "nheads": 4,
                    "dim_feedforward": 32,
                    "dec_layers": 2,
                    "num_object_queries": 20,
                    "train_num_points": 64,
                },
                "text_encoder": {"width": 64, "num_layers": 1, "n_ctx": 4},
                "backbone": {
                    "swin": {"embed_dim": 24, "depths": [1, 1, 1, 1], "num_heads": [1, 2, 4, 8], "window_size": 4}
                },
            },
            "dataset": {
                "train": {"batch_size": 1, "num_workers": 1},
                "val": {"batch_size": 1, "num_workers": 1},
                "image_size": 64,
                "min_scale": 1.0,
                "augmentation": {"train_crop_size": [64, 64], "test_min_size": 64, "test_max_size": 96},
            },
        },
        {"mIoU"},
        specs={
            "inference": {"inference": {"image_size": [64, 64]}},
            "export": {"export": {"input_width": 64, "input_height": 64}},
        },
        needs="clip",
    ),
    "depth_net_mono": Plan(
        ("depth_net_mono", "default"),
        tiny_data.depths,
        {
            "model": {"encoder": "vits"},
            "dataset": {"min_depth": 0.001, "max_depth": 10.0} | dict.fromkeys(_PARTS_OF_DEPTH, _SMALL_DEPTH),
        },
        {"val/loss", "train_loss"},
    ),
    "depth_net_stereo": Plan(
        ("depth_net_stereo", "default"),
        tiny_data.pairs,
        {
            "model": {"encoder": "vits", "max_disparity": 64, "train_iters": 2, "valid_iters": 2},
            "dataset": {"max_disparity": 64} | dict.fromkeys(_PARTS_OF_DEPTH, _SMALL_STEREO),
        },
        {"val_loss"},
        specs={"export": {"export": {"input_width": 128, "input_height": 128, "valid_iters": 2}}},
    ),
}
