"""Label a NIfTI scan with an exported Calque model: numpy and onnxruntime or openvino, nothing else.

    calque export model.calque --to onnx -o exported
    python run_exported.py exported scan.nii.gz mask.nii.gz

It does what `calque predict --mirror off --precision f32` does, in the plainest way: everything is held in
memory at once. Take what you need of it into your own program.
"""

import gzip
import itertools
import json
import math
import struct
import sys
from pathlib import Path

import numpy as np

TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}  # NIfTI-1 codes


def read_nifti(path):
    """Array (z, y, x), affine from (z, y, x) to LPS millimetres, and the header's 348 bytes."""
    data = Path(path).read_bytes()
    data = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    order = "<" if struct.unpack("<i", data[:4])[0] == 348 else ">"

    def get(form, at):
        return struct.unpack(order + form, data[at : at + struct.calcsize(order + form)])

    dims, code, pixdim = get("8h", 40), get("h", 70)[0], get("8f", 76)
    offset, slope, shift = int(get("f", 108)[0]), *get("2f", 112)
    shape = tuple(max(1, n) for n in dims[1:4])
    raw = np.frombuffer(data, order + TYPES[code], math.prod(shape), offset).reshape(shape[::-1])
    scaled = slope not in (0.0, 1.0) or (slope == 1.0 and shift != 0.0)
    array = raw.astype(np.float64) * slope + shift if scaled else raw
    if get("h", 254)[0] > 0:  # sform, else qform
        rows = np.array(get("12f", 280), np.float64).reshape(3, 4)
    else:
        rows = quaternion(pixdim, get("6f", 256))
    rows = rows * np.array([[-1.0], [-1.0], [1.0]])  # RAS to LPS
    affine = np.eye(4)
    affine[:3] = rows[:, [2, 1, 0, 3]]  # columns (x, y, z) to (z, y, x)
    return array, affine, bytearray(data[:352])


def quaternion(pixdim, values):
    """(3, 4) affine of NIfTI's qform."""
    b, c, d, x, y, z = values
    a = math.sqrt(max(0.0, 1.0 - b * b - c * c - d * d))
    turn = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    turn = turn * np.array([pixdim[1], pixdim[2], pixdim[3] * (-1.0 if pixdim[0] < 0 else 1.0)])
    return np.column_stack([turn, (x, y, z)])


def write_nifti(path, labels, header):
    """(z, y, x) labels with the scan's own header."""
    kind = np.uint8 if labels.max(initial=0) < 256 else np.uint16
    order = "<" if struct.unpack("<i", header[:4])[0] == 348 else ">"
    header[70:74] = struct.pack(order + "2h", 2 if kind == np.uint8 else 512, 8 * np.dtype(kind).itemsize)
    header[108:120] = struct.pack(order + "3f", 352.0, 1.0, 0.0)
    header[344:352] = b"n+1\0" + bytes(4)
    body = bytes(header) + labels.astype(np.dtype(kind).newbyteorder(order)).tobytes()
    Path(path).write_bytes(gzip.compress(body, 5) if str(path).endswith(".gz") else body)


def turn_axes(affine, plan):
    """Which stored axis becomes which, and which are flipped, for the plan's orientation."""
    if plan["orientation"] == "stored":
        return tuple(plan["transpose"]), (False, False, False)
    cosines = (affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).T  # (array axis, patient axis)
    patient = max(
        itertools.permutations(range(3)), key=lambda p: sum(abs(cosines[a, p[a]]) for a in range(3))
    )
    axes, flips = [], []
    for letter in plan["orientation"]:
        wanted = "LPSRAI".index(letter)
        axis = patient.index(wanted % 3)
        axes.append(axis)
        flips.append((cosines[axis, wanted % 3] > 0) != (wanted < 3))
    return tuple(axes), tuple(flips)


