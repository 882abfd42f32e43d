"""How the points and boxes of an image move when it is rotated, flipped, sheared, translated and scaled. Pure.

A matrix (a, b, c, d, e, f) takes a point (x, y) to (a x + b y + c, d x + e y + f); y grows downwards.
"""

from __future__ import annotations

import math

from taod.datasets.formats.types import Box

Matrix = tuple[float, float, float, float, float, float]

SAME: Matrix = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
VISIBLE = 0.1
"""The part of a box that must be left in the image for the box to be kept."""
LEAST = 1.0
"""Pixels that a kept box has at least on each side."""


def then(first: Matrix, second: Matrix) -> Matrix:
    """One after the other as one."""
    a, b, c, d, e, f = second
    g, h, i, j, k, m = first
    return (a * g + b * j, a * h + b * k, a * i + b * m + c, d * g + e * j, d * h + e * k, d * i + e * m + f)


def inverse(matrix: Matrix) -> Matrix:
    """The way back. Raises ZeroDivisionError where everything falls on a line."""
    a, b, c, d, e, f = matrix
    det = a * e - b * d
    if abs(det) < 1e-12:
        raise ZeroDivisionError("the matrix has no inverse")
    return (e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det)


def shift(x: float, y: float) -> Matrix:
    return (1.0, 0.0, x, 0.0, 1.0, y)


def scale(x: float, y: float) -> Matrix:
    return (x, 0.0, 0.0, 0.0, y, 0.0)


def turn(degrees: float) -> Matrix:
    """Clockwise as seen on the screen, as NVIDIA's augmentation rotates: y grows downwards."""
    angle = math.radians(degrees)
    cos, sin = math.cos(angle), math.sin(angle)
    return (cos, -sin, 0.0, sin, cos, 0.0)


def shear(x: float, y: float) -> Matrix:
    return (1.0, x, 0.0, y, 1.0, 0.0)


def flip(horizontal: bool, vertical: bool) -> Matrix:
    return scale(-1.0 if horizontal else 1.0, -1.0 if vertical else 1.0)


def about_centre(width: float, height: float, matrix: Matrix) -> Matrix:
    """The same around the image's middle instead of its corner."""
    return then(then(shift(-width / 2, -height / 2), matrix), shift(width / 2, height / 2))


def move(box: Box, matrix: Matrix, width: float, height: float) -> Box | None:
    """The upright box around the moved one, cut to the image; None where too little of it is left."""
    a, b, c, d, e, f = matrix
    corners = [(x, y) for x in (box.left, box.right) for y in (box.top, box.bottom)]
    across = [a * x + b * y + c for x, y in corners]
    down = [d * x + e * y + f for x, y in corners]
    whole = Box(min(across), min(down), max(across), max(down))
    cut = Box(max(whole.left, 0.0), max(whole.top, 0.0), min(whole.right, width), min(whole.bottom, height))
    if cut.width < LEAST or cut.height < LEAST:
        return None
    return cut if cut.width * cut.height >= VISIBLE * whole.width * whole.height else None
