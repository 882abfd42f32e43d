"""Whether a metric is better when it is lower, as far as its name says."""

from __future__ import annotations

FALLING = ("loss", "error", "cost", "fpr")
"""Parts of the names of metrics that are better when they are lower."""


def lower_is_better(metric: str) -> bool:
    """Whether the metric is better when it is lower."""
    return any(part in metric.lower() for part in FALLING)
