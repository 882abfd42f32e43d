"""The queue as a whole: the line that says it is paused, and the form that pauses it."""
