"""The commands that make the same again."""

from __future__ import annotations

import shlex
from pathlib import Path

from calque.evaluation import DEFAULT, Comparison, Scores
from calque.evaluation.metrics import CALIBRATION
from calque.evaluation.scores import Bootstrap
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


def compare_command(found: Comparison, output: Path, t: Voice) -> str:
    """Of folders, with the options that are not the defaults."""
    one = next(iter(found.scores.values()))
    parts = ["calque compare", *(shlex.quote(name) for name in found.models), "TRUTH"]
    parts += ["-o", shlex.quote(str(output)), *(["--lang", t.lang] if t.lang != "en" else [])]
    parts += ["--metrics", ",".join(one.metrics), *_options(one, found.bootstrap)]
    resampled = any(scores.resampled for scores in found.scores.values())
    return " ".join([*parts, *(["--resample"] if resampled else [])])


def _evaluate_command(scores: Scores) -> str:
    """With the options that are not the defaults."""
    parts = ["calque evaluate PRED TRUTH --json SCORES.json"]
    plain = tuple(name for name in scores.metrics if name not in CALIBRATION)
    if plain != DEFAULT:
        parts.append(f"--metrics {','.join(plain)}")
    if plain != scores.metrics:
        parts.append("--probabilities PROBABILITIES")
    if scores.groups:
        parts.append("--groups GROUPS.csv")
    parts += _options(scores, scores.bootstrap)
    return " ".join([*parts, *(["--resample"] if scores.resampled else [])])


def _options(scores: Scores, how: Bootstrap) -> list[str]:
    """Tolerance, matching of objects and intervals, where they are not the defaults."""
    values = set(scores.tolerance_mm.values())
    tolerance = (
        f"{values.pop():g}"
        if len(values) == 1
        else ",".join(f"{n}={v:g}" for n, v in scores.tolerance_mm.items())
    )
    parts = []
    if tolerance != "1":
        parts.append(f"--tolerance {shlex.quote(tolerance)}")
    if scores.lesion_iou != 0.5:
        parts.append(f"--lesion-iou {scores.lesion_iou:g}")
    if how.method != Bootstrap().method:
        parts.append(f"--interval {how.method}")
    return parts
