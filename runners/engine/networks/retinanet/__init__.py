"""RetinaNet (`retinanet`): objects as boxes with classes."""
