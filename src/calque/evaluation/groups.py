"""Scores by subgroup: the same summaries over some of the cases."""

from __future__ import annotations

from calque.evaluation.metrics import select
from calque.evaluation.scores import Group, Scores
from calque.evaluation.subjects import Subjects
from calque.evaluation.summary import summarise_lines


def with_groups(scores: Scores, subjects: Subjects) -> Scores:
    """The same scores with summaries for every value of every column of a table.

    Raises:
        InputError: the table knows none of the cases, or a column has too many values.
    """
    members = subjects.groups([(case.case, case.patient) for case in scores.cases])
    metrics = select(scores.metrics)
    groups = []
    for column, values in members.items():
        for value, cases in values.items():
            chosen = [case for case in scores.cases if case.case in set(cases)]
            summaries, foreground = summarise_lines(chosen, scores.labels, metrics, scores.bootstrap)
            groups.append(
                Group(column=column, value=value, cases=cases, summaries=summaries, foreground=foreground)
            )
    return scores.model_copy(update={"groups": tuple(groups)})
