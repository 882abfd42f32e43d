"""Every type and format over HTTP: a valid dataset is taken in, broken ones are rejected in exactly these words."""

from __future__ import annotations

import itertools

import pytest

from taod.catalogue import Catalogue
from taod.datasets.validation.layouts import LAYOUTS
from tests.api.conftest import config, gate, server, tool_path  # noqa: F401 (fixtures)
from tests.datasets.broken_sets import BROKEN, SETS, broken
from tests.datasets.conftest import packed
from tests.datasets.expected_texts import sections

LEAST = 3
REJECTIONS = sections("rejections.txt")
KINDS = ("tar", "tar.gz", "zip")


def test_every_type_and_format_has_its_valid_and_broken_sets() -> None:
    catalogue = Catalogue()
    pairs = {(type_, format_) for type_ in catalogue.dataset_types() for format_ in catalogue.dataset_formats(type_)}
    laid_out = {(type_, format_) for type_, formats in LAYOUTS.items() for format_ in formats if format_ != "*"}
    assert len(pairs) == 34
    # The detection layouts serve two types; what the catalogue does not offer cannot be uploaded.
    assert laid_out - pairs == {("instance_segmentation", "kitti")}
    assert {type_ for type_, _ in pairs} == set(LAYOUTS)
    assert set(BROKEN) == set(SETS) == pairs
    assert [kind for kind, sets in BROKEN.items() if len(sets) < LEAST] == []
    assert set(REJECTIONS) == {(*kind, name) for kind, sets in BROKEN.items() for name in sets}


@pytest.mark.parametrize(("type_", "format_"), SETS)
async def test_a_valid_set_is_taken_in_and_broken_ones_leave_it(type_: str, format_: str, server) -> None:  # noqa: F811
    dataset_id = await server.dataset(type_, format_)
    upload = f"/dataset/{dataset_id}/upload"
    await server.call("POST", upload, 201, content=packed(SETS[type_, format_]))
    before = await server.call("GET", f"/dataset/{dataset_id}/summary", 200)
    assert before["files"] >= len(SETS[type_, format_])
    for name, kind in zip(BROKEN[type_, format_], itertools.cycle(KINDS), strict=False):
        words = await server.rejected("POST", upload, content=packed(broken((type_, format_), name), kind))
        assert words == REJECTIONS[type_, format_, name], name
    assert await server.call("GET", f"/dataset/{dataset_id}/summary", 200) == before
    assert list(server.services.root.incoming.iterdir()) == []
