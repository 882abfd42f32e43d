"""What the segmentation networks share: images with masks, their transforms, score and files."""
