"""Image classification (`classification_pyt`): pictures in class folders to a class each."""
