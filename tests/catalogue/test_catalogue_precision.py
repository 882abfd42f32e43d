"""TensorRT precisions: the deploy tools compare with lower case, and build fp32 for everything else."""

from __future__ import annotations

import pytest

from taod.catalogue.schema.tables import index, table

BUILDS = sorted(name for name, entry in index().items() if "gen_trt_engine" in entry.actions)


@pytest.mark.parametrize("name", BUILDS)
def test_precisions_are_spelled_as_the_tool_reads_them(name: str) -> None:
    rows = [row for path, row in table(name, "gen_trt_engine").rows.items() if path.rpartition(".")[2] == "data_type"]
    assert len(rows) == 1
    assert rows[0].default in ("fp32", "fp16")
    assert set(rows[0].options) == ({"fp32", "fp16"} if name == "lprnet" else {"fp32", "fp16", "int8"})
