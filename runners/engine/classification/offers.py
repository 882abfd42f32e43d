"""What the offers of the TF1 and TF2 tools' classifiers share: actions, and parameters without effect. No torch."""

from __future__ import annotations

from collections.abc import Mapping

from runners.engine.classification import settings
from runners.engine.classification.settings import Tf1Spec
from runners.engine.core.offer import ENGINE, EXPORT, INT8, TRAINING, Offer
from runners.engine.spec import convert
from taod.documents import Document

_MODULES = ("torchvision", "timm")

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "train": (*TRAINING, *_MODULES),
    "evaluate": (*TRAINING, *_MODULES, "onnxruntime"),
    "export": (*EXPORT, *_MODULES),
    "inference": (*TRAINING, *_MODULES, "onnxruntime"),
    "prune": (*TRAINING, *_MODULES, "torch_pruning"),
    "retrain": (*TRAINING, *_MODULES),
}

SIMILAR = (
    "timm's backbones (squeezenet, googlenet and alexnet: torchvision's) with the mean of their last features and one "
    "linear layer"
)
NORMS = "the backbone has the norms, biases and poolings of its paper"
HEAD = "the head is one linear layer for the classes of the data"
CLASSES = "the model knows its classes"
BYOM = "a model of one's own in TensorFlow cannot be read; use another backbone"

_TF1_WITHOUT_EFFECT: Mapping[str, str] = {
    **{
        f"model_config.{name}": NORMS
        for name in ("use_batch_norm", "use_bias", "use_pooling", "all_projections", "activation")
    },
    **dict.fromkeys(
        (
            "force_ptq",
            "strict_type_constraints",
            "gen_ds_config",
            "cal_cache_file",
            "max_workspace_size",
            "max_batch_size",
            "engine_file",
        ),
        ENGINE,
    ),
}


def tf1(
    spec: type[Tf1Spec],
    *,
    rejected: Mapping[str, str],
    without_effect: Mapping[str, str],
    actions: Mapping[str, tuple[str, ...]] = ACTIONS,
) -> Offer:
    """The offer of a classifier of the TF1 tools; what concerns all of them is added."""

    def check(action: str, document: Document) -> None:
        """Raise SpecError for a model that the engine does not have."""
        if action in ("train", "retrain"):
            settings.shape(convert(document, spec).model_config)

    return Offer(
        spec=spec,
        actions=actions,
        check=check,
        similar=SIMILAR,
        only=INT8,
        rejected=rejected,
        without_effect={**_TF1_WITHOUT_EFFECT, **without_effect},
    )
