"""The data services of the engine: checks, conversions, statistics and augmentation of datasets. No torch here."""
