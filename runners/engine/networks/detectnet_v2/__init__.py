"""DetectNet_v2 (`detectnet_v2`): objects as boxes with classes, from a grid of coverage and box offsets."""
