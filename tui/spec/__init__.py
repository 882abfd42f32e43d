"""Editing a specification by its schema: fields, draft and editor."""
