"""The data services of the engine: checks, conversions, statistics and augmentation of data sets. No torch here."""
