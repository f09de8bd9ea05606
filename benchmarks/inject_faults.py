"""Damage copies of a real dataset in every way that `calque check` names, and count what it finds.

    python benchmarks/inject_faults.py DATA [--each 20] [--seed 0] [--only KIND ...] [--json FILE]

Of each kind of damage, `--each` cases are damaged, five at a time, in a temporary folder whose other cases
are links to the originals. A case counts as found if the check names it with the right finding; findings on
cases that were not damaged, and that the undamaged dataset does not have, are false alarms. Where the check
says that it can repair a case it is repaired, checked again, and compared with the original.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from benchmarks.faults import DAMAGES, WHOLE
from benchmarks.harness import machine

from calque.dataset import Case, CheckReport, Dataset, check, open_dataset
from calque.dataset.doctor.repair import repair
from calque.io import read_volume

ROUND = 5


@dataclass
class Score:
    """What became of one kind of damage."""

    kind: str
    way: str
    damaged: int = 0
    found: int = 0
    alarms: int = 0
    beside: dict[str, int] = field(default_factory=dict)
    repaired: int = 0
    restored: int = 0
    missed: list[str] = field(default_factory=list)


def linked(source: Path, target: Path) -> None:
    """A copy of a dataset in the Decathlon's layout whose images and masks are links."""
    target.mkdir(parents=True)
    shutil.copyfile(source / "dataset.json", target / "dataset.json")
    (target / "dataset.json").chmod(0o644)
    for folder in ("imagesTr", "labelsTr"):
        (target / folder).mkdir()
        for path in sorted((source / folder).glob("*.nii.gz")):
            (target / folder / path.name).symlink_to(path.resolve())


def known(report: CheckReport) -> set[tuple[str, str | None]]:
    return {(finding.name, finding.case) for finding in report.findings}


def inject(
    source: Path, kind: str, way: int, each: int, seed: int, before: set[tuple[str, str | None]]
) -> Score:
    """Damage `each` cases in rounds of five, and count."""
    name, damage = DAMAGES[kind][way]
    score = Score(kind, name)
    random = np.random.default_rng([seed, sorted(DAMAGES).index(kind), way])
    ids = [case.id for case in open_dataset(source).annotated]
    sick = {case for _, case in before}
    order = [ids[k] for k in random.permutation(len(ids)) if ids[k] not in sick]
    for start in range(0, each, ROUND):
        chosen = order[start : start + min(ROUND, each - start)]
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "data"
            linked(source, root)
            for case in chosen:
                damage(root / "imagesTr" / f"{case}.nii.gz", root / "labelsTr" / f"{case}.nii.gz", random)
            report = check(open_dataset(root))
            _count(score, report, chosen, before)
            _repair(score, open_dataset(source), root, report, chosen)
    return score


def _count(score: Score, report: CheckReport, chosen: list[str], before: set[tuple[str, str | None]]) -> None:
    found = known(report)
    score.damaged += len(chosen)
    score.found += sum((score.kind, case) in found for case in chosen)
    score.missed += [case for case in chosen if (score.kind, case) not in found]
    new = found - before
    score.alarms += sum(case not in chosen for _, case in new)
    _beside(score, new)


def _beside(score: Score, new: set[tuple[str, str | None]]) -> None:
    for name in (name for name, _ in new if name != score.kind):
        score.beside[name] = score.beside.get(name, 0) + 1


def _repair(score: Score, source: Dataset, root: Path, report: CheckReport, chosen: list[str]) -> None:
    """Repair, see that nothing repairable is left, and compare with the originals."""
    mendable = {f.case for f in report.repairable} & set(chosen)
    if not mendable:
        return
    made = repair(open_dataset(root), root.parent / "repaired", report=report)
    again = open_dataset(made.folder)
    left = {f.case for f in check(again).repairable}
    for case in mendable:
        score.repaired += 1
        old, new = source.case(case), again.case(case)
        score.restored += case not in left and _same(old, new)


def _same(old: Case, new: Case) -> bool:
    """Whether values are the same, but for what was NaN, and within half a voxel of where they were."""
    before, after = read_volume(old.images[0]), read_volume(new.images[0])
    finite = before.array == after.array
    masks = [read_volume(case.label).array for case in (old, new) if case.label]
    near = after.header.grid.isclose(before.header.grid, 0.5)
    return bool(near and finite.mean() > 0.99 and np.array_equal(masks[0], masks[1]))


def inject_whole(source: Path, kind: str, each: int, seed: int) -> Score:
    """Damage that is of a dataset and not of a case: `each` small datasets of twelve cases."""
    name, damage = WHOLE[kind]
    score = Score(kind, name)
    random = np.random.default_rng([seed, sorted(WHOLE).index(kind), 99])
    dataset = open_dataset(source)
    for _ in range(each):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "data"
            few = [dataset.annotated[k].id for k in random.permutation(len(dataset.annotated))[:12]]
            small(source, root, few)
            before = known(check(open_dataset(root)))
            pattern = damage(root, few, random)
            new = known(check(open_dataset(root, pattern))) - before
            score.damaged += 1
            hit = any(name == kind for name, _ in new)
            score.found += hit
            score.missed += [] if hit else [",".join(few)]
            _beside(score, new)
    return score


def small(source: Path, target: Path, few: list[str]) -> None:
    """A linked copy with these cases alone."""
    linked(source, target)
    manifest = json.loads((target / "dataset.json").read_text())
    manifest["training"] = [e for e in manifest["training"] if Path(e["image"]).name.split(".")[0] in few]
    (target / "dataset.json").write_text(json.dumps(manifest))


def run(source: Path, each: int, seed: int, only: list[str]) -> list[Score]:
    dataset: Dataset = open_dataset(source)
    started = time.perf_counter()
    report = check(dataset)
    print(json.dumps({"machine": machine(), "cases": len(dataset.cases), "seed": seed, "each": each}))
    print(f"undamaged: {time.perf_counter() - started:.2f} s, findings {report.summary}", flush=True)
    before = known(report)
    scores: list[Score] = []
    jobs = [(kind, way) for kind, ways in DAMAGES.items() for way in range(len(ways))]
    for kind, way in [(k, w) for k, w in jobs if not only or k in only]:
        scores.append(inject(source, kind, way, each, seed, before))
        show(scores[-1])
    for kind in [k for k in WHOLE if not only or k in only]:
        scores.append(inject_whole(source, kind, each, seed))
        show(scores[-1])
    total, hit = sum(s.damaged for s in scores), sum(s.found for s in scores)
    print(f"\nfound {hit} of {total} ({100 * hit / max(1, total):.1f} %), "
          f"{sum(s.alarms for s in scores)} false alarms on undamaged cases")  # fmt: skip
    return scores


def show(score: Score) -> None:
    beside = ", ".join(f"{name} {count}" for name, count in score.beside.items())
    mended = f"{score.restored}/{score.repaired}" if score.repaired else ""
    found = f"{score.found}/{score.damaged}"
    print(f"| {score.kind} | {score.way} | {found} | {score.alarms} | {mended} | {beside} |", flush=True)
    if score.missed:
        print("  missed:", ", ".join(score.missed[:5]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a dataset in the Decathlon's layout, NIfTI")
    parser.add_argument("--each", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    scores = run(wanted.data, wanted.each, wanted.seed, wanted.only)
    if wanted.json:
        wanted.json.write_text(json.dumps([asdict(score) for score in scores], indent=1))


if __name__ == "__main__":
    main()
