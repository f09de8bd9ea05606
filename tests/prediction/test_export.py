"""What is exported gives the same labels, in a program that has neither torch nor Calque."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from calque.errors import InputError
from calque.io import read_labels, write_image
from calque.nets import build
from calque.planning import Normalisation
from calque.prediction import PredictOptions, Predictor
from calque.prediction.engines import openvino_is_there
from calque.prediction.export import TARGETS, Recipe, export

from ..preparation.synthetic import make_plan
from .fakes import ball, image_on, random_grid

RUNNER = Path(__file__).resolve().parents[2] / "examples" / "run_exported.py"
ALONE = """
import sys
sys.modules.update(dict.fromkeys(("torch", "calque", "scipy", "nibabel")))  # importing one is an error
sys.modules["openvino_telemetry"] = None
sys.argv = sys.argv[1:]
import runpy
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_alone(*arguments: object) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(RUNNER), *map(str, arguments)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(params=sorted(TARGETS))
def target(request: pytest.FixtureRequest) -> str:
    if request.param == "openvino" and not openvino_is_there():
        pytest.skip("OpenVINO is not installed")
    if request.param == "onnx":
        for module in ("onnx", "onnxscript", "onnxruntime"):
            pytest.importorskip(module)
    return str(request.param)


def test_the_runner_gives_calques_labels(target: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    plan = make_plan(
        ("CT",), spacing=(1.4, 1.1, 0.9), patch=(8, 16, 16), orientation="SPL",
        normalisation=(Normalisation(scheme="ct", low=-2, high=3, mean=0.1, std=1.3),),
    )  # fmt: skip
    networks = [build(plan.network, seed=seed) for seed in (0, 1)]
    export(plan, networks, target, tmp_path / "exported")
    for number, shape in enumerate([(17, 21, 30), (5, 40, 9)]):
        grid = random_grid(rng, shape, (1.5, 0.8, 1.2))
        centre = grid.to_world((np.array(shape) - 1) / 2)
        array = rng.normal(0, 1, shape).astype(np.float32) + 2 * ball(grid, centre, 6.0)
        array[:2] = 0
        scan, mask = tmp_path / f"scan{number}.nii.gz", tmp_path / f"mask{number}.nii.gz"
        write_image(image_on(grid, array), scan)
        run_alone(tmp_path / "exported", scan, mask)
        options = PredictOptions(mirror="off", precision="f32", engine="torch")
        expected = Predictor(plan, networks, options)(image_on(grid, array)).label_map
        found = read_labels(mask, plan.labels)
        assert found.grid.isclose(grid)
        assert len(np.unique(expected.array)) > 1
        # float32 sums in another order break ties in another way
        assert np.count_nonzero(found.array != expected.array) <= 2e-4 * expected.array.size


def test_the_description_is_enough(target: str, tmp_path: Path) -> None:
    plan = make_plan()
    written = export(plan, [build(plan.network)], target, tmp_path / "new" / "exported")
    recipe = Recipe.read(written.parent / "calque.json")
    assert (recipe.network, recipe.inputs) == (written.name, ("windows", (1, 1, 8, 8, 8)))
    assert recipe.classes == (("organ", 1), ("lesion", 4))


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    plan = make_plan()
    with pytest.raises(InputError, match="onnx"):
        export(plan, [build(plan.network)], "coreml", tmp_path / "x")
    (tmp_path / "precious").write_text("")
    with pytest.raises(InputError, match="already"):
        export(plan, [build(plan.network)], "onnx", tmp_path)
