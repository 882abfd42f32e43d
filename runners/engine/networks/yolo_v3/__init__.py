"""YOLOv3 (`yolo_v3`): objects as boxes with classes."""
