"""`calque predict` beside the real nnU-Net, with the same weights, in one run: whole processes.

    CALQUE_NNUNET=PEER/bin/python python benchmarks/harness.py nnunet            all
    CALQUE_NNUNET=PEER/bin/python python benchmarks/bench_nnunet.py thorax       six stages, 31 M, 134x512x512
    CALQUE_NNUNET=PEER/bin/python python benchmarks/bench_nnunet.py mirrored     the same, both by default
    CALQUE_NNUNET=PEER/bin/python python benchmarks/bench_nnunet.py hippocampus  of CALQUE_DATA

See peer_nnunet.py for nnU-Net's environment. `--small` is to see that the script works; `off`, `full` and
`default` after hippocampus choose ways of mirroring.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import peer_nnunet as peers


def run(record: Callable[[str, object], None]) -> None:
    from harness import Figure

    if peers.peer() is None:
        print(json.dumps({"benchmark": "nnunet", "left out": "CALQUE_NNUNET is not set, see peer_nnunet.py"}))
        return
    for name, found in [*thorax().items(), *mirrored().items(), *hippocampus().items()]:
        if isinstance(found, peers.Taken):
            record(name, Figure(found.seconds, found.seconds, found.seconds, 1, round(found.peak_mb)))
        else:
            print(json.dumps({"benchmark": "nnunet", "figure": name, "value": found}))


def thorax(small: bool = False) -> dict[str, object]:
    """One scan without mirroring, cold and warm cache."""
    python = _peer()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        results, model = _thorax_case(folder, small)
        scans, cache = folder / "scans", ["--cache", str(folder / "cache")]
        found: dict[str, object] = {}
        found["nnU-Net, no mirroring"] = theirs = peers.nnunet_predict(
            python, results, scans, folder / "theirs", mirror=False
        )
        for precision, windows in (("bf16", "trained"), ("bf16", "fewest"), ("f32", "trained")):
            asked = ["--mirror", "off", "--precision", precision, "--windows", windows, *cache]
            way = f"{precision}, windows {windows}"
            found[f"Calque {way}, first start, with its probe"] = peers.calque_predict(
                model, scans, folder / f"first-{precision}-{windows}", *asked
            )
            ours = peers.calque_predict(model, scans, folder / f"{precision}-{windows}", *asked)
            found[f"Calque {way}, no mirroring"] = ours
            found[f"times as fast, {way}"] = round(theirs.seconds / ours.seconds, 2)
            found[f"share of its memory, {way}"] = round(ours.peak_mb / theirs.peak_mb, 3)
            found[f"agreement, {way}"] = peers.agreement(folder / "theirs", folder / f"{precision}-{windows}")
        return found


def mirrored(small: bool = False) -> dict[str, object]:
    """The same scan as each side predicts it by default: nnU-Net mirrors eight times."""
    python = _peer()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        results, model = _thorax_case(folder, small)
        scans, cache = folder / "scans", ["--cache", str(folder / "cache"), "--precision", "bf16"]
        found: dict[str, object] = {}
        for windows in ("auto", "fewest"):
            asked = [*cache, "--windows", windows]
            peers.calque_predict(model, scans, folder / f"first-{windows}", *asked)
            found[f"Calque bf16, its default mirroring, windows {windows}"] = peers.calque_predict(
                model, scans, folder / windows, *asked
            )
        full = peers.nnunet_predict(python, results, scans, folder / "theirs", mirror=True)
        times = {
            name.replace("Calque", "times as fast, Calque"): round(full.seconds / taken.seconds, 2)
            for name, taken in found.items()
            if isinstance(taken, peers.Taken)
        }
        return {"nnU-Net, its default mirroring": full, **found, **times}


def _thorax_case(folder: Path, small: bool) -> tuple[Path, Path]:
    """nnU-Net's results folder and our model, with a scan in `folder`/scans."""
    results = peers.six_stage_results(folder / "results")
    peers.thorax(folder / "scans" / "thorax_0000.nii.gz", (48, 150, 150) if small else (134, 512, 512))
    return results, peers.import_model(results, folder / "model.calque")


WAYS = {"off": "off", "full": "full", "default": "auto"}
"""Of mirroring, and how Calque is asked for it; by default nnU-Net mirrors in full."""


def hippocampus(most: int = 200, ways: tuple[str, ...] = tuple(WAYS)) -> dict[str, object]:
    """A cohort with a genuine model: without mirroring, with all of it, each side as by default."""
    python, root = _peer(), Path(os.environ["CALQUE_DATA"])
    results = root / "nnunet-model" / "results"
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        scans = folder / "scans"
        scans.mkdir()
        for path in sorted((root / "hippocampus" / "imagesTr").glob("*.nii.gz"))[:most]:
            (scans / path.name.replace(".nii.gz", "_0000.nii.gz")).symlink_to(path)
        model = peers.import_model(results, folder / "model.calque")
        cases = len(list(scans.iterdir()))
        found: dict[str, object] = {"cases": cases}
        for way in ways:
            reference = folder / ("theirs-off" if way == "off" else "theirs-full")
            if not reference.exists():
                taken = peers.nnunet_predict(python, results, scans, reference, mirror=way != "off")
            theirs = found[f"nnU-Net, mirroring {way}"] = taken
            for precision in ("f32", "bf16"):
                asked = ["--mirror", WAYS[way], "--precision", precision, "--cache", str(folder / "cache")]
                peers.calque_predict(model, next(scans.iterdir()), folder / f"warm-{way}-{precision}", *asked)
                output = folder / f"{way}-{precision}"
                ours = peers.calque_predict(model, scans, output, *asked)
                found[f"Calque {precision}, mirroring {way}"] = ours
                found[f"cases a second, {precision}, {way}"] = round(cases / ours.seconds, 2)
                found[f"times as fast, {precision}, {way}"] = round(theirs.seconds / ours.seconds, 2)
                found[f"agreement, {precision}, {way}"] = peers.agreement(reference, output)
        return found


def _peer() -> Path:
    python = peers.peer()
    if python is None:
        raise SystemExit("CALQUE_NNUNET names the Python of an environment with nnunetv2: see peer_nnunet.py")
    return python


def main(arguments: list[str]) -> None:
    small = "--small" in arguments
    if "thorax" in arguments:
        found = thorax(small)
    elif "mirrored" in arguments:
        found = mirrored(small)
    else:
        found = hippocampus(
            3 if small else 200, tuple(way for way in WAYS if way in arguments) or tuple(WAYS)
        )
    for name, value in found.items():
        shown = vars(value) if isinstance(value, peers.Taken) else value
        print(json.dumps({name: shown}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
