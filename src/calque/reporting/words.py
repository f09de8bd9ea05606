"""The words of a report, in each language, with the same keys. `{...}` are filled in."""

# ruff: noqa: E501 - sentences

from __future__ import annotations

from calque.errors import InputError
from calque.evaluation import METRICS
from calque.reporting.words_fr import FRENCH

_ENGLISH: dict[str, str] = {
    "title": "Segmentation report",
    "kicker.run": "Training and validation report",
    "kicker.scores": "Evaluation report",
    "skip": "Skip to the figures",
    "contents": "Contents",
    "warning": "Research software. Not a medical device: not for diagnosis or treatment.",
    "lead.run": "{plan} trained on {train} of {dataset}, validated on {n} that it had not seen.",
    "lead.network": "A {dimensions}-D {kind} U-Net",
    "kind.plain": "plain",
    "kind.residual": "residual-encoder",
    "lead.folds": "{plan} trained in {folds} folds on {dataset}, validated on {n} that each fold had not seen.",
    "lead.scores": "Predicted masks of {n} compared with the truth.",
    "cases": "{n} cases",
    "cases.one": "{n} case",
    "cases.title": "Cases",
    "patients": "{n} patients",
    "patients.title": "Patients",
    "patients.one": "{n} patient",
    "mean_of": "{metric}, mean of classes",
    "interval": "{level} interval",
    "interval.of": "{level} interval {low} to {high}",
    "interval.none": "no interval: one patient",
    "interval.one": "No intervals: one patient tells nothing of others.",
    "interval.how": (
        "Intervals: {level} bootstrap of the mean ({method}), {resamples} resamples of whole patients (seed {seed})."
    ),
    "interval.hall": "Intervals: {level}, of the mean over cases, by patient: {method}.",
    "interval.few": (
        "The intervals may be too narrow ({n}): what befalls fewer than {share} of patients may not be among these, and "
        "no method can know of it."
    ),
    "bootstrap.hall": "Student's t, corrected for skewness (Hall 1992)",
    "bootstrap.percentile": "percentile",
    "bootstrap.bca": "BCa",
    "bootstrap.bca_expanded": "BCa, widened for small samples",
    "findings": "Not everything was scored",
    "findings.missing": "No prediction for",
    "findings.unexpected": "No truth for",
    "findings.failed": "Could not be scored",
    "nav.summary": "Summary",
    "summary": "Results by class",
    "summary.caption": "Mean over cases, its interval below",
    "summary.all": "Every figure",
    "summary.all.caption": "All metrics, by class",
    "foreground": "Mean of classes",
    "mean_part": "mean",
    "class": "Class",
    "region": "region",
    "metric": "Metric",
    "mean": "Mean",
    "std": "Std",
    "median": "Median",
    "quartiles": "Quartiles",
    "undefined": "Undefined",
    "absent": "Absent",
    "unknown": "Not annotated",
    "counts": (
        "n: cases with a value. Undefined: one of the two masks is empty and the metric has no value; read a mean "
        "distance with this count beside it. Absent: neither mask holds the class; such cases are in no mean. "
        "Not annotated: the truth of a case does not say where the class is."
    ),
    "better.higher": "higher is better",
    "better.lower": "lower is better",
    "better.zero": "zero is best",
    "better.neither": "",
    "distributions": "How the cases are spread",
    "distributions.alt": "{metric} of every case by class, with median and quartiles: {figures}.",
    "distributions.figure": "{name} median {median}, quartiles {q25} to {q75}",
    "distributions.note": "Each dot is a case; the box spans the quartiles, the line in it is the median.",
    "groups": "Results by subgroup",
    "groups.caption": "Mean of classes over the cases of each subgroup, its interval below",
    "groups.column": "Subgroup by",
    "groups.value": "Value",
    "groups.none": "not given",
    "groups.note": (
        "A difference between subgroups may come from chance or from other differences between them; read it with "
        "the number of cases and the interval. Numbers are cut at their thirds."
    ),
    "flags": "Notes",
    "flag.missed": "{name} missed",
    "flag.spurious": "{name} spurious",
    "agreement": "Agreement of volumes",
    "agreement.mean": "mean of both volumes ({unit})",
    "agreement.difference": "predicted − true ({unit})",
    "agreement.alt": (
        "Bland-Altman plot of {name}, {n}: mean difference {bias} {unit}, limits of agreement {low} to {high} {unit}."
    ),
    "agreement.note": "{n}; bias {bias} {unit} ({interval}); limits of agreement {low} to {high} {unit}",
    "agreement.how": (
        "Bland and Altman (1986): the solid line is the mean difference, with its interval shaded; the dashed lines "
        "are 1.96 standard deviations away. Cases with the class in neither mask are left out."
    ),
    "calibration": "Calibration",
    "calibration.predicted": "predicted probability",
    "calibration.observed": "share of voxels that are",
    "calibration.figure": "{name} ECE {error}, voxels pooled",
    "calibration.alt": "Share of voxels of each class over their predicted probability: {figures}.",
    "calibration.note": (
        "On the dashed line, probabilities mean what they say; below it the model is too sure. Large dots hold many "
        "voxels. Voxels are those in the box of the class, one voxel wider, pooled over cases."
    ),
    "card": "Model card",
    "card.dataset": "Learnt from",
    "card.cases": "Cases it learnt from",
    "card.folds": "Members",
    "card.steps": "Steps",
    "card.time": "Time of training",
    "card.created": "Made",
    "card.software": "Software",
    "card.seed": "Seed",
    "card.limits": "Limits",
    "card.notes": "Notes on the model",
    "pictures": "Best, median and worst case, and flagged ones",
    "pictures.flagged": "Flagged",
    "pictures.note": (
        "The slices with the most errors, in three planes, seen as radiologists do (the patient's right is on the "
        "left). Cases are ranked by {metric}, mean of classes."
    ),
    "pictures.note.flat": "Cases are ranked by {metric}, mean of classes.",
    "pictures.best": "Best",
    "pictures.median": "Median",
    "pictures.worst": "Worst",
    "pictures.slice": "{plane}, slice {number}",
    "pictures.scan": "Scan",
    "pictures.masks": "Prediction filled, truth outlined",
    "pictures.errors": "Errors",
    "pictures.alt.scan": "Scan of case {case}, {plane} slice {slice}",
    "pictures.alt.masks": "{plane} slice {slice} of case {case}: the prediction filled, the truth outlined",
    "pictures.alt.errors": (
        "{plane} slice {slice} of case {case}: {over} pixels predicted wrongly, {missed} missed, {confused} given "
        "another class"
    ),
    "pictures.failed": "The pictures of this case could not be drawn: {error}",
    "plane.axial": "axial",
    "plane.coronal": "coronal",
    "plane.sagittal": "sagittal",
    "plane.picture": "picture",
    "side.R": "R", "side.L": "L", "side.A": "A", "side.P": "P", "side.S": "S", "side.I": "I",
    "error.over": "predicted where the truth has nothing",
    "error.missed": "missed",
    "error.confused": "another class",
    "table": "Every case",
    "table.caption": "Figures by case, the lowest {metric} first",
    "table.sort": "Click a heading to sort.",
    "table.filter": "Show rows with",
    "table.shown": "{{n}} of {{all}} cases",
    "case": "Case",
    "patient": "Patient",
    "curves": "Training",
    "curves.alt": "Training loss and validation Dice over time; the last validation: {figures}.",
    "curves.alt.none": "Training loss over time.",
    "curves.loss": "Training loss",
    "curves.dice": "Validation Dice",
    "curves.minutes": "minutes",
    "curves.note": (
        "{fold}: {steps} steps in {time}. Dice while training is measured on a few cases, with the overlap pooled, "
        "and differs from the figures above."
    ),
    "plan": "The plan, and why",
    "plan.caption": "Decisions and their reasons",
    "plan.what": "Decision",
    "plan.value": "Value",
    "plan.why": "Reason",
    "check": "The data check",
    "check.ok": "{n} were checked; nothing was found.",
    "check.found": "{n} were checked: errors {errors}, warnings {warnings}.",
    "check.caption": "Findings by kind",
    "check.kind": "Finding",
    "check.severity": "Severity",
    "check.count": "Number",
    "check.examples": "Such as",
    "severity.error": "error",
    "severity.warning": "warning",
    "compare.title": "Comparison of models",
    "compare.lead": "{models} models on the same {n}, each against the same truth.",
    "compare.left": "Not scored by every model, and left out",
    "compare.ranks": "Which is better, and how firmly",
    "compare.ranks.caption": "Mean of classes over the cases in which every model has a value",
    "compare.ranks.note": (
        "First in resamples: how often the model came first when patients were drawn anew. Near 100% the order is "
        "firm; near an even share it is chance."
    ),
    "compare.model": "Model",
    "compare.interval": "Interval",
    "compare.rank": "Rank",
    "compare.first": "First in resamples",
    "compare.size": "{metric}, absolute",
    "compare.differences": "Paired differences",
    "compare.differences.caption": "Each pair of models, metric and class",
    "compare.difference": "Difference",
    "compare.holm": "p (Holm)",
    "compare.alt": "Differences of {metric} with intervals: {figures}.",
    "compare.how": (
        "Differences are taken case by case. Intervals: {level}, of the mean, by patient ({method}). Ranks: {resamples} "
        "resamples of whole patients (seed {seed}). p: Wilcoxon's signed-rank test of the patients' mean differences, two-sided; "
        "p (Holm) is corrected over all pairs of models and all classes of a metric. Undefined: cases in which one of "
        "the two models has no value. Errors with a sign are compared by their size. Bold: below 0.05."
    ),
    "compare.again": "This comparison",
    "compare.of": "{what}: {which}",
    "methods": "How to read the figures",
    "methods.caption": "Metrics; P is the prediction, T the truth",
    "methods.definition": "Definition",
    "methods.direction": "Direction",
    "methods.pixels": (
        "Nothing says how large a pixel of these pictures is: lengths and tolerances are in pixels, and volumes "
        "in thousands of pixels."
    ),
    "methods.tolerance": "Tolerance of NSD and boundary IoU: {tolerances}.",
    "methods.border": (
        "The surface of a mask is its border voxels: those with a face neighbour outside the mask. NSD (area) weighs "
        "surface elements by area instead, and its values differ by definition."
    ),
    "methods.objects": (
        "Objects are voxels that touch by faces, edges or corners; two match one to one above an IoU of {threshold}."
    ),
    "methods.resampled": "Resampled onto the grid of the truth by nearest neighbour: {cases}.",
    "reproduce": "Versions, and how to reproduce",
    "reproduce.report": "This report",
    "reproduce.train": "This run",
    "reproduce.scores": "These scores",
    "reproduce.versions": "Versions",
    "reproduce.written": "Written",
    "reproduce.made": "Scores made with Calque {version}.",
    "between": "{low} to {high}",
    "yes": "yes",
    "no": "no",
    "none": "none",
}  # fmt: skip

ENGLISH: dict[str, str] = (
    _ENGLISH
    | {f"metric.{m.name}": m.title for m in METRICS.values()}
    | {f"definition.{m.name}": m.definition for m in METRICS.values()}
    | {
        "metric.percentile": "HD{p}",
        "definition.percentile": "the larger of the two directed percentiles ({p}) of surface distances",
    }
)

LANGUAGES: dict[str, dict[str, str]] = {"en": ENGLISH, "fr": FRENCH}


def words(lang: str) -> dict[str, str]:
    """The words of a language.

    Raises:
        InputError: there are none.
    """
    if lang not in LANGUAGES:
        raise InputError("Reports are not written in this language", got=lang, expected=", ".join(LANGUAGES))
    return LANGUAGES[lang]
