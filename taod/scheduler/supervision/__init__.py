"""The life of one run: launch, re-adoption, limits, retries, exit."""
