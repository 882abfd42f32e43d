"""A panoptic PNG holds each pixel's segment id in its colour: `id = red + 256 * green + 256**2 * blue`."""

import numpy as np


def rgb2id(color):
    """Segment ids of colours: an array (..., 3) of integers gives an array (...) of int32, one colour an int."""
    if isinstance(color, np.ndarray) and color.ndim == 3:
        red, green, blue = np.moveaxis(color.astype(np.int32), -1, 0)
        return red + 256 * green + 256**2 * blue
    return int(color[0]) + 256 * int(color[1]) + 256**2 * int(color[2])


def id2rgb(ids):
    """Colours of segment ids: an array (...) gives an array (..., 3) of uint8, one id a list of three integers."""
    if isinstance(ids, np.ndarray):
        return np.stack([(ids // 256**place) % 256 for place in range(3)], axis=-1).astype(np.uint8)
    return [(int(ids) // 256**place) % 256 for place in range(3)]
