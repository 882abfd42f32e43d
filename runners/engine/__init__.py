"""The embedded engine: trains, evaluates, exports and runs networks with PyTorch behind a TAO-style command line."""
