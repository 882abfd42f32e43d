"""Image classification (`classification_pyt`): images in class folders to a class each."""
