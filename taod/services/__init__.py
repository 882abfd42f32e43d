"""Services: what a request does, without HTTP."""
