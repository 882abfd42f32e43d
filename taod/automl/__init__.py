"""AutoML: sweeps, which train trials to find the best parameters. Knows no HTTP and no services."""
