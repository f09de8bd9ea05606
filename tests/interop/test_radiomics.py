"""Radiomics by MIRP, where it is installed; what happens where it is not."""

from __future__ import annotations

import csv
import io
import sys

import numpy as np
import pytest

from calque.errors import GeometryError, MissingExtraError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.interop.radiomics import Radiomics, radiomics, radiomics_to_csv
from calque.labels import Labels

LABELS = Labels.from_names({"ball": 1, "none": 2})
GRID = Grid.from_parts((14, 24, 24), (2.0, 1.0, 1.0))


def ball() -> tuple[LabelMap, Image]:
    z, y, x = np.ogrid[:14, :24, :24]
    inside = (2 * (z - 7)) ** 2 + (y - 12) ** 2 + (x - 12) ** 2 < 81
    scan = np.random.default_rng(0).normal(100, 20, (1, *GRID.shape))
    return LabelMap(inside.astype(np.uint8), GRID, LABELS), Image(scan, GRID, ("CT",))


@pytest.mark.filterwarnings("ignore")
def test_features_that_can_be_worked_out():
    pytest.importorskip("mirp", reason='MIRP is not installed: pip install "calque[radiomics]"')
    label_map, image = ball()
    (found,) = radiomics(label_map, image)
    values = image.array[0][label_map.array == 1]
    assert (found.name, found.channel) == ("ball", "CT")
    assert found.features["morph_vol_approx"] == pytest.approx(len(values) * 2.0)  # mm3
    assert found.features["stat_mean"] == pytest.approx(values.mean(), rel=1e-4)
    assert found.features["stat_var"] == pytest.approx(values.var(), rel=1e-3)
    assert len(found.features) > 100
    rows = list(csv.DictReader(io.StringIO(radiomics_to_csv([("a", found)]))))
    assert float(rows[0]["stat_mean"]) == found.features["stat_mean"]


def test_csv_with_what_has_no_value():
    rows = [
        ("a", Radiomics(name="x", channel="CT", features={"one": 1.5})),
        ("b", Radiomics(name="x", channel="CT", features={"one": None, "two": 2.0})),
    ]
    assert radiomics_to_csv(rows).splitlines() == ["case,class,channel,one,two", "a,x,CT,1.5,", "b,x,CT,,2.0"]


def test_without_mirp_the_fix_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mirp", None)
    with pytest.raises(MissingExtraError, match="mirp") as caught:
        radiomics(*ball())
    assert "calque[radiomics]" in caught.value.fix


def test_another_grid(monkeypatch):
    monkeypatch.setitem(sys.modules, "mirp", type(sys)("mirp"))
    sys.modules["mirp"].extract_features = None
    label_map, image = ball()
    with pytest.raises(GeometryError, match="same grid"):
        radiomics(label_map, Image(image.array[:, 1:], GRID.resized((13, 24, 24)), ("CT",)))
