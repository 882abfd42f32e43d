"""taod: the TAO Toolkit API on one workstation."""

__version__ = "0.1.0"
