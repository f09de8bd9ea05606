"""Normal and Student's t: one number at a time, in pure Python.

scipy has them too, and takes longer to import than a small cohort takes to score; the tests compare.
"""

from __future__ import annotations

from functools import lru_cache
from math import atan, cos, pi, sin, sqrt
from statistics import NormalDist

_NORMAL = NormalDist()
_MANY = 200  # degrees of freedom from which the expansion is exact to 1e-9


def normal_share(z: float) -> float:
    """The share of a normal distribution below `z`; infinities are shares too."""
    return _NORMAL.cdf(z)


def normal_edge(share: float) -> float:
    """Below which the share lies in a normal distribution, 0 < share < 1."""
    return _NORMAL.inv_cdf(share)


@lru_cache(maxsize=256)
def student_edge(freedom: int, share: float) -> float:
    """Below which the share lies in Student's t, 0 < share < 1; `freedom` degrees of freedom, 1 or more.

    By Cornish and Fisher's expansion (Abramowitz and Stegun 26.7.5) where they are many, else by halving from
    there on with the closed form of the distribution (26.7.3 and 26.7.4).
    """
    if share > 0.5:
        return -student_edge(freedom, 1.0 - share)
    z = normal_edge(share)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    start = z + sum(term / freedom ** (k + 1) for k, term in enumerate(terms))
    return start if freedom >= _MANY else _bisected(freedom, share, start)


def _bisected(freedom: int, share: float, start: float) -> float:
    """Halve until nothing moves, from an interval around `start`; both are negative or 0."""
    low, high = 2.0 * start - 1.0, 0.0
    while student_share(freedom, low) > share:
        low *= 2.0
    middle = 0.5 * (low + high)
    while low < middle < high:
        if student_share(freedom, middle) < share:
            low = middle
        else:
            high = middle
        middle = 0.5 * (low + high)
    return middle


def student_share(freedom: int, t: float) -> float:
    """The share of Student's t below `t`."""
    angle = atan(t / sqrt(freedom))
    sine, cosine = sin(angle), cos(angle)
    total, term = 0.0, 1.0 if freedom % 2 == 0 else cosine
    first = 0 if freedom % 2 == 0 else 1
    for k in range(first, freedom - 1, 2):
        total += term
        term *= cosine**2 * (k + 1) / (k + 2)
    if freedom % 2 == 0:
        return 0.5 + 0.5 * sine * total
    return 0.5 + (angle + sine * total) / pi
