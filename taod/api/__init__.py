"""The HTTP edge: controllers, guards, error mapping, the event stream."""
