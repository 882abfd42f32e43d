"""YOLOv4 (`yolo_v4`): objects as boxes with classes."""
