"""Backbones that no library has, written from their papers; classifiers and segmentation networks use them."""
