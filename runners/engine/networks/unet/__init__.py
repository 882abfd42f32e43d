"""Semantic segmentation by a U-Net (`unet`)."""
