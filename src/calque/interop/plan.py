"""nnU-Net's plans -> `Plan`: what it does to images, said in our words, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from calque.errors import ModelError
from calque.geometry import Shape, Spacing
from calque.interop.architecture import network_config
from calque.interop.foreign import Configuration, DatasetJson, FingerprintJson, Plans, Properties
from calque.interop.outputs import outputs_of
from calque.planning.model import Augmentation, Normalisation, Optimiser, Plan
from calque.planning.schedule import Schedule
from calque.planning.seen import Fingerprint, Intensity

READERS = {
    "SimpleITKIO": "stored",
    "NibabelIO": "stored",
    "NaturalImage2DIO": "stored",
    "Tiff3DIO": "stored",
    "NibabelIOWithReorient": "SAR",
}
"""nnU-Net's image readers -> the array axes (z, y, x) that they give: as the file has them, or RAS."""

_RESAMPLING = "resample_data_or_seg_to_shape"
_EPOCH_STEPS = 250


@dataclass(frozen=True)
class Foundation:
    """What was read.

    Args:
        plans: plans.json.
        dataset: dataset.json.
        fingerprint: dataset_fingerprint.json.
        configuration: the one that was trained.
        where: for messages.
    """

    plans: Plans
    dataset: DatasetJson
    fingerprint: FingerprintJson
    configuration: Configuration
    where: Path


def plan_of(read: Foundation, mirror_axes: tuple[int, ...], epochs: int) -> Plan:
    """The plan with which Calque prepares images and predicts as nnU-Net does.

    Args:
        read: nnU-Net's files.
        mirror_axes: of the network's input, 0 for its first spatial axis.
        epochs: that were trained.

    Raises:
        ModelError: something that Calque does differently or not at all.
    """
    where, configuration = read.where, read.configuration
    _require_supported(read)
    dimensions: Literal[2, 3] = 2 if len(configuration.patch_size) == 2 else 3
    flat = 3 - dimensions
    channels = _channels(read)
    labels, heads = outputs_of(read.dataset, where)
    sizes = (len(channels), len(heads) or labels.outputs)
    orientation, transpose = _axes(read)
    mirrored = {axis + flat for axis in mirror_axes}
    try:
        return Plan(
            dataset=read.plans.dataset_name,
            channels=channels,
            labels=labels,
            heads=heads,
            orientation=orientation,
            transpose=transpose,
            spacing=_spacing(configuration.spacing),
            crop="nonzero",
            image_order=configuration.resampling_fn_data_kwargs.order,
            separate_z=_separate(read),
            normalisation=_normalisation(read, channels),
            patch=_patch(configuration.patch_size),
            batch=configuration.batch_size,
            network=network_config(configuration.architecture, dimensions, sizes, where),
            augmentation=Augmentation(mirror=(0 in mirrored, 1 in mirrored, 2 in mirrored)),
            optimiser=Optimiser(name="sgd", rate=1e-2, weight_decay=3e-5, momentum=0.99, clip=12.0),
            schedule=Schedule(steps=max(1, epochs) * _EPOCH_STEPS),
            fingerprint=_fingerprint(read, len(channels)),
            reasons={"": f"as in nnU-Net's {read.plans.plans_name}; schedule, optimiser: nnU-Net's defaults"},
        )
    except ValidationError as problem:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in problem.errors()[:5])
        raise ModelError("These plans contradict themselves", where=where, got=wrong) from None


def _require_supported(read: Foundation) -> None:
    configuration = read.configuration
    data, logits = configuration.resampling_fn_data_kwargs, configuration.resampling_fn_probabilities_kwargs
    functions = {configuration.resampling_fn_data, configuration.resampling_fn_probabilities}
    checks: tuple[tuple[bool, str, object], ...] = (
        (configuration.previous_stage is None, "it is a cascade, which takes another network's "
         "masks too: import the first stage alone", configuration.previous_stage),
        (configuration.preprocessor_name == "DefaultPreprocessor", "its own preprocessor",
         configuration.preprocessor_name),
        (read.plans.label_manager == "LabelManager", "its own label manager", read.plans.label_manager),
        (functions == {_RESAMPLING}, "its own resampling", sorted(functions)),
        (data.order in (0, 1, 3), "images resampled with another order", data.order),
        (logits.order == 1, "logits resampled with another order", logits.order),
        (data.order_z == logits.order_z == 0, "thick slices resampled with another order",
         (data.order_z, logits.order_z)),
        (data.force_separate_z == logits.force_separate_z, "images and logits resampled differently",
         (data.force_separate_z, logits.force_separate_z)),
        (data.force_separate_z is not True, "thick slices forced", data.force_separate_z),
    )  # fmt: skip
    for holds, why, got in checks:
        if not holds:
            raise ModelError(f"This model cannot be imported: {why}", where=read.where, got=got)


