"""The published pretrained models: each is a path of the registry for a network that the catalogue has."""

from __future__ import annotations

import re
from collections import Counter

from taod.catalogue import Catalogue

PATH = re.compile(r"nvidia/tao/[a-z0-9_]+:[A-Za-z0-9_.\-]+")


def test_entries_name_known_networks_and_are_unique() -> None:
    catalogue = Catalogue()
    entries = list(catalogue.pretrained())
    assert len(entries) == len(set(entries)) == 291
    assert {network for _, network in entries} <= set(catalogue.networks())
    assert [path for path, _ in entries if not PATH.fullmatch(path)] == []


def test_paths_are_shared_by_networks_that_read_the_same_weights() -> None:
    entries = list(Catalogue().pretrained())
    assert Counter(network for _, network in entries)["dino"] == 32
    shared = {network for path, network in entries if path == "nvidia/tao/pretrained_object_detection:vgg19"}
    assert shared == {"yolo_v3", "yolo_v4", "faster_rcnn", "retinanet", "ssd", "dssd"}
