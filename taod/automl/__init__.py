"""AutoML: a training that searches for its best parameters, trial by trial. Knows no HTTP and no services."""
