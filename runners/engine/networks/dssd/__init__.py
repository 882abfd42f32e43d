"""DSSD (`dssd`): objects as boxes with classes."""
