"""The commands that make the same again."""

from __future__ import annotations

import shlex
from pathlib import Path

from calque.evaluation import DEFAULT, Scores
from calque.reporting.source import Material
from calque.reporting.voice import Voice


def commands(material: Material, output: Path, t: Voice) -> list[tuple[str, str]]:
    """What each makes, and the command."""
    if material.run is None:
        return [(t("reproduce.scores"), _evaluate_command(material.scores))]
    run, root = shlex.quote(str(material.run)), shlex.quote(str(material.root))
    return [
        (t("reproduce.train"), f"calque train {root} --plan {run}/plan.json -o RUN"),
        (t("reproduce.report"), f"calque report {run} -o {shlex.quote(str(output))} --lang {t.lang}"),
    ]


def _evaluate_command(scores: Scores) -> str:
    """With the options that are not the defaults."""
    values = set(scores.tolerance_mm.values())
    tolerance = (
        f"{values.pop():g}"
        if len(values) == 1
        else ",".join(f"{n}={v:g}" for n, v in scores.tolerance_mm.items())
    )
    parts = ["calque evaluate PRED TRUTH --json SCORES.json"]
    if tolerance != "1":
        parts.append(f"--tolerance {shlex.quote(tolerance)}")
    if scores.lesion_iou != 0.5:
        parts.append(f"--lesion-iou {scores.lesion_iou:g}")
    if scores.metrics != DEFAULT:
        parts.append(f"--metrics {','.join(scores.metrics)}")
    return " ".join([*parts, *(["--resample"] if scores.resampled else [])])
