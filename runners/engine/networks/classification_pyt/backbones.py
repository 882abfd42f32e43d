"""The backbones of the engine as plain data; sizes follow the papers, weights start random.

ResNet: He et al. 2016 (arXiv:1512.03385). ConvNeXt: Liu et al. 2022 (arXiv:2201.03545), the two smallest with the
widths of timm's femto and atto. ViT: Dosovitskiy et al. 2021 (arXiv:2010.11929), tiny and small of DeiT
(arXiv:2012.12877). FAN: Zhou et al. 2022 (arXiv:2204.12451). The others are timm's models of these papers.
"""

from __future__ import annotations

from typing import Any

from runners.engine.backbones.shapes import FAN
from runners.engine.errors import SpecError
from taod.documents import Document

DEFAULT = "resnet_tiny"
"""Where a spec names no backbone."""


def _resnet(layer: str, embedding: int, hidden: list[int], depths: list[int]) -> dict[str, Any]:
    return {
        "family": "resnet",
        "embedding_size": embedding,
        "hidden_sizes": hidden,
        "depths": depths,
        "layer_type": layer,
    }


def _convnext(hidden: list[int], depths: list[int]) -> dict[str, Any]:
    return {"family": "convnext", "hidden_sizes": hidden, "depths": depths}


def _vit(hidden: int, layers: int, heads: int) -> dict[str, Any]:
    return {"family": "vit", "hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": heads}


def _timm(model: str) -> Document:
    return {"family": "vgg" if model.startswith("vgg") else "timm", "model": model}


_SWIN = (
    *(f"swin_{size}_patch4_window7_224" for size in ("tiny", "small", "base", "large")),
    *(f"swin_{size}_patch4_window12_384" for size in ("base", "large")),
)

BACKBONES: dict[str, dict[str, Any]] = {
    "resnet_tiny": _resnet("basic", 16, [16, 32, 64, 128], [1, 1, 1, 1]),
    "resnet_10": _resnet("basic", 64, [64, 128, 256, 512], [1, 1, 1, 1]),
    "resnet_18": _resnet("basic", 64, [64, 128, 256, 512], [2, 2, 2, 2]),
    "resnet_34": _resnet("basic", 64, [64, 128, 256, 512], [3, 4, 6, 3]),
    "resnet_50": _resnet("bottleneck", 64, [256, 512, 1024, 2048], [3, 4, 6, 3]),
    "resnet_101": _resnet("bottleneck", 64, [256, 512, 1024, 2048], [3, 4, 23, 3]),
    "resnet_152": _resnet("bottleneck", 64, [256, 512, 1024, 2048], [3, 8, 36, 3]),
    "convnext_atto": _convnext([40, 80, 160, 320], [2, 2, 6, 2]),
    "convnext_femto": _convnext([48, 96, 192, 384], [2, 2, 6, 2]),
    "convnext_pico": _convnext([64, 128, 256, 512], [2, 2, 6, 2]),
    "convnext_nano": _convnext([80, 160, 320, 640], [2, 2, 8, 2]),
    "convnext_tiny": _convnext([96, 192, 384, 768], [3, 3, 9, 3]),
    "convnext_small": _convnext([96, 192, 384, 768], [3, 3, 27, 3]),
    "convnext_base": _convnext([128, 256, 512, 1024], [3, 3, 27, 3]),
    "vit_tiny": _vit(192, 12, 3),
    "vit_small": _vit(384, 12, 6),
    "vit_base": _vit(768, 12, 12),
    **{name: {"family": "fan"} for name in FAN},
    **{name: _timm(name) for name in _SWIN},
    **{f"gc_vit_{size}": _timm(f"gcvit_{size}") for size in ("xxtiny", "xtiny", "tiny", "small", "base")},
    **{f"efficientnet_b{size}": _timm(f"tf_efficientnet_b{size}") for size in range(7)},
    "mobilenet_v1": _timm("mobilenetv1_100"),
    "mobilenet_v2": _timm("mobilenetv2_100"),
    "darknet_53": _timm("darknet53"),
    "cspdarknet_53": _timm("cspdarknet53"),
    "vgg_16": _timm("vgg16_bn"),
    "vgg_19": _timm("vgg19_bn"),
}

_Kind = type | tuple[type, ...]
_NUMBER: _Kind = (int, float)

