"""Mask R-CNN (`mask_rcnn`): objects as boxes with classes and masks."""
