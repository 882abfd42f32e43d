"""The training core: everything of the engine's networks that is not a network's own."""