OPTIONS: dict[str, dict[str, _Kind]] = {
    "resnet": {
        "embedding_size": int,
        "hidden_sizes": list,
        "depths": list,
        "layer_type": str,
        "hidden_act": str,
        "stem_stride": int,
    },
    "convnext": {
        "hidden_sizes": list,
        "depths": list,
        "hidden_act": str,
        "patch_size": int,
        "drop_path_rate": _NUMBER,
        "layer_scale_init_value": _NUMBER,
    },
    "vit": {
        "hidden_size": int,
        "num_hidden_layers": int,
        "num_attention_heads": int,
        "intermediate_size": int,
        "hidden_act": str,
        "patch_size": int,
        "hidden_dropout_prob": _NUMBER,
    },
    "fan": {"drop_path_rate": _NUMBER},
    "timm": {"drop_path_rate": _NUMBER},
    "vgg": {},
}
"""What `model.backbone.custom_args` may set, a family. `stem_stride` (1, 2 or 4) and `patch_size` are how much the
stem shrinks the image; left out, they are chosen by the image's size."""

_WITHOUT_EFFECT = ("drop_path_rate", "drop_path")
"""The catalogue's default sets these for every backbone; a family without stochastic depth leaves them."""


def resolve(name: str, custom: dict[str, Any], size: tuple[int, int] | None) -> tuple[dict[str, Any], list[str]]:
    """The family and every option of a backbone for images of `size` (height, width), and notes for the log.

    Without `size` what depends on it is left out. Raises SpecError for an unknown backbone or option, or a value of
    the wrong type.
    """
    if name not in BACKBONES:
        raise SpecError(f"model.backbone.type '{name}' is not in the engine; it has {', '.join(BACKBONES)}.")
    options = dict(BACKBONES[name])
    allowed = OPTIONS[options["family"]]
    notes = []
    for key, value in custom.items():
        option = "drop_path_rate" if key == "drop_path" else key
        if option not in allowed:
            if key not in _WITHOUT_EFFECT:
                raise SpecError(
                    f"model.backbone.custom_args.{key} is not known for {name}; known: {', '.join(allowed)}."
                )
            notes.append(f"model.backbone.custom_args.{key} has no effect on {name}")
            continue
        options[option] = _checked(key, value, allowed[option])
    _check_shape(name, options)
    if size is None:
        return options, notes
    if options["family"] == "fan" and any(side % 16 for side in size):
        raise SpecError(f"An image of {size[0]}x{size[1]} cannot be cut into the tokens of {name}, 16 pixels wide.")
    if options["family"] not in ("resnet", "convnext", "vit"):
        return options, notes
    shrink = "stem_stride" if options["family"] == "resnet" else "patch_size"
    options.setdefault(shrink, _shrink(options["family"], min(size)))
    if options["family"] == "vit" and any(side % options["patch_size"] for side in size):
        raise SpecError(f"An image of {size[0]}x{size[1]} cannot be cut into patches of {options['patch_size']}.")
    return options, notes


def _checked(key: str, value: Any, kind: _Kind) -> Any:
    whole = isinstance(value, list) and all(isinstance(item, int) and item > 0 for item in value) and value
    fits = isinstance(value, kind) and not isinstance(value, bool) and (kind is not list or whole)
    if not fits:
        wanted = {int: "an integer", list: "a list of positive integers", str: "a text"}.get(kind, "a number")  # type: ignore[arg-type]
        raise SpecError(f"model.backbone.custom_args.{key} must be {wanted}, not {value!r}.")
    if kind is int and value < 1:
        raise SpecError(f"model.backbone.custom_args.{key} must be at least 1, not {value}.")
    if key.startswith("drop_path") or key == "hidden_dropout_prob":
        if not 0 <= value < 1:
            raise SpecError(f"model.backbone.custom_args.{key} must lie in [0, 1), not {value}.")
        return float(value)
    return value


def _check_shape(name: str, options: dict[str, Any]) -> None:
    if "depths" in options and len(options["depths"]) != len(options["hidden_sizes"]):
        raise SpecError(
            f"model.backbone.custom_args of {name}: depths has {len(options['depths'])} entries and hidden_sizes "
            f"{len(options['hidden_sizes'])}; they must be as many."
        )
    if options.get("stem_stride", 4) not in (1, 2, 4):
        raise SpecError(f"model.backbone.custom_args.stem_stride must be 1, 2 or 4, not {options['stem_stride']}.")
    if options.get("layer_type", "basic") not in ("basic", "bottleneck"):
        raise SpecError("model.backbone.custom_args.layer_type must be basic or bottleneck.")
    if "num_attention_heads" in options and options["hidden_size"] % options["num_attention_heads"]:
        raise SpecError("model.backbone.custom_args.hidden_size must be a multiple of num_attention_heads.")


def _shrink(family: str, side: int) -> int:
    """How much the stem shrinks images whose shorter side is `side`, where the spec does not say."""
    if family == "vit":
        return 16 if side >= 128 else 8 if side >= 64 else 4
    smallest = 1 if family == "resnet" else 2
    return 4 if side > 80 else 2 if side > 40 else smallest