def normalise(channel, rule):
    """One channel, float32."""
    channel = np.asarray(channel, np.float32)
    if rule["scheme"] == "ct":
        channel = np.clip(channel, np.float32(rule["low"]), np.float32(rule["high"]))
        return (channel - np.float32(rule["mean"])) / np.float32(rule["std"])
    if rule["nonzero"]:
        sys.exit("normalisation within the body needs scipy, which this example does without")
    if rule["scheme"] == "none":
        return channel
    mean, std = channel.mean(dtype=np.float64), max(channel.std(dtype=np.float64), 1e-8)
    return (channel - np.float32(mean)) / np.float32(std)


def new_shape(shape, spacing, target):
    """Voxels at `target` spacing over the same extent; halves always round alike."""
    ideal = np.array(spacing) / np.array(target) * np.array(shape)
    half = np.floor(ideal) + 0.5
    ideal = np.where(np.abs(ideal - half) <= 1e-6 * ideal, half, ideal)
    return tuple(max(1, int(n)) for n in np.round(ideal))


def spline_orders(order, separate, source, target):
    """Along (z, y, x); 0 across thick slices, by nnU-Net's rule where the plan says "auto"."""
    thick = 0 if separate is True else None
    if separate == "auto":
        thin = [s for s in (source, target) if max(s) / min(s) > 3.0]
        longest = [a for a in range(3) if thin and thin[0][a] > max(thin[0]) * (1 - 1e-5)]
        thick = longest[0] if len(longest) == 1 else None
    return [0 if axis == thick else order for axis in range(3)]


