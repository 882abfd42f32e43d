"""Segmentations: the same pixels as pycocotools paints, the same text as it packs, and a problem for anything else."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as peer

from runners.engine.data import shapes
from taod.datasets.formats import segments
from taod.datasets.formats.segments import Segmentation

sides = st.integers(1, 40)
coordinate = st.floats(-12, 52, width=32) | st.integers(-12, 52).map(float)
ring = st.lists(coordinate, min_size=6, max_size=18).map(lambda found: tuple(found[: len(found) // 2 * 2]))
bits = st.tuples(sides, sides).flatmap(
    lambda size: st.binary(min_size=size[0] * size[1], max_size=size[0] * size[1]).map(
        lambda data: np.frombuffer(data, "uint8").reshape(size) % 3 // 2
    )
)


@given(st.lists(ring, min_size=1, max_size=3), sides, sides)
def test_polygons_have_the_pixels_that_pycocotools_gives_them(
    rings: list[tuple[float, ...]], width: int, height: int
) -> None:
    found = np.asarray(shapes.mask(Segmentation(tuple(rings)), (width, height)))
    wanted = peer.decode(peer.merge(peer.frPyObjects([list(one) for one in rings], height, width)))
    assert np.array_equal(found, wanted * 255)


def test_a_polygon_far_beyond_the_image_is_rasterised_by_its_part_inside() -> None:
    whole = shapes.mask(Segmentation(((-1e7, -1e7, 1e7, -1e7, 1e7, 1e7, -1e7, 1e7),)), (5, 4))
    assert whole.getextrema() == (255, 255)
    assert shapes.mask(Segmentation(((1e6, 1e6, 1e7, 1e6, 1e7, 1e7),)), (5, 4)).getextrema() == (0, 0)


@given(bits)
def test_masks_are_packed_as_pycocotools_packs_them(mask: np.ndarray) -> None:
    wanted = peer.encode(np.asfortranarray(mask.astype("uint8")))
    text = wanted["counts"].decode()
    counts = segments.unpack(text)
    assert segments.pack(counts) == text
    size = (mask.shape[1], mask.shape[0])
    image = shapes.of_runs(counts, size)
    assert np.array_equal(np.asarray(image), mask * 255)
    assert list(shapes.runs(np.asarray(image) > 0)) == counts
    whole = Segmentation(counts=tuple(counts), size=size)
    assert segments.area(whole) == peer.area(wanted)
    box = segments.bounds(whole)
    assert (box is None) == (not mask.any())
    if box is not None:
        assert (box.left, box.top, box.width, box.height) == tuple(peer.toBbox(wanted))


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([[1, 2, 3, 4]], "a polygon has 4 numbers"),
        ([[1, 2, 3, 4, 5, 6, 7]], "a polygon has 7 numbers"),
        ([[1, 2, 3, -1e300, 5, 6]], "a polygon has the number -1e+300"),
        ([1, 2, 3, 4, 5, 6], "segmentation is '[1,2,3,4,5,6]'"),
        ({"size": [3, 4], "counts": [5, 6]}, "the mask's counts add up to 11 pixels"),
        ({"size": [3, 4], "counts": [13, -1]}, "the mask's counts add up to 12 pixels"),
        ({"size": [4, 3], "counts": [12]}, "the mask's size is [4, 3]"),
        ({"size": [3], "counts": [12]}, "the mask's size is [3]"),
        ({"size": [3, 4], "counts": "\x7f"}, "the mask's counts are not packed run lengths: character 0"),
        ({"size": [3, 4], "counts": "P"}, "the mask's counts are not packed run lengths: the last number is cut off"),
    ],
)
def test_an_invalid_segmentation_is_a_problem(value: Any, problem: str) -> None:
    found = segments.parse(msgspec.Raw(msgspec.json.encode(value)), (4, 3))
    assert isinstance(found, tuple)
    assert found[0].startswith(problem), found


@pytest.mark.parametrize("value", [None, [], [[]]])
def test_none_is_none(value: Any) -> None:
    assert segments.parse(msgspec.Raw(msgspec.json.encode(value)), (4, 3)) is None


@pytest.mark.parametrize(
    "value",
    [
        [[1.5, 2, 3, 4, 5, 6]],
        [[0, 0, 4, 0, 4, 3], [1, 1, 2, 1, 2, 2.5]],
        {"size": [3, 4], "counts": [5, 3, 4]},
        {"size": [3, 4], "counts": segments.pack([5, 3, 4])},
    ],
)
def test_a_segmentation_is_written_as_it_was_read(value: Any) -> None:
    found = segments.parse(msgspec.Raw(msgspec.json.encode(value)), (4, 3))
    assert isinstance(found, Segmentation)
    assert segments.as_json(found) == value


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["size", "counts", "a"]), inner),
)


@given(anything | st.fixed_dictionaries({"size": st.just([3, 4]), "counts": anything}))
def test_any_value_is_a_segmentation_that_can_be_painted_or_a_problem(value: Any) -> None:
    found = segments.parse(msgspec.Raw(msgspec.json.encode(value)), (4, 3))
    if isinstance(found, Segmentation):
        assert shapes.mask(found, (4, 3)).size == (4, 3)
        segments.bounds(found)


@given(st.text(max_size=40))
def test_any_text_is_unpacked_or_rejected(text: str) -> None:
    try:
        segments.unpack(text)
    except ValueError:
        pass
