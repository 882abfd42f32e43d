"""What the engine's detectors share: data, anchors, losses, NMS, metrics, outputs, export. Loads no torch itself."""
