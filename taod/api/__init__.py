"""The HTTP API: controllers, middleware, error handlers, the event stream."""
