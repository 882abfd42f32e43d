"""Faster R-CNN (`faster_rcnn`): objects as boxes with classes, from proposals."""
