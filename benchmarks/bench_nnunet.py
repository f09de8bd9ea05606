"""`calque predict` beside the real nnU-Net, with the same weights, in one run: whole processes.

    CALQUE_NNUNET=PEER/bin/python python benchmarks/harness.py nnunet            all
    CALQUE_NNUNET=PEER/bin/python python benchmarks/bench_nnunet.py thorax       six stages, 31 M, 134x512x512
    CALQUE_NNUNET=PEER/bin/python python benchmarks/bench_nnunet.py hippocampus  of CALQUE_DATA

See peer_nnunet.py for nnU-Net's environment. `--small` shrinks the thorax, to see that the script works.
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
    for name, found in [*thorax().items(), *hippocampus().items()]:
        if isinstance(found, peers.Taken):
            record(name, Figure(found.seconds, found.seconds, found.seconds, 1, round(found.peak_mb)))
        else:
            print(json.dumps({"benchmark": "nnunet", "figure": name, "value": found}))


def thorax(small: bool = False, mirror: bool = False) -> dict[str, object]:
    """One scan without mirroring (and, if asked, with each side's default), cold and warm cache."""
    python = _peer()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        results = peers.six_stage_results(folder / "results")
        shape = (48, 150, 150) if small else (134, 512, 512)
        peers.thorax(folder / "scans" / "thorax_0000.nii.gz", shape)
        model = peers.import_model(results, folder / "model.calque")
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
        if mirror:
            full = peers.nnunet_predict(python, results, scans, folder / "theirs8", mirror=True)
            ours = peers.calque_predict(model, scans, folder / "ours8", *cache, "--precision", "bf16")
            found |= {"nnU-Net, its default mirroring": full, "Calque bf16, its default mirroring": ours}
            found["times as fast, defaults"] = round(full.seconds / ours.seconds, 2)
        return found


def hippocampus(most: int = 200) -> dict[str, object]:
    """A cohort with a genuine model."""
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
        for mirror in (False, True):
            way = "full" if mirror else "off"
            theirs = peers.nnunet_predict(python, results, scans, folder / f"theirs-{way}", mirror=mirror)
            found[f"nnU-Net, mirroring {way}"] = theirs
            for precision in ("f32", "bf16"):
                asked = ["--mirror", way, "--precision", precision, "--cache", str(folder / "cache")]
                peers.calque_predict(model, next(scans.iterdir()), folder / f"warm-{way}-{precision}", *asked)
                output = folder / f"{way}-{precision}"
                ours = peers.calque_predict(model, scans, output, *asked)
                found[f"Calque {precision}, mirroring {way}"] = ours
                found[f"cases a second, {precision}, {way}"] = round(cases / ours.seconds, 2)
                found[f"times as fast, {precision}, {way}"] = round(theirs.seconds / ours.seconds, 2)
                found[f"agreement, {precision}, {way}"] = peers.agreement(folder / f"theirs-{way}", output)
        return found


def _peer() -> Path:
    python = peers.peer()
    if python is None:
        raise SystemExit("CALQUE_NNUNET names the Python of an environment with nnunetv2: see peer_nnunet.py")
    return python


def main(arguments: list[str]) -> None:
    small = "--small" in arguments
    if "thorax" in arguments:
        found = thorax(small, "--mirror" in arguments)
    else:
        found = hippocampus(3 if small else 200)
    for name, value in found.items():
        shown = vars(value) if isinstance(value, peers.Taken) else value
        print(json.dumps({name: shown}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
