"""Figures for predicted masks: per case and class, with intervals by patient."""

from calque.evaluation.case import score_case
from calque.evaluation.cohort import evaluate
from calque.evaluation.comparison import Comparison, compare
from calque.evaluation.metrics import DEFAULT, METRICS, Metric, metric_named
from calque.evaluation.rules import Rules
from calque.evaluation.scores import CaseScore, Scores
from calque.evaluation.summary import summarise
from calque.evaluation.table import read_csv, write_csv

__all__ = [
    "DEFAULT",
    "METRICS",
    "CaseScore",
    "Comparison",
    "Metric",
    "Rules",
    "Scores",
    "compare",
    "evaluate",
    "metric_named",
    "read_csv",
    "score_case",
    "summarise",
    "write_csv",
]
