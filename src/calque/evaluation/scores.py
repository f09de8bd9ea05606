"""`Scores`: figures per case and class, and what they sum up to. All of it lives as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from calque.errors import InputError
from calque.evaluation.calibration import Reliability
from calque.evaluation.pair import State
from calque.io.atomic import write_text_atomic
from calque.labels import PLAIN, Coding, Labels
from calque.value import Value

FEW_PATIENTS = 50
"""Below which rare failures make every interval too narrow: docs/decisions/intervals.md."""


ClassState = State | Literal["unknown"]
"""Unknown: the truth does not say, because the class was not annotated in this case."""


class ClassScore(Value):
    """One class, or region, of one case.

    Args:
        state: which of the two masks hold it.
        values: by metric; None where the metric has no value (docs/decisions/empty-masks.md).
        reliability: voxels by bin of probability, where there are probabilities.
    """

    state: ClassState
    values: dict[str, float | None]
    reliability: Reliability | None = None


class CaseScore(Value):
    """One case.

    Args:
        case: its name.
        patient: cases of one patient are resampled together.
        classes: by name of class, then of region.
        spacing_known: whether millimetres are meant; a picture of unknown scale has pixels in their place.
    """

    case: str
    patient: str
    classes: dict[str, ClassScore]
    spacing_known: bool = True


class Summary(Value):
    """One metric over cases; every figure is None when `n` is 0.

    Args:
        n: cases with a value: what mean, median and interval are taken over.
        undefined: cases where one mask is empty and the metric has no value.
        absent: cases where both masks are empty.
        unknown: cases in which the class was not annotated.
        patients: patients among the `n`.
        mean: of the values.
        std: with n - 1; None for one value.
        median: of the values; `q25` and `q75` are the quartiles, linearly interpolated.
        low: lower end of the interval of the mean, as `Bootstrap` says; None for fewer than two patients.
        high: its upper end.
        worst: up to three cases, worst first; for distances, undefined before all others.
    """

    n: int
    undefined: int
    absent: int
    patients: int
    unknown: int = 0
    mean: float | None = None
    std: float | None = None
    median: float | None = None
    q25: float | None = None
    q75: float | None = None
    low: float | None = None
    high: float | None = None
    worst: tuple[str, ...] = ()


class Bootstrap(Value):
    """How intervals were made, always by whole patients.

    Args:
        method: "hall", Student's t after the transformation that takes the skewness out of it (Hall 1992, On
            the removal of skewness by transformation, J. R. Stat. Soc. B 54, 221-228): nothing is drawn. Or
            patients are drawn with replacement: "percentile" of the resampled means; "bca", corrected for
            bias and skewness (Efron 1987, doi:10.1080/01621459.1987.10478410); "bca_expanded", the same with
            the tails of Student's t for few patients (Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
            docs/decisions/intervals.md has their coverage.
        level: of confidence.
        resamples: how many.
        seed: of the generator.
    """

    method: Literal["hall", "percentile", "bca", "bca_expanded"] = "hall"
    level: float = Field(default=0.95, gt=0, lt=1)
    resamples: int = Field(default=2000, ge=100)
    seed: int = 0


class Failure(Value):
    """A case that could not be scored, and why."""

    case: str
    error: str


class Findings(Value):
    """What was not scored; empty when all is well.

    Args:
        missing: cases of the truth without a prediction.
        unexpected: predictions without a truth.
        failed: pairs that could not be read or compared.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    failed: tuple[Failure, ...] = ()


class Group(Value):
    """Cases that have something in common.

    Args:
        column: what: "sex", "scanner", ...
        value: which.
        cases: their names.
        summaries: as in `Scores`, over these cases.
        foreground: the same.
    """

    column: str
    value: str
    cases: tuple[str, ...]
    summaries: dict[str, dict[str, Summary]]
    foreground: dict[str, Summary]


class Scores(Value):
    """The outcome of an evaluation.

    Args:
        version: of this format.
        calque: the version that wrote it.
        labels: what was scored: classes, and regions as unions of classes.
        metrics: names, as in `METRICS`.
        tolerance_mm: by class or region, for the normalised surface distance and boundary IoU.
        lesion_iou: above which IoU two objects match.
        bootstrap: how intervals were made.
        cases: one entry per scored case.
        summaries: by class or region, then by metric.
        foreground: by metric: the mean over the classes of each case that have a value, summed up over cases.
            Regions are not among them, they would count voxels twice.
        findings: what was not scored.
        groups: the same summaries by subgroup, where columns were given.
        resampled: cases of which the prediction was resampled onto the grid of the truth.
        structures: of DICOM SEG and RTSTRUCT these alone were scored; empty: all.
        priority: of structures that overlap there, the first of these names won.
        coding: what the truth's files store in place of label values.
        notes: by case: how DICOM objects were placed and understood.
    """

    version: Literal[1] = 1
    calque: str
    labels: Labels
    metrics: tuple[str, ...]
    tolerance_mm: dict[str, float]
    lesion_iou: float = 0.5
    bootstrap: Bootstrap
    cases: tuple[CaseScore, ...]
    summaries: dict[str, dict[str, Summary]]
    foreground: dict[str, Summary]
    findings: Findings = Findings()
    groups: tuple[Group, ...] = ()
    resampled: tuple[str, ...] = ()
    structures: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    coding: Coding = PLAIN
    notes: dict[str, tuple[str, ...]] = Field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every case of the truth was scored, and no prediction was left over."""
        return self.findings == Findings()

    @property
    def patients(self) -> int:
        """How many patients the cases are of."""
        return len({case.patient for case in self.cases})

    @property
    def few_patients(self) -> bool:
        """Whether every interval may be too narrow: what is rare may not have happened yet."""
        return few(self.patients)

    @property
    def unseen_share(self) -> float:
        """The largest share of patients with an outcome that, with a chance of 5 %, none of these has."""
        return unseen_share(self.patients)

    @property
    def spacing_known(self) -> bool:
        """Whether millimetres are meant; where not, a pixel counts as 1 mm."""
        return all(case.spacing_known for case in self.cases)

    def case(self, name: str) -> CaseScore:
        """The case of this name."""
        for case in self.cases:
            if case.case == name:
                return case
        raise InputError("There is no such case in these scores", got=name)

    def case_mean(self, case: CaseScore, metric: str) -> float | None:
        """Mean over this case's classes (not regions) that have a value; None where none has."""
        return case_mean(case, metric, self.labels)

    def write(self, path: Path | str) -> None:
        """Write as JSON; `Scores.read` brings it back."""
        write_text_atomic(Path(path), self.to_json())


def case_mean(case: CaseScore, metric: str, labels: Labels) -> float | None:
    """Mean of `metric` over the classes of `labels` that have a value in this case; None where none has."""
    found = [case.classes[name].values[metric] for name in labels.names]
    values = [value for value in found if value is not None]
    return sum(values) / len(values) if values else None


def few(patients: int) -> bool:
    """Whether intervals of so many patients may be too narrow."""
    return patients < FEW_PATIENTS


def unseen_share(patients: int) -> float:
    """The largest share of patients with an outcome that, with a chance of 5 %, none of these has."""
    return float(1.0 - 0.05 ** (1.0 / max(1, patients)))
