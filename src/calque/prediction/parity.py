"""Whether a lower precision gives the labels of f32: asked of each model, on real images."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from calque.errors import InputError, ReadError
from calque.heads import Decoder
from calque.io import write_text_atomic
from calque.prediction.engines import Engine
from calque.prediction.last_layer import classes_of
from calque.prediction.learned import Parity
from calque.prediction.openvino_convert import FORM
from calque.prediction.options import Precision
from calque.prediction.padding import Rows
from calque.prediction.tiling import window_starts

_WINDOWS = 2


def compare(
    pairs: Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]], precision: Precision, engine: str
) -> Parity:
    """The record of label maps in `precision` beside those in f32.

    Args:
        pairs: per image, labels in the lower precision and in f32, of one shape.
        precision: the lower one.
        engine: that computed both.

    Raises:
        InputError: there is no image.
    """
    if not pairs:
        raise InputError("Precisions are compared on at least one image", got=0)
    same = sum(int(np.count_nonzero(low == high)) for low, high in pairs)
    hits: dict[int, int] = {}
    sizes: dict[int, int] = {}
    for low, high in pairs:
        for value in np.union1d(np.unique(low), np.unique(high)):
            key, one, other = int(value), low == value, high == value
            hits[key] = hits.get(key, 0) + int(np.count_nonzero(one & other))
            sizes[key] = sizes.get(key, 0) + int(np.count_nonzero(one)) + int(np.count_nonzero(other))
    dice = [2 * hits[value] / sizes[value] for value in sizes if value != 0] or [1.0]
    return Parity(
        precision=precision,
        engine=engine,
        cases=len(pairs),
        same=same / sum(low.size for low, _ in pairs),
        dice=float(np.mean(dice)),
    )


def quick_parity(
    make: Callable[[Precision], Engine],
    rows: Rows,
    patch: tuple[int, int, int],
    back: Sequence[int],
    decoder: Decoder,
) -> Parity:
    """The record of a model that has none: on two windows of the first image that comes along.

    Args:
        make: an engine in a precision.
        rows: the prepared image, streamed.
        patch: of a window, in streamed axes.
        back: where the network's (z, y, x) are among the streamed axes.
        decoder: what logits stand for.
    """
    windows = _liveliest(rows, patch)
    labels = []
    engine_name = ""
    for precision in ("bf16", "f32"):
        engine = make("bf16" if precision == "bf16" else "f32")
        engine_name = engine.name
        turned = [window.permute(0, 1, *(2 + axis for axis in back)) for window in windows]
        labels.append([classes_of(engine(window)[0], decoder, engine.last) for window in turned])
    pairs = list(zip(*labels, strict=True))
    return compare(pairs, "bf16", engine_name).model_copy(update={"cases": 1})


def _liveliest(rows: Rows, patch: tuple[int, int, int]) -> list[torch.Tensor]:
    """The windows (1, c, z, y, x) in the middle of the image's first axis in which most is to be seen."""
    shape = tuple(max(n, p) for n, p in zip(rows.shape[1:], patch, strict=True))
    starts = window_starts((shape[0], shape[1], shape[2]), patch)
    top = min(starts[0][len(starts[0]) // 2], max(0, rows.shape[1] - patch[0]))
    part = rows(slice(top, min(top + patch[0], rows.shape[1])))
    missing = [(0, 0), *((0, max(0, p - n)) for p, n in zip(patch, part.shape[1:], strict=True))]
    part = np.pad(part, missing)
    found = [part[:, :, y : y + patch[1], x : x + patch[2]] for y in starts[1] for x in starts[2]]
    found.sort(key=lambda window: -float(window.std()))
    return [torch.from_numpy(np.ascontiguousarray(window))[None] for window in found[:_WINDOWS]]


def remembered(cache: Path | None, key: str | None, engine: str, make: Callable[[], Parity]) -> Parity:
    """A quick check that is done once for a model on a machine, where there is a cache."""
    if cache is None or key is None:
        return make()
    name = hashlib.sha256(json.dumps([key, engine, torch.__version__, FORM]).encode()).hexdigest()[:32]
    path = cache / "parity" / f"{name}.json"
    try:
        return Parity.read(path)
    except ReadError:
        found = make()
        write_text_atomic(path, found.to_json())
        return found
