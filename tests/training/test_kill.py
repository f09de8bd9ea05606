"""kill -9 at any moment, resumed: the final weights are those of the run that nobody stopped, bit for bit."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.training.runs import TWO_FOLDS, assert_same_weights, plan_for

from calque.dataset import Dataset
from calque.model import Model
from calque.planning import Schedule
from calque.training import train
from calque.training.history import read_history
from calque.training.run import RunFolder

STEPS = 60
MOMENTS = 10

# The killed process: it checkpoints after every step, so that kills fall into writing, too.
CHILD = """
import sys
from pathlib import Path
from tests.training.runs import plan_for, two_folds
from calque.dataset import open_dataset
from calque.planning import Schedule
from calque.training import train
data = open_dataset(Path(sys.argv[1]))
plan = plan_for(data, schedule=Schedule(steps=int(sys.argv[3]), decay=0.5))
print("ready", flush=True)
train(data, plan, sys.argv[2], two_folds(resume=True, checkpoint_seconds=0))
"""


@pytest.fixture(scope="module")
def plain(dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, float]:
    begin = time.monotonic()
    plan = plan_for(dataset, schedule=Schedule(steps=STEPS, decay=0.5))
    model = train(dataset, plan, tmp_path_factory.mktemp("plain"), TWO_FOLDS)
    return model, time.monotonic() - begin


def start(dataset: Dataset, run: Path) -> subprocess.Popen[str]:
    """A training in a process of its own, from the checkpoint that is there."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}
    command = [sys.executable, "-c", CHILD, str(dataset.root), str(run), str(STEPS)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def kill_and_resume(dataset: Dataset, plain: tuple[Model, float], run: Path, moment: float) -> None:
    """Kill after `moment` of the time that the whole takes, then let it go on to its end."""
    model, seconds = plain
    with start(dataset, run) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        time.sleep(moment * seconds)
        child.send_signal(signal.SIGKILL)
    with start(dataset, run) as again:
        assert again.wait() == 0
    assert_same_weights(Model.load(RunFolder(run).model), model)
    steps = [row.step for row in read_history(RunFolder(run).fold(0).history)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("moment", [0.35, pytest.param(0.7, marks=pytest.mark.slow)])
def test_killed_and_resumed_the_weights_are_the_same(
    dataset: Dataset, plain: tuple[Model, float], tmp_path: Path, moment: float
) -> None:
    kill_and_resume(dataset, plain, tmp_path, moment)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(MOMENTS))
def test_killed_at_random_moments_the_weights_are_the_same(
    dataset: Dataset, plain: tuple[Model, float], tmp_path: Path, number: int
) -> None:
    moment = random.uniform(0, 1.2)  # noqa: S311 - another one in each run of the tests, and shown when it fails
    print(f"killed after {moment:.3f} of the time")  # noqa: T201
    kill_and_resume(dataset, plain, tmp_path / str(number), moment)
