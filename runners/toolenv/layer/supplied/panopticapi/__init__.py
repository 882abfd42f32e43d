"""Colours of COCO's panoptic format, for tools that import them from the package of this name, which no index has."""

__version__ = "0+taod"
