"""Where an nnU-Net results folder lies: as a folder, above one, or in an exported zip."""

from __future__ import annotations

import shutil
import stat
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from calque.errors import ModelError, ReadError, ResourceError

PLANS, DATASET, FINGERPRINT = "plans.json", "dataset.json", "dataset_fingerprint.json"
_JSON_BYTES = 2**28
_CHECKPOINT_BYTES = 2**34
_MOST_MEMBERS = 100_000


@dataclass(frozen=True)
class Results:
    """One trained configuration.

    Args:
        folder: holds plans.json, dataset.json and a folder per fold.
        source: what the user named, for messages.
        postprocessing: nnU-Net's postprocessing files that lie there.
    """

    folder: Path
    source: Path
    postprocessing: tuple[str, ...]

    def checkpoints(self, folds: Sequence[int | str] | None, name: str) -> tuple[tuple[str, Path], ...]:
        """(fold, file) of each fold; by default all numbered folds, or `fold_all` where there is no other.

        Raises:
            ReadError: a fold or its checkpoint is missing.
        """
        there = sorted(p.parent.name.removeprefix("fold_") for p in self.folder.glob(f"fold_*/{name}"))
        numbered = [fold for fold in there if fold.isdigit()]
        wanted = [str(fold) for fold in folds] if folds is not None else numbered or there
        missing = [fold for fold in wanted if fold not in there]
        if missing or not wanted:
            raise ReadError(
                "There is no checkpoint for these folds" if missing else "There is no trained fold",
                where=self.source,
                expected=f"{name} in fold_{', fold_'.join(missing or ['0'])}",
                got=f"folds with it: {', '.join(there) or 'none'}",
                fix="choose other folds, or another checkpoint such as checkpoint_best.pth",
            )
        return tuple((fold, self.folder / f"fold_{fold}" / name) for fold in wanted)


@contextmanager
def open_results(path: Path, configuration: str | None, checkpoint: str) -> Iterator[Results]:
    """Find the results folder that `path` means; a zip is unpacked aside and removed afterwards.

    Args:
        path: a results folder, a folder above several, or a zip made by nnUNetv2_export_model_to_zip.
        configuration: such as "3d_fullres"; needed where there are several.
        checkpoint: the file name to unpack.

    Raises:
        ReadError: nothing is there, or the zip is damaged.
        ModelError: several configurations and none was chosen, or a zip that reaches outside itself.
        ResourceError: a zip that would become too large.
    """
    if path.is_dir():
        yield _choose(path, path, configuration)
    elif zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory(prefix="calque-nnunet-") as aside:
            _unpack(path, Path(aside), checkpoint)
            yield _choose(Path(aside), path, configuration)
    else:
        raise ReadError(
            "This is neither a results folder nor a zip", where=path, expected=f"a folder with {PLANS}"
        )


def _choose(root: Path, source: Path, configuration: str | None) -> Results:
    found = [root] if (root / PLANS).is_file() else sorted(p.parent for p in root.glob(f"*/{PLANS}"))
    found = found or sorted(p.parent for p in root.glob(f"*/*/{PLANS}"))
    if not found:
        above = source.parent if (source.parent / PLANS).is_file() else None
        raise ReadError(
            "There is no nnU-Net model here",
            where=source,
            expected=f"a folder with {PLANS}",
            fix=None if above is None else f"name {above}; --fold chooses among its folds",
        )
    if len(found) > 1 and configuration is not None:
        found = [p for p in found if p.name.rpartition("__")[2] == configuration] or found
    if len(found) > 1:
        raise ModelError(
            "There are several models here",
            where=source,
            got=", ".join(str(p.relative_to(root)) for p in found),
            fix="name one of these folders, or choose a configuration",
        )
    folder = found[0]
    extra = sorted(str(p.relative_to(folder)) for p in folder.glob("**/postprocessing.*"))
    return Results(folder, source, tuple(extra))


def _unpack(source: Path, target: Path, checkpoint: str) -> None:
    """Write the few files that are needed; names and sizes are checked before a byte is written."""
    wanted = {PLANS, DATASET, FINGERPRINT, "postprocessing.json", "postprocessing.pkl", checkpoint}
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS:
                raise ModelError("This zip holds too many files", where=source, got=len(members))
            chosen = [m for m in members if not m.is_dir() and PurePosixPath(m.filename).name in wanted]
            for member in chosen:
                _require_harmless(member, source)
            total = sum(member.file_size for member in chosen)
            if total > shutil.disk_usage(target).free:
                raise ResourceError("There is no room to unpack this zip", where=source, got=f"{total} bytes")
            for member in chosen:
                path = target / member.filename
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, path.open("wb") as plain:
                    shutil.copyfileobj(packed, plain)  # zipfile stops at the declared size
    except (zipfile.BadZipFile, zipfile.LargeZipFile, OSError, EOFError, NotImplementedError) as problem:
        raise ReadError("This zip is damaged", where=source, got=problem) from None


def _require_harmless(member: zipfile.ZipInfo, source: Path) -> None:
    name = PurePosixPath(member.filename)
    reaches_out = (
        name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in member.filename
    )
    if reaches_out or stat.S_ISLNK(member.external_attr >> 16):
        raise ModelError(
            "This zip names a file outside itself",
            where=source,
            got=member.filename,
            fix="do not use it: it was not made by nnU-Net",
        )
    limit = _JSON_BYTES if name.suffix == ".json" else _CHECKPOINT_BYTES
    if member.file_size > limit:
        raise ResourceError(
            "This zip holds a file that is too large",
            where=f"{source}: {member.filename}",
            expected=f"at most {limit} bytes",
            got=member.file_size,
        )
