"""A run, or scores, as one HTML file that people read."""

from calque.reporting.compose import report

__all__ = ["report"]
