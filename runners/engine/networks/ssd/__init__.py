"""SSD (`ssd`): objects as boxes with classes."""
