"""Screens: the pages, the help and the confirmation dialog."""
