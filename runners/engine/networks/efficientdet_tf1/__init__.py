"""EfficientDet of the TF1 tools (`efficientdet_tf1`): objects as boxes with classes."""
