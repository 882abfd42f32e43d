"""The panel of one job: log, metrics, specification, files, details."""
