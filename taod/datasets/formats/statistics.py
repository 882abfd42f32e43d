"""Statistics of boxes and images, collected one by one: minimum, median and maximum. Pure."""

from __future__ import annotations

from array import array

from taod.datasets.formats.types import Box
from taod.types.dataset import BoxFigures, ImageFigures, Spread


def spread(values: array[float] | list[float]) -> Spread:
    """Minimum, median and maximum of at least one value; of an even number the lower median."""
    ordered = sorted(values)
    return Spread(ordered[0], ordered[(len(ordered) - 1) // 2], ordered[-1])


class BoxStatistics:
    """Boxes and image sizes collected so far, 8 bytes a value."""

    def __init__(self) -> None:
        self._widths = array("d")
        self._heights = array("d")
        self._per_image = array("d")
        self._sizes = (array("d"), array("d"))

    def boxes(self, boxes: list[Box]) -> None:
        """Add the boxes of one image."""
        if boxes:
            self._per_image.append(len(boxes))
            self._widths.extend(box.right - box.left for box in boxes)
            self._heights.extend(box.bottom - box.top for box in boxes)

    def size(self, width: int, height: int) -> None:
        """Add the size of one image."""
        self._sizes[0].append(width)
        self._sizes[1].append(height)

    def of_boxes(self) -> BoxFigures | None:
        if not self._widths:
            return None
        per_image = spread(self._per_image)
        return BoxFigures(len(self._widths), spread(self._widths), spread(self._heights), per_image)

    def of_images(self) -> ImageFigures | None:
        if not self._sizes[0]:
            return None
        return ImageFigures(len(self._sizes[0]), spread(self._sizes[0]), spread(self._sizes[1]))
