"""Every parameter of the catalogue that a detector's action has is read, has no effect for a reason, or is rejected."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from runners.engine import capabilities
from runners.engine.core.offer import read, reason_of, validate, warnings
from runners.engine.errors import SpecError
from taod.catalogue.network import get_network
from taod.catalogue.schema.merge import over_default

DETECTORS = (
    "detectnet_v2",
    "efficientdet_tf1",
    "efficientdet_tf2",
    "faster_rcnn",
    "mask_rcnn",
    "retinanet",
    "dssd",
    "ssd",
    "yolo_v3",
    "yolo_v4",
    "yolo_v4_tiny",
)


@pytest.mark.parametrize("network", DETECTORS)
def test_each_parameter_is_accounted_for(network):
    offer = capabilities.OFFERS[network]
    for action in offer.actions:
        missing = [
            path
            for path in get_network(network).table(action).rows
            if not read(offer, path)
            and reason_of(offer.without_effect, path) is None
            and reason_of(offer.rejected, path) is None
            and path not in offer.only
        ]
        assert missing == [], action


@pytest.mark.parametrize("network", DETECTORS)
def test_the_defaults_are_accepted_and_warn_of_nothing(network):
    document = over_default(get_network(network), "train", {})
    validate(capabilities.OFFERS[network], network, "train", document)
    assert warnings(capabilities.OFFERS[network], network, "train", document) == []


def test_what_has_no_effect_or_is_not_there_is_said():
    offer = capabilities.OFFERS["ssd"]
    document = over_default(get_network("ssd"), "train", {"training_config": {"max_queue_size": 99}})
    assert warnings(offer, "ssd", "train", document) == [
        "training_config.max_queue_size = 99 has no effect: the engine reads data with its own workers"
    ]
    document["training_config"]["enable_qat"] = True
    with pytest.raises(SpecError, match=r"training_config\.enable_qat is True: the engine has no quantisation-aware"):
        validate(offer, "ssd", "train", document)


@pytest.mark.engine
@pytest.mark.skipif(find_spec("torch") is None, reason="needs the engine")
@pytest.mark.parametrize("text", ["[1.0, 2.0", "[1.0, 'a']", "__import__('os')"])
def test_a_list_held_as_text_is_never_run(text):
    from runners.engine.detection.settings import numbers

    with pytest.raises(SpecError, match=r"ssd_config\.scales .* is not a list of numbers"):
        numbers(text, "ssd_config.scales")
    assert numbers("[1.0, 1.0/4.0, -2]", "x") == [1.0, 0.25, -2.0]


@pytest.mark.parametrize(
    ("config", "preprocessing", "said"),
    [
        (
            {"size_min": {"min": 320}},
            {"output_image_min": 480},
            "output_image_min is 480, model_config.* 320; set both",
        ),
        ({"size_min": {"min": 320}}, {"output_image_max": 160}, "output_image_max is 160, less than the shorter side"),
        ({}, {"output_image_max": 160}, "output_image_max is 160, which goes with .*size_min; set that"),
        ({}, {"crop_left": 8}, "crop_left is 8: the engine brings whole images to the input's size; cut the dataset's"),
    ],
)
def test_what_faster_rcnn_cannot_fit_together_is_named(config, preprocessing, said):
    changes = {
        "model_config": {"input_image_config": config},
        "augmentation_config": {"preprocessing": preprocessing},
    }
    document = over_default(get_network("faster_rcnn"), "train", changes)
    with pytest.raises(SpecError, match=said):
        validate(capabilities.OFFERS["faster_rcnn"], "faster_rcnn", "train", document)


def test_an_input_by_the_shorter_side_is_accepted():
    changes = {"model_config": {"input_image_config": {"size_min": {"min": 320}}}}
    document = over_default(get_network("faster_rcnn"), "train", changes)
    assert "size_height_width" not in document["model_config"]["input_image_config"]
    validate(capabilities.OFFERS["faster_rcnn"], "faster_rcnn", "train", document)


@pytest.mark.parametrize("network", ["ssd", "detectnet_v2", "faster_rcnn", "mask_rcnn", "unet"])
def test_an_export_may_be_in_int8_and_not_in_fp16(network):
    offer = capabilities.OFFERS[network]
    validate(offer, network, "export", over_default(get_network(network), "export", {"data_type": "int8"}))
    document = over_default(get_network(network), "export", {"data_type": "fp16"})
    with pytest.raises(SpecError, match=r"data_type 'fp16' is not in the engine; it has fp32, int8"):
        validate(offer, network, "export", document)


def test_an_efficientdet_is_not_exported_in_int8():
    document = over_default(get_network("efficientdet_tf1"), "export", {"data_type": "int8"})
    with pytest.raises(SpecError, match=r"data_type is 'int8': EfficientDet loses most .* set it to fp32"):
        validate(capabilities.OFFERS["efficientdet_tf1"], "efficientdet_tf1", "export", document)
