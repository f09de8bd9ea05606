"""A browser, and the pages that it opens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from calque.errors import InputError
from calque.evaluation import Rules, compare, evaluate
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io import write_image, write_labels
from calque.labels import Labels
from calque.reporting import report, report_comparison
from calque.reporting.pdf import find_browser
from calque.reporting.words import LANGUAGES

LABELS = Labels.from_names({"liver <i>": 1, "lesion": 2})
GRID = Grid.from_parts((16, 20, 24), (2.0, 1.0, 1.0))


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Chromium of the system, or a skip that says what is missing."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    try:
        program = find_browser()
    except InputError as problem:
        pytest.skip(str(problem))
    with playwright.sync_playwright() as session:
        opened = session.chromium.launch(executable_path=str(program), args=["--no-sandbox"])
        yield opened
        opened.close()


def _masks(folder: Path) -> None:
    """Six cases: scans, a truth, two models, probabilities, subgroups."""
    generator = np.random.default_rng(0)
    z, y, x = np.ogrid[:16, :20, :24]
    rows = ["case,patient,sex,age"]
    for k in range(6):
        truth = (((z - 8) / 6) ** 2 + ((y - 10) / 8) ** 2 + ((x - 12) / 9) ** 2 < 1).astype(np.uint8)
        truth[7:10, 8:12, 8:12] = 2
        scan = 40.0 * (truth > 0) + 25.0 * (truth == 2) + generator.normal(0, 8, truth.shape)
        write_image(Image(scan[None].astype(np.float32), GRID, ("CT",)), folder / "scans" / f"c{k}.nii.gz")
        write_labels(LabelMap(truth, GRID, LABELS), folder / "truth" / f"c{k}.nii.gz")
        for name, shift in (("ours", k % 2), ("theirs", 1 + k % 3)):
            moved = np.roll(truth, shift, axis=2)
            if (name, k) == ("ours", 4):
                moved[moved == 2] = 1
            write_labels(LabelMap(moved, GRID, LABELS), folder / name / f"c{k}.nii.gz")
            soft = 0.8 * np.stack([moved == v for v in range(3)]) + 0.2 / 3
            np.savez(folder / name / f"c{k}_probabilities.npz", probabilities=soft.astype(np.float32))
        rows.append(f"c{k},p{k // 2},{'fm'[k % 2]},{40 + 3 * k}")
    (folder / "groups.csv").write_text("\n".join(rows) + "\n")


@pytest.fixture(scope="session")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Name -> file: a report and a comparison in every language."""
    folder = tmp_path_factory.mktemp("pages")
    _masks(folder)
    scores = {
        name: evaluate(
            folder / name,
            folder / "truth",
            Rules(probabilities=folder / name),
            labels=LABELS,
            groups=folder / "groups.csv",
        )
        for name in ("ours", "theirs")
    }
    found = {}
    for lang in LANGUAGES:
        folders = {"truth": folder / "truth", "predicted": folder / "ours", "images": folder / "scans"}
        found[f"report {lang}"] = report(scores["ours"], folder / f"report.{lang}.html", lang=lang, **folders)
        page = folder / f"comparison.{lang}.html"
        found[f"comparison {lang}"] = report_comparison(compare(scores), page, lang=lang)
    return found
