"""The queue as a whole: the banner while it is paused, and the form that pauses it."""
