"""EfficientDet of the TF2 tools (`efficientdet_tf2`): objects as boxes with classes."""
