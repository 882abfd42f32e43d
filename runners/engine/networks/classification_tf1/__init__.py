"""Image classification of the TF1 tools (`classification_tf1`): images in class folders to a class each."""
