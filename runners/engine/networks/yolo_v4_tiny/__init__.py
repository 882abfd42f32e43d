"""YOLOv4-tiny (`yolo_v4_tiny`): objects as boxes with classes."""
