"""Figures of segmentations: how many, how large, how much of their boxes and images they fill; pixels by class."""

from __future__ import annotations

from array import array
from collections import Counter

from taod.datasets.formats import segments
from taod.datasets.formats.segments import segmentation_of
from taod.datasets.formats.statistics import spread
from taod.datasets.formats.types import Item
from taod.types.dataset import Spread

Figures = dict[str, int | Spread | None]


class Segments:
    """Segmentations and masks seen so far."""

    def __init__(self) -> None:
        self.pixels: Counter[str] = Counter()
        """Of masks, by class."""
        self.masks: Counter[str] = Counter()
        """Masks that have pixels of a class."""
        self.image_shares: list[float] = []
        """Per cent of the image that each object fills."""
        self._areas = array("d")
        self._box_shares = array("d")
        self._polygons = 0

    def add(self, item: Item) -> None:
        """The segmentations of one image, whose size is known or not."""
        for label in item.labels:
            found = segmentation_of(label)
            if found is None:
                continue
            area = segments.area(found)
            self._areas.append(area)
            self._polygons += bool(found.polygons)
            if label.box is not None and label.box.width > 0 and label.box.height > 0:
                self._box_shares.append(100 * area / (label.box.width * label.box.height))
            if item.size is not None:
                self.image_shares.append(100 * area / (item.size[0] * item.size[1]))

    def count(self, pixels: dict[str, int]) -> None:
        """The pixels of one mask."""
        self.pixels.update(pixels)
        self.masks.update(pixels.keys())

    def figures(self) -> Figures | None:
        """Areas in square pixels, shares in per cent; None where there are none."""
        if not self._areas:
            return None
        return {
            "objects": len(self._areas),
            "polygons": self._polygons,
            "masks": len(self._areas) - self._polygons,
            "area": spread(self._areas),
            "percent_of_box": spread(self._box_shares) if self._box_shares else None,
            "percent_of_image": spread(self.image_shares) if self.image_shares else None,
        }

    def by_class(self) -> dict[str, dict[str, float]] | None:
        """Pixels, their share of all from 0 to 1, and masks of each class; None where there are no masks."""
        whole = self.pixels.total()
        if not whole:
            return None
        return {
            name: {"pixels": count, "share": round(count / whole, 6), "masks": self.masks[name]}
            for name, count in sorted(self.pixels.items())
        }
