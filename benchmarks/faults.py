"""Ways to damage a case of a dataset: what `calque check` must find, each under its own name.

A damage takes the files of one case (image and mask, both NIfTI) and a generator, and rewrites them.
Files are read through nibabel and not through Calque: a fault of our reader cannot hide one of our check.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image as Picture
from scipy import ndimage

Random = np.random.Generator


def load(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels as stored, and the affine."""
    image = nib.load(path)
    return np.asanyarray(image.dataobj), image.affine


def save(path: Path, array: np.ndarray, affine: np.ndarray) -> None:
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_qform(None, 0) if skewed(affine) else image.set_qform(affine, 1)
    image.set_sform(affine, 1)
    replace(path, image.to_bytes())


def skewed(affine: np.ndarray) -> bool:
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return bool(np.abs(axes.T @ axes - np.eye(3)).max() > 1e-6)


def replace(path: Path, nifti: bytes) -> None:
    path.unlink(missing_ok=True)  # it may be a link to the original
    path.write_bytes(gzip.compress(nifti, 1))


def both(change: Callable[[np.ndarray, Random], np.ndarray]) -> Callable[[Path, Path, Random], None]:
    """The same change of the affine of image and mask."""

    def damage(image: Path, mask: Path, random: Random) -> None:
        state = random.bit_generator.state
        for path in (image, mask):
            random.bit_generator.state = state
            array, affine = load(path)
            save(path, array, change(affine.copy(), random))

    return damage


def on_image(change: Callable[[np.ndarray, Random], np.ndarray]) -> Callable[[Path, Path, Random], None]:
    def damage(image: Path, _: Path, random: Random) -> None:
        array, affine = load(image)
        save(image, change(array, random), affine)

    return damage


def on_mask(change: Callable[[np.ndarray, Random], np.ndarray]) -> Callable[[Path, Path, Random], None]:
    def damage(_: Path, mask: Path, random: Random) -> None:
        array, affine = load(mask)
        save(mask, change(array, random), affine)

    return damage


def unreadable(image: Path, mask: Path, random: Random) -> None:
    path = (image, mask)[random.integers(2)]
    data = bytearray(path.read_bytes())
    if random.integers(2):
        data = bytearray(random.bytes(len(data)))
        data[:2] = b"xx"
    else:  # flipped bits in the compressed stream
        for at in random.integers(400, len(data) - 8, 20):
            data[at] ^= 0x5A
    path.unlink()
    path.write_bytes(bytes(data))


def truncated(image: Path, mask: Path, random: Random) -> None:
    path = (image, mask)[random.integers(2)]
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: int(len(data) * random.uniform(0.3, 0.98))])


def wrong_suffix(image: Path, mask: Path, random: Random) -> None:
    path = (image, mask)[random.integers(2)]
    data = gzip.decompress(path.read_bytes())
    path.unlink()
    path.write_bytes(data)


def noisy_grid(_: Path, mask: Path, random: Random) -> None:
    array, affine = load(mask)
    affine[:3, 3] += random.uniform(0.01, 0.05, 3) * random.choice((-1, 1), 3) * spacing(affine)
    save(mask, array, affine)


def other_grid(_: Path, mask: Path, random: Random) -> None:
    array, affine = load(mask)
    way = random.integers(3)
    if way == 0:
        affine[:3, 3] += random.choice((-1, 1), 3) * random.uniform(1, 10, 3)
    elif way == 1:
        affine[:3, :3] *= random.uniform(1.1, 2)
    else:
        array = array[:-2]
    save(mask, array, affine)


def spacing(affine: np.ndarray) -> np.ndarray:
    return np.linalg.norm(affine[:3, :3], axis=0)


def other_voxels(affine: np.ndarray, random: Random) -> np.ndarray:
    affine[:3, :3] *= random.uniform(4, 8) ** random.choice((-1, 1))
    return affine


def absurd(affine: np.ndarray, random: Random) -> np.ndarray:
    affine[:3, :3] *= random.choice((1e3, 1e6, 1e-4))
    return affine


def shear(low: float, high: float) -> Callable[[np.ndarray, Random], np.ndarray]:
    def change(affine: np.ndarray, random: Random) -> np.ndarray:
        push = np.eye(3)
        push[tuple(random.permutation(3)[:2])] = random.uniform(low, high)
        affine[:3, :3] = push @ affine[:3, :3]
        return affine

    return change


def turned(affine: np.ndarray, random: Random) -> np.ndarray:
    affine[:3, random.integers(3)] *= -1
    return affine


def two_positions(image: Path, _: Path, random: Random) -> None:
    loaded = nib.load(image)
    array, affine = np.asanyarray(loaded.dataobj), loaded.affine
    moved = affine.copy()
    moved[:3, 3] += random.choice((-1, 1), 3) * random.uniform(1, 20, 3)
    again = nib.Nifti1Image(array, affine)
    again.set_qform(moved, 1)
    again.set_sform(affine, 1)
    replace(image, again.to_bytes())


