"""Uploads and links: from the first byte to the dataset's folder."""
