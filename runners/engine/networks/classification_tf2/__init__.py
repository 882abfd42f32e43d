"""Image classification of the TF2 tools (`classification_tf2`): images in class folders to a class each."""
