"""Damaged and hostile files: a clear error or an image, never a crash, a hang or a blow-up of memory.

Each file is read in a process of its own kind of limits: address space and seconds. A decoder that crashes
takes the process with it, and the test fails.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tifffile

from calque.geometry import Grid
from calque.image import Image
from calque.io import write_image

KINDS = ("nii", "nii.gz", "tif", "zlib.tif", "lzw.tif", "png", "npz", "nrrd", "mha", "bmp", "jpg")
_SEVERAL = 40

READER = textwrap.dedent(
    """
    import resource, signal, sys, zlib
    from pathlib import Path
    import numpy as np
    from calque.errors import InputError
    from calque.io import read_header, read_image, read_labels

    source, suffix, count, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    whole = source.read_bytes()
    read_image(source)  # libraries are loaded before memory is bounded
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 512 * 2**20,) * 2)
    path = source.with_name("mutated." + suffix)
    read = refused = 0

    def mutated(rng):
        content = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            # headers are where damage does most
            end = len(content) if rng.random() < 0.4 else min(len(content), 600)
            place = int(rng.integers(0, max(1, end)))
            size = int(rng.choice([1, 1, 2, 4, 8]))
            what = int(rng.integers(0, 5))
            if what == 0:
                content[place : place + size] = rng.bytes(size)
            elif what == 1:
                content[place : place + size] = bytes([255]) * size
            elif what == 2:
                content[place : place + size] = bytes(size)
            elif what == 3:
                del content[place : place + size]
            else:
                content = content[: place + 1]
        return bytes(content)

    for number in range(count):
        path.write_bytes(mutated(np.random.default_rng([seed, number, zlib.crc32(suffix.encode())])))
        for reader in (read_header, read_image, read_labels):
            signal.alarm(20)  # a hang kills the process
            try:
                reader(path)
                read += 1
            except InputError as problem:
                if path.name not in str(problem):
                    raise
                refused += 1
            finally:
                signal.alarm(0)
    print(read, refused)
    """
)


def _whole(folder: Path, kind: str) -> Path:
    """A small file of each kind."""
    rng = np.random.default_rng(0)
    path = folder / f"whole.{kind}"
    colours = rng.integers(0, 255, (24, 25, 3), dtype=np.uint8)
    if kind in ("zlib.tif", "lzw.tif"):
        stack = (rng.integers(0, 9, (5, 24, 25)) * 20).astype(np.uint16)
        tifffile.imwrite(path, stack, compression=kind.split(".", maxsplit=1)[0], photometric="minisblack")
        return path
    if kind in ("bmp", "jpg"):
        from PIL import Image as Picture

        Picture.fromarray(colours).save(path)
        return path
    if kind == "png":
        grid = Grid.from_parts((1, 24, 25), (0.5, 0.5, 0.5))
        image = Image(colours.transpose(2, 0, 1)[:, None], grid, ("r", "g", "b"))
    else:
        grid = Grid.from_parts((6, 7, 8), (2, 1, 1))
        image = Image(rng.integers(0, 9, (1, 6, 7, 8)).astype(np.int16), grid, ("a",))
    write_image(image, path)
    return path


def _read_mutations(folder: Path, kind: str, count: int, seed: int) -> tuple[int, int]:
    """How many were read and how many refused; anything else fails."""
    done = subprocess.run(
        [sys.executable, "-c", READER, str(_whole(folder, kind)), kind, str(count), str(seed)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    read, refused = map(int, done.stdout.split())
    return read, refused


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded as Linux does it")
@pytest.mark.parametrize("kind", KINDS)
def test_some_mutated_files(tmp_path: Path, kind: str) -> None:
    read, refused = _read_mutations(tmp_path, kind, _SEVERAL, seed=1)
    assert read + refused == 3 * _SEVERAL
    assert refused > 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is bounded as Linux does it")
@pytest.mark.parametrize("kind", KINDS)
def test_a_thousand_mutated_files(tmp_path: Path, kind: str) -> None:
    read, refused = _read_mutations(tmp_path, kind, 1000, seed=2)
    assert read + refused == 3000