def _axes(read: Foundation) -> tuple[str, Shape]:
    """Orientation and transposition; nnU-Net takes arrays as its reader gives them, and may permute them."""
    reader = read.plans.image_reader_writer
    if reader not in READERS:
        raise ModelError(
            "This model reads images in a way that Calque does not know",
            where=read.where,
            expected=sorted(READERS),
            got=reader,
        )
    order = read.plans.transpose_forward
    if sorted(order) != [0, 1, 2]:
        raise ModelError("transpose_forward must permute three axes", where=read.where, got=order)
    if READERS[reader] == "stored":
        return "stored", order
    return "".join(READERS[reader][axis] for axis in order), (0, 1, 2)


def _channels(read: Foundation) -> tuple[str, ...]:
    names = read.dataset.channel_names
    if sorted(names) != sorted(str(k) for k in range(len(names))):
        raise ModelError("Channels must be numbered from 0", where=read.where, got=sorted(names))
    return tuple(names[str(k)] for k in range(len(names)))


def _separate(read: Foundation) -> Literal[False, "auto"]:
    """force_separate_z: None leaves it to the spacing of each image."""
    return False if read.configuration.resampling_fn_data_kwargs.force_separate_z is False else "auto"


def _normalisation(read: Foundation, channels: tuple[str, ...]) -> tuple[Normalisation, ...]:
    schemes, masked = read.configuration.normalization_schemes, read.configuration.use_mask_for_norm
    if not len(schemes) == len(masked) == len(channels):
        raise ModelError("One normalisation per channel", where=read.where, got=(schemes, masked))
    return tuple(
        _one_normalisation(scheme, mask, _properties(read, number), read.where)
        for number, (scheme, mask) in enumerate(zip(schemes, masked, strict=True))
    )


def _one_normalisation(scheme: str, masked: bool, known: Properties, where: Path) -> Normalisation:
    if scheme == "CTNormalization":
        return Normalisation(
            scheme="ct",
            low=known.percentile_00_5,
            high=known.percentile_99_5,
            mean=known.mean,
            std=max(known.std, 1e-8),
        )
    if scheme == "ZScoreNormalization":
        return Normalisation(scheme="zscore", nonzero=masked)
    if scheme == "NoNormalization":
        return Normalisation(scheme="none")
    raise ModelError(
        "This model cannot be imported: another normalisation",
        where=where,
        expected="ZScoreNormalization, CTNormalization, NoNormalization",
        got=scheme,
    )


def _properties(read: Foundation, channel: int) -> Properties:
    known = read.plans.foreground_intensity_properties_per_channel
    if str(channel) not in known:
        raise ModelError("The plans know no intensities of a channel", where=read.where, got=channel)
    return known[str(channel)]


def _fingerprint(read: Foundation, channels: int) -> Fingerprint:
    """What nnU-Net kept of its own; it counts no classes and no orientations."""
    known = [_properties(read, number) for number in range(channels)]
    order = read.plans.transpose_forward
    return Fingerprint(
        cases=max(1, len(read.fingerprint.spacings), read.dataset.numTraining),
        spacings=tuple((s[order[0]], s[order[1]], s[order[2]]) for s in read.fingerprint.spacings),
        shapes=tuple((n[order[0]], n[order[1]], n[order[2]]) for n in read.fingerprint.shapes_after_crop),
        orientations={},
        intensities=tuple(
            Intensity(mean=p.mean, std=p.std, low=p.percentile_00_5, median=p.median, high=p.percentile_99_5)
            for p in known
        ),
        class_fractions=(),
        cases_with_class=(),
    )


def _patch(size: tuple[int, ...]) -> Shape:
    z, y, x = (1,) * (3 - len(size)) + size
    return z, y, x


def _spacing(spacing: tuple[float, ...]) -> Spacing:
    """2-D configurations leave the slices where they are; the 1 in front is not used."""
    z, y, x = (1.0,) * (3 - len(spacing)) + spacing
    return z, y, x
