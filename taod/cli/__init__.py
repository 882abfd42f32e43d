"""The taod command."""