def without_position(image: Path, _: Path, random: Random) -> None:
    loaded = nib.load(image)
    again = nib.Nifti1Image(np.asanyarray(loaded.dataobj), loaded.affine)
    again.set_qform(None, 0)
    again.set_sform(None, 0)
    replace(image, again.to_bytes())


def padded(image: Path, mask: Path, random: Random) -> None:
    axis, times = int(random.integers(3)), int(random.integers(4, 7))
    for path in (image, mask):
        array, affine = load(path)
        width = [(0, 0)] * 3
        width[axis] = (0, array.shape[axis] * (times - 1))
        save(path, np.pad(array, width), affine)


def holes(inside: bool) -> Callable[[Path, Path, Random], None]:
    def damage(image: Path, mask: Path, random: Random) -> None:
        array, affine = load(image)
        marked, _ = load(mask)
        places = np.argwhere((marked > 0) == inside)
        array = array.astype(np.float32)
        for place in places[random.permutation(len(places))[: random.integers(1, 50)]]:
            array[tuple(place)] = random.choice((np.nan, np.inf, -np.inf))
        save(image, array, affine)

    return damage


def cut_off(array: np.ndarray, random: Random) -> np.ndarray:
    top = np.percentile(array, random.uniform(90, 97))
    if random.integers(2):
        return np.clip(array, None, top).astype(array.dtype)
    return np.clip(array.astype(float) * 255 / max(top, 1e-6), 0, 255).astype(np.uint8)


def other_unit(array: np.ndarray, random: Random) -> np.ndarray:
    array = array.astype(np.float32)
    if random.integers(2):
        return array * np.float32(10.0 ** random.uniform(6, 9))
    return array + np.float32(random.uniform(3, 10) * np.ptp(np.percentile(array, (1, 99))))


def undeclared(array: np.ndarray, random: Random) -> np.ndarray:
    array = array.astype(np.uint8)
    places = np.argwhere(array > 0)
    for place in places[random.permutation(len(places))[: random.integers(1, 20)]]:
        array[tuple(place)] = random.integers(5, 120)
    return array


def impossible(array: np.ndarray, random: Random) -> np.ndarray:
    return array * np.float32(0.5) if random.integers(2) else -array.astype(np.int16)


def stretched(array: np.ndarray, random: Random) -> np.ndarray:
    top = max(2, int(array.max()))
    scaled = array.astype(float) * 255 / top
    return (np.floor if random.integers(2) else np.rint)(scaled).astype(np.uint8)


def smooth(array: np.ndarray, random: Random) -> np.ndarray:
    """As an editor with antialiasing leaves it, or as JPEG does; fractions in floats are a third way."""
    scaled = array.astype(float) * (255 / max(1, array.max()))
    way = random.integers(3)
    if way == 0:
        return ndimage.gaussian_filter(array.astype(np.float32), random.uniform(0.5, 1.0))
    if way == 1:
        return np.rint(ndimage.gaussian_filter(scaled, random.uniform(0.5, 0.9))).astype(np.uint8)
    return np.stack(
        [jpeg(np.rint(part).astype(np.uint8), random) for part in scaled.swapaxes(0, 2)]
    ).swapaxes(0, 2)


def jpeg(picture: np.ndarray, random: Random) -> np.ndarray:
    stream = io.BytesIO()
    Picture.fromarray(picture).save(stream, "JPEG", quality=int(random.integers(50, 90)))
    return np.asarray(Picture.open(stream))


def colours(array: np.ndarray, _: Random) -> np.ndarray:
    palette = np.array(
        [(0, 0, 0), (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)], np.uint8
    )
    return palette[array.astype(int) % 6]


def misplaced(_: Path, mask: Path, random: Random) -> None:
    """Flipped along axes, or moved by a quarter or more of the image, until little is where it was."""
    array, affine = load(mask)
    for _try in range(100):
        if random.integers(2):
            flips = [slice(None, None, random.choice((-1, 1))) for _ in range(3)]
            wrong = array[tuple(flips)]
        else:
            by = [int(random.choice((-1, 0, 1)) * random.uniform(0.25, 0.4) * n) for n in array.shape]
            wrong = ndimage.shift(array, by, order=0)
        kept = np.count_nonzero((wrong > 0) & (array > 0)) / np.count_nonzero(array)
        if kept < 0.3 and np.count_nonzero(wrong) > 0.5 * np.count_nonzero(array):
            save(mask, np.ascontiguousarray(wrong), affine)
            return
    raise ValueError(f"{mask}: no flip or shift moves this mask enough")


