"""The public surface, and what may be imported to reach it."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import types

import pytest

import calque

_HEAVY = ("torch", "numpy", "scipy", "nibabel", "matplotlib", "pooch")

PUBLIC = {
    "CalqueError", "Case", "Dataset", "Grid", "Image", "LabelMap", "Labels", "Model", "Plan", "Scores",
    "check", "compare", "evaluate", "find_objects", "open_dataset", "plan", "predict", "prepare",
    "read_image", "read_labels", "report", "train", "write_image", "write_labels", "__version__",
}  # fmt: skip


def _modules() -> list[str]:
    found = pkgutil.walk_packages(calque.__path__, prefix="calque.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def test_the_surface_is_what_is_written_here() -> None:
    assert set(calque.__all__) == PUBLIC
    assert set(dir(calque)) == PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(calque, name)
    assert not isinstance(thing, types.ModuleType)
    if name != "__version__":
        assert thing.__doc__


def test_no_room_shadows_a_public_name() -> None:
    for module in _modules():
        importlib.import_module(module)
    for name in PUBLIC:
        assert not isinstance(getattr(calque, name), types.ModuleType), f"calque.{name} has become a module"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'segment'"):
        calque.segment  # noqa: B018


@pytest.mark.parametrize("name", _modules())
def test_every_module_says_what_it_is_for(name: str) -> None:
    assert (importlib.import_module(name).__doc__ or "").strip()


@pytest.mark.parametrize(
    "program",
    [
        "import calque",
        "import calque.cli.app",
        "from calque.cli.app import run; assert run(['--help']) == 0",
        "from calque.cli.app import run; assert run(['train', '--help']) == 0",
    ],
)
def test_starting_is_light(program: str) -> None:
    ask = f"import sys; heavy = [m for m in {_HEAVY!r} if m in sys.modules]; print('HEAVY', *heavy)"
    done = subprocess.run(
        [sys.executable, "-c", f"{program}\n{ask}"], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1].split() == ["HEAVY"]
