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
