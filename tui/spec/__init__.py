"""Editing a specification by its schema: the fields, what was typed into them, the screen."""
