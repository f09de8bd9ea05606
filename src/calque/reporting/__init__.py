"""A run, scores or a comparison, as one HTML file that people read."""

from calque.reporting.comparing import report_comparison
from calque.reporting.compose import report
from calque.reporting.pdf import print_pdf

__all__ = ["print_pdf", "report", "report_comparison"]
