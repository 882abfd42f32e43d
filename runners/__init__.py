"""Runners: how one action of one network becomes a supervised subprocess."""