def weights(source, target, order):
    """(target, source) matrix of a B-spline of order 0, 1 or 3; beyond the edge lies the edge."""
    if order == 0:
        matrix = np.zeros((target, source))
        matrix[np.arange(target), (2 * np.arange(target) + 1) * source // (2 * target)] = 1.0
        return matrix.astype(np.float32)
    reach, pole = 18, math.sqrt(3.0) - 2.0
    position = (np.arange(target) + 0.5) * source / target - 0.5
    samples = np.arange(-reach, source + reach)
    if order == 1:
        wide = np.maximum(0.0, 1.0 - np.abs(position[:, None] - samples))
    else:
        wide = np.zeros((target, len(samples)))
        for offset in (-1, 0, 1, 2):
            knot = np.floor(position) + offset
            d = np.abs(position - knot)
            bump = np.where(d < 1.0, 2 / 3 - d**2 + d**3 / 2, np.maximum(0.0, 2.0 - d) ** 3 / 6)
            wide += bump[:, None] * math.sqrt(3.0) * pole ** np.abs(knot[:, None] - samples)
    matrix = wide[:, reach:-reach].copy()
    matrix[:, 0] += wide[:, :reach].sum(axis=1)
    matrix[:, -1] += wide[:, -reach:].sum(axis=1)
    matrix[np.abs(matrix) < 1e-9] = 0.0
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def resample(array, shape, orders):
    """(k, z, y, x) to `shape` over the same extent; cubic results stay within the source's range."""
    result = array
    for axis in range(3):
        if array.shape[1 + axis] != shape[axis]:
            matrix = weights(array.shape[1 + axis], shape[axis], orders[axis])
            result = np.moveaxis(np.tensordot(matrix, result, (1, 1 + axis)), 0, 1 + axis)
    if 3 in orders and result is not array:
        alone = [a for a in range(3) if orders[a] == 0]
        within = tuple(1 + a for a in range(3) if a not in alone)
        low, high = array.min(axis=within, keepdims=True), array.max(axis=within, keepdims=True)
        for axis in alone:
            n, m = array.shape[1 + axis], shape[axis]
            pick = (2 * np.arange(m) + 1) * n // (2 * m)
            low, high = low.take(pick, 1 + axis), high.take(pick, 1 + axis)
        result = np.clip(result, low, high)
    return np.ascontiguousarray(result, np.float32)


def gaussian(size):
    """Importance along one axis: sigma an eighth of the window."""
    peak = np.zeros(size)
    peak[size // 2] = 1.0
    sigma = size / 8
    radius = int(4.0 * sigma + 0.5)
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    kernel /= kernel.sum()
    blurred = np.convolve(peak, kernel, "full")[radius : radius + size]
    blurred /= blurred.max()
    blurred[blurred == 0] = blurred[blurred > 0].min()
    return blurred


def predict_windows(run, array, outputs, patch, overlap):
    """Logits (k, z, y, x): windows that overlap, weighted by a Gaussian, averaged."""
    missing = [max(0, p - n) for n, p in zip(array.shape[1:], patch, strict=True)]
    before = [m // 2 for m in missing]
    padded = np.pad(array, [(0, 0), *((b, m - b) for b, m in zip(before, missing, strict=True))])
    starts = []
    for n, p in zip(padded.shape[1:], patch, strict=True):
        count = math.ceil((n - p) / max(1.0, p * (1 - overlap))) + 1
        starts.append([round(k * (n - p) / max(count - 1, 1)) for k in range(count)])
    z, y, x = (gaussian(p) for p in patch)
    weight = (z[:, None, None] * y[:, None] * x).astype(np.float32)
    total = np.zeros((outputs, *padded.shape[1:]), np.float32)
    share = np.zeros(padded.shape[1:], np.float64)
    for corner in itertools.product(*starts):
        place = tuple(slice(c, c + p) for c, p in zip(corner, patch, strict=True))
        window = np.ascontiguousarray(padded[(slice(None), *place)][None])
        total[(slice(None), *place)] += run(window)[0] * weight
        share[place] += weight
    logits = total / share.astype(np.float32)
    return logits[(slice(None), *(slice(b, b + n) for b, n in zip(before, array.shape[1:], strict=True)))]


def network(folder, recipe):
    """A function from windows (1, c, z, y, x) to logits (1, k, z, y, x)."""
    path = Path(folder) / recipe["network"]
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return lambda window: session.run([recipe["outputs"]], {recipe["inputs"][0]: window})[0]
    import openvino

    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda window: compiled([window])[0]


def main(folder, scans, output):
    """From scan files (one per channel) to a mask."""
    recipe = json.loads((Path(folder) / "calque.json").read_text(encoding="utf-8"))
    plan = recipe["plan"]
    read = [read_nifti(path) for path in scans]
    affine, header = read[0][1:]
    stored = np.stack([array for array, _, _ in read])
    axes, flips = turn_axes(affine, plan)
    back = tuple(slice(None, None, -1 if f else 1) for f in flips)
    turned = stored.transpose(0, *(1 + a for a in axes))[(slice(None), *back)]
    spacing = tuple(float(s) for s in np.linalg.norm(affine[:3, :3], axis=0)[list(axes)])
    box = tuple(slice(0, n) for n in turned.shape[1:])
    if plan["crop"] == "nonzero":
        there = np.nonzero((turned != 0).any(axis=0))
        box = tuple(slice(int(i.min()), int(i.max()) + 1) for i in there)
    kept = turned[(slice(None), *box)]
    target = tuple(plan["spacing"])
    if plan["network"]["dimensions"] == 2:
        target = (spacing[0], *target[1:])
    shape = new_shape(kept.shape[1:], spacing, target)
    orders = spline_orders(plan["image_order"], plan["separate_z"], spacing, target)
    normal = [
        normalise(channel, rule)[None] for channel, rule in zip(kept, plan["normalisation"], strict=True)
    ]
    prepared = np.concatenate([resample(channel, shape, orders) for channel in normal])
    outputs = 1 + len(recipe["classes"])
    logits = predict_windows(network(folder, recipe), prepared, outputs, plan["patch"], recipe["overlap"])
    separate = "auto" if plan["separate_z"] == "auto" else False
    logits = resample(logits, kept.shape[1:], spline_orders(1, separate, target, spacing))
    table = np.array([0, *(value for _, value in recipe["classes"])])
    labels = np.zeros(stored.shape[1:], table.dtype)
    labels.transpose(axes)[back][box] = table[logits.argmax(axis=0)]
    write_nifti(output, labels, header)


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: run_exported.py FOLDER SCAN... MASK")
    main(sys.argv[1], sys.argv[2:-1], sys.argv[-1])
