"""The HTTP client that the command line, the quickstart and the dashboard share."""
