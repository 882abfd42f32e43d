"""Shapes of the backbones in this folder, as plain data."""

from __future__ import annotations

import msgspec


class FanShape(msgspec.Struct, frozen=True):
    """Width and heads of the tokens, blocks, and blocks of the two convolutional stages before."""

    width: int
    heads: int
    depth: int
    stages: tuple[int, int] = (3, 3)


FAN = {
    "fan_tiny_8_p4_hybrid": FanShape(192, 8, 8),
    "fan_small_12_p4_hybrid": FanShape(384, 8, 10),
    "fan_base_16_p4_hybrid": FanShape(448, 8, 16),
    "fan_large_16_p4_hybrid": FanShape(480, 10, 22, (3, 5)),
    "fan_Xlarge_16_p4_hybrid": FanShape(528, 11, 23, (3, 7)),
}
