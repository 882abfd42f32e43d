"""The engine's networks, one package each; importing one of these packages must not import torch."""
