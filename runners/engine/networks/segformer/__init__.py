"""Semantic segmentation by a SegFormer (`segformer`)."""
