"""Uploads and linked folders."""
