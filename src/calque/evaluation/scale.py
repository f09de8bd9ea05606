"""Whether a millimetre of a score is one."""

from __future__ import annotations

from pathlib import Path

from calque.evaluation.scores import CaseScore
from calque.io import FORMATS, read_header, suffix_of


def with_scale(score: CaseScore, file: Path) -> CaseScore:
    """The same score, which knows whether `file`, if it is a picture, says how large its pixels are."""
    suffix = suffix_of(file)
    if suffix is None or not FORMATS[suffix].picture or read_header(file).spacing_known:
        return score
    return score.model_copy(update={"spacing_known": False})