DAMAGES: dict[str, tuple[tuple[str, Callable[[Path, Path, Random], None]], ...]] = {
    "image-missing": (("removed", lambda image, mask, random: image.unlink()),),
    "mask-missing": (("removed", lambda image, mask, random: mask.unlink()),),
    "unreadable": (("garbage or flipped bits", unreadable),),
    "truncated": (("cut", truncated),),
    "wrong-suffix": (("plain bytes named .gz", wrong_suffix),),
    "no-position": (("codes of 0", without_position),),
    "positions-disagree": (("qform moved", two_positions),),
    "direction-skewed": (("tiny", both(shear(0.001, 0.01))), ("large", both(shear(0.05, 0.3)))),
    "spacing-absurd": (("other unit", both(absurd)),),
    "grids-differ": (("moved, scaled or cropped", other_grid),),
    "grids-nearly-equal": (("noise", noisy_grid),),
    "channels": (("doubled", on_image(lambda a, r: np.stack([a, a[::-1]], axis=-1))),),
    "not-finite": (("outside the mask", holes(False)), ("inside", holes(True))),
    "constant": (("one value", on_image(lambda a, r: np.full_like(a, r.integers(1, 99)))),),
    "clipped": (("cut off", on_image(cut_off)),),
    "labels-impossible": (("halves or negative", on_mask(impossible)),),
    "labels-undeclared": (("a few voxels", on_mask(undeclared)),),
    "labels-scaled": (("0 to 255", on_mask(stretched)),),
    "labels-float": (("float32", on_mask(lambda a, r: a.astype(np.float32))),),
    "mask-rgb": (("equal channels", on_mask(lambda a, r: np.stack([a] * 3, axis=-1))),),
    "mask-colours": (("palette", on_mask(colours)),),
    "mask-blurred": (("smoothed or JPEG", on_mask(smooth)),),
    "mask-empty": (("zeros", on_mask(lambda a, r: np.zeros_like(a))),),
    "mask-misplaced": (("flipped or moved", misplaced),),
    "orientation": (("header turned", both(turned)),),
    "spacing": (("scaled", both(other_voxels)),),
    "shape": (("padded", padded),),
    "intensity": (("scaled or offset", on_image(other_unit)),),
}
"""Name of the finding -> ways to provoke it in a case."""


def erase(value: int, keep: int) -> Callable[[Path, list[str], Random], None]:
    """Leave a class in the first `keep` cases alone."""

    def damage(root: Path, cases: list[str], random: Random) -> None:
        for case in cases[keep:]:
            path = root / "labelsTr" / f"{case}.nii.gz"
            array, affine = load(path)
            save(path, np.where(array == value, 0, array), affine)

    return damage


def shrink(root: Path, cases: list[str], random: Random) -> None:
    for case in cases:
        path = root / "labelsTr" / f"{case}.nii.gz"
        array, affine = load(path)
        places = np.argwhere(array == 1)
        kept = places[: random.integers(1, 8)]
        array = np.where(array == 1, 0, array)
        array[tuple(kept.T)] = 1
        save(path, array, affine)


def gaps(root: Path, cases: list[str], random: Random) -> None:
    to = int(random.integers(3, 200))
    manifest = json.loads((root / "dataset.json").read_text())
    manifest["labels"][str(to)] = manifest["labels"].pop("2")
    (root / "dataset.json").write_text(json.dumps(manifest))
    for case in cases:
        path = root / "labelsTr" / f"{case}.nii.gz"
        array, affine = load(path)
        save(path, np.where(array == 2, to, array).astype(np.uint8), affine)


def twin(root: Path, cases: list[str], random: Random) -> None:
    one, other = (cases[k] for k in random.permutation(len(cases))[:2])
    for folder in ("imagesTr", "labelsTr"):
        array, affine = load(root / folder / f"{one}.nii.gz")
        save(root / folder / f"{other}.nii.gz", array, affine)


def tested(root: Path, case: str, name: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Also list a training case, changed, among those to be tested on."""
    array, affine = load(root / "imagesTr" / f"{case}.nii.gz")
    (root / "imagesTs").mkdir(exist_ok=True)
    save(root / "imagesTs" / f"{name}.nii.gz", change(array), affine)
    manifest = json.loads((root / "dataset.json").read_text())
    manifest["test"] = [f"./imagesTs/{name}.nii.gz"]
    (root / "dataset.json").write_text(json.dumps(manifest))


def twin_across(root: Path, cases: list[str], random: Random) -> None:
    tested(root, str(random.choice(cases)), "again", lambda array: array)


def patient_across(root: Path, cases: list[str], random: Random) -> str:
    case = str(random.choice(cases))
    tested(root, case, f"{case}_later", lambda a: a + np.asarray(random.integers(1, 4, a.shape), a.dtype))
    return r"^(.*?_\d+)"


WHOLE: dict[str, tuple[str, Callable[[Path, list[str], Random], str | None]]] = {
    "class-absent": ("erased everywhere", erase(2, 0)),
    "class-rare": ("left in 2 cases", erase(2, 2)),
    "class-tiny": ("a few voxels left", shrink),
    "labels-gaps": ("2 becomes another value", gaps),
    "duplicate": ("one case copied over another", twin),
    "duplicate-across-split": ("a training image in the test", twin_across),
    "patient-across-split": ("a later scan in the test", patient_across),
}
"""Name of the finding -> how to provoke it in a dataset; the damage may give a pattern of patients' names."""
