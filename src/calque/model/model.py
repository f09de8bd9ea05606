"""`Model`: plan, weights and card."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, overload

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save as format_tensors
from torch import nn
from torch.overrides import TorchFunctionMode

from calque import __version__
from calque.dataset.reading import read_scan
from calque.errors import InputError, LabelError, ModelError
from calque.geometry import Grid
from calque.image import Image, LabelMap
from calque.io.dicom import Identity
from calque.labels import Labels
from calque.model import archive
from calque.model.card import Card
from calque.model.stored import OpenFile, State, opened, stored_state
from calque.nets import NetworkConfig, build, is_unet
from calque.nets.others import GIVEN, Maker, give_network
from calque.nets.unet import finest_head
from calque.parallel import Outcome
from calque.planning import Plan
from calque.prediction import Learned, Prediction, PredictOptions, Predictor, predict_many
from calque.prediction.options import labels_alone
from calque.prediction.scans import Input, Scan

_MOST_BLOCKS = 10_000


@dataclass(frozen=True, eq=False)
class Model:
    """A trained model.

    Args:
        plan: how it was trained, and how images must be prepared.
        members: weights, one per fold; together they are an ensemble.
        card: where it comes from.
        first: of a cascade: weights of the stage before, likewise an ensemble.

    Raises:
        ModelError: no member, weights that do not fit the plan's network, or that are not finite.
    """

    plan: Plan
    members: tuple[State, ...]
    card: Card
    first: tuple[State, ...] = ()

    def __post_init__(self) -> None:
        if not self.members:
            raise ModelError("A model has at least one member", got=0)
        _check_states(self.members, self.plan, "member")
        if bool(self.first) != (self.plan.first is not None):
            raise ModelError(
                "A cascade holds the weights of both stages", got=f"{len(self.first)} of the first"
            )
        if self.plan.first is not None:
            _check_states(self.first, self.plan.first, "first stage, member")

    def __repr__(self) -> str:
        """On one line: weights and plan are looked at by name."""
        classes, members = ", ".join(self.plan.labels.names), len(self.members)
        return f"<Model of {self.card.dataset}: {classes}; {members} fold{'s' * (members > 1)}>"

    def save(self, path: Path | str) -> None:
        """Write a `.calque` file, whole or not at all; the same model gives the same bytes.

        Raises:
            ResourceError: the disk is full.
            InputError: the place cannot be written to.
        """
        members = [_formatted(state) for state in self.members]
        archive.write(path, self.plan, self.card, members, [_formatted(state) for state in self.first])

    @classmethod
    def load(cls, path: Path | str, network: nn.Module | Maker | None = None) -> Self:
        """Read a `.calque` file; nothing in it is executed.

        Args:
            path: of the file.
            network: where the plan names a module that is not part of Calque, or what makes it; its weights
                do not matter.

        Raises:
            ReadError: there is no such file.
            ModelError: the file is damaged, incomplete, of an unknown version, or its parts do not agree.
        """
        manifest, members, first = _read(Path(path))
        if network is not None:
            give_network(network, manifest.plan.network.kind.removeprefix(GIVEN))
        try:
            return cls(manifest.plan, tuple(members), manifest.card, tuple(first))
        except ModelError as problem:
            problem.where = f"{path}, {problem.where}" if problem.where else path
            raise

    def with_learned(self, learned: Learned) -> Self:
        """The same weights, with another record of what validation cases told."""
        return replace(self, card=self.card.model_copy(update={"learned": learned}))

    def with_labels(self, labels: Labels) -> Self:
        """The same weights; its classes have other names, colours or codes.

        Raises:
            LabelError: other values, regions or ignore value than those it was trained with.
        """
        own = self.plan.labels
        if (labels.values, labels.regions, labels.ignore) != (own.values, own.regions, own.ignore):
            raise LabelError(
                "A model keeps the classes that it was trained with", expected=own.values, got=labels.values
            )
        first = self.plan.first and self.plan.first.model_copy(update={"labels": labels})
        return replace(self, plan=self.plan.model_copy(update={"labels": labels, "first": first}))

    @property
    def identity(self) -> Identity:
        """As which DICOM objects name it: the data it learnt from, the version of Calque, the key."""
        return Identity(name=self.card.dataset, version=__version__, key=self.key)

    @property
    def first_stage(self) -> Model | None:
        """Of a cascade: the stage before, as a model of its own."""
        return None if self.plan.first is None else Model(self.plan.first, self.first, self.card)

    def networks(self) -> list[nn.Module]:
        """A network per member, with its weights, in eval mode; made once; of a cascade the second stage."""
        return list(self._networks)

    @cached_property
    def _networks(self) -> tuple[nn.Module, ...]:
        return tuple(self._network(state) for state in self.members)

    def _network(self, state: State) -> nn.Module:
        network = _skeleton(self.plan.network)
        if is_unet(self.plan.network):
            network = network.to_empty(device="cpu")  # of others, buffers that no file holds must stay
        network.load_state_dict(dict(state))  # copies: members stay as they are whatever is done to networks
        return network.eval()

    @cached_property
    def key(self) -> str:
        """A name for the network and its weights, the same wherever they are; the card does not count."""
        found = hashlib.sha256(self.plan.network.to_json().encode())
        for state in (*self.members, *self.first):
            for name in sorted(state):
                found.update(name.encode())
                found.update(state[name].detach().cpu().contiguous().numpy().tobytes())
        return found.hexdigest()

    def predictor(self, options: PredictOptions | None = None) -> Predictor:
        """Ready for any number of images; made once for the same options."""
        options = options or PredictOptions()
        if options not in self._predictors:
            networks, first = _Members(self.members, self._network), self.first_stage
            self._predictors[options] = Predictor(
                self.plan,
                networks,
                options,
                learned=self.card.learned,
                first=None if first is None else first.as_first(options),
                key=self.key,
            )
        return self._predictors[options]

    def as_first(self, options: PredictOptions) -> Predictor:
        """As the first stage of a cascade: its label map and nothing else, as it was seen in training."""
        return Predictor(
            self.plan, _Members(self.members, self._network), labels_alone(options), key=self.key
        )

    @cached_property
    def _predictors(self) -> dict[PredictOptions, Predictor]:
        return {}

    def predict(
        self,
        image: Image | NDArray[np.generic] | Path | str | Sequence[Path | str],
        grid: Grid | None = None,
        **options: Any,
    ) -> LabelMap:
        """Label one image, given as such, as an array with its grid, as a file, or as a file per channel.

        Args:
            image: its channels in the plan's order; an array is (z, y, x) or (channel, z, y, x).
            grid: of an array.
            options: fields of `PredictOptions`.

        Raises:
            InputError: the image cannot be read, or has other channels than the model; an array has no grid,
                or something else has one.
        """
        if grid is not None and not isinstance(image, np.ndarray):
            raise InputError("A grid goes with an array; an image or a file has its own", got="both")
        if isinstance(image, np.ndarray):
            if grid is None:
                raise InputError("An array alone does not say where its voxels are", fix="give its grid")
            array = image[None] if image.ndim == 3 else image
            image = Image(array, grid, self.plan.channels)
        elif not isinstance(image, Image):
            image = read_scan(image, self.plan.channels)
        return self.predictor(PredictOptions(**options))(image).label_map

    def predict_many(
        self, inputs: Path | str | Sequence[Input], **options: Any
    ) -> Iterator[Outcome[Scan, Prediction]]:
        """Predict many scans, each read while the one before is computed.

        Args:
            inputs: a file or folder, or several.
            options: fields of `PredictOptions`.

        Yields:
            For each scan in turn its `Prediction`, or the error that it raised: `outcome.unwrap()`.

        Raises:
            InputError: there is nothing to predict, or two scans have one name.
        """
        return predict_many(self.predictor(PredictOptions(**options)), inputs)


def _read(path: Path) -> tuple[archive.Manifest, list[State], list[State]]:
    """What a model file holds; weights stay in it until they are looked at."""
    files: list[OpenFile | None] = []

    def keep(part: archive.Part) -> State:
        files[:] = files or [opened(path, part.handle)]
        try:
            return stored_state(files[0], part.data, part.offset)
        except (SafetensorError, ValueError, KeyError) as problem:
            raise ModelError("The weights cannot be read", where=path, got=problem) from None

    return archive.read(path, keep)


class _Members(Sequence[nn.Module]):
    """Networks that are made when somebody looks at them: where a cache holds them ready, nobody does."""

    def __init__(self, states: tuple[State, ...], make: Callable[[State], nn.Module]) -> None:
        self._states, self._make = states, make

    def __len__(self) -> int:
        return len(self._states)

    def heads(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """As `UNet.head` of each, without the rest."""
        return [finest_head(state) for state in self._states]

    @overload
    def __getitem__(self, index: int) -> nn.Module: ...
    @overload
    def __getitem__(self, index: slice) -> list[nn.Module]: ...
    def __getitem__(self, index: int | slice) -> nn.Module | list[nn.Module]:
        if isinstance(index, slice):
            return [self._make(state) for state in self._states[index]]
        return self._make(self._states[index])


class _Unset(TorchFunctionMode):
    """Leaves initialisation out: on the meta device it fills nothing, and costs a second of imports."""

    _filling = (torch.Tensor.normal_, torch.Tensor.uniform_, torch.Tensor.zero_, torch.Tensor.fill_)

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if func in self._filling or getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _skeleton(config: NetworkConfig) -> nn.Module:
    """The network without memory for its weights: to know their names and shapes."""
    blocks = sum(config.blocks) + sum(config.decoder_blocks)
    if blocks > _MOST_BLOCKS:
        raise ModelError(
            "A network of this size cannot be meant", expected=f"at most {_MOST_BLOCKS}", got=blocks
        )
    if not is_unet(config):
        return build(config)
    try:
        with torch.device("meta"), _Unset():
            return build(config)
    except (RuntimeError, TypeError, OverflowError) as problem:  # sizes beyond 64 bits
        raise ModelError("The network cannot be built", got=problem) from None


def _formatted(state: State) -> bytes:
    return format_tensors({name: t.detach().cpu().clone().contiguous() for name, t in state.items()})


def _check_states(states: Sequence[State], plan: Plan, what: str) -> None:
    expected = _skeleton(plan.network).state_dict()
    for number, state in enumerate(states):
        _check_state(state, expected, f"{what} {number}")


def _check_state(state: State, expected: State, where: str) -> None:
    missing, strange = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if missing or strange:
        raise ModelError(
            "The weights are not those of the plan's network",
            where=where,
            expected=f"{len(expected)} tensors" + (f", among them {missing[:3]}" if missing else ""),
            got=f"{len(state)} tensors" + (f", among them {strange[:3]}" if strange else ""),
        )
    for name, tensor in state.items():
        right = expected[name]
        if tensor.shape != right.shape or tensor.dtype != right.dtype:
            raise ModelError(
                "A tensor does not fit the plan's network",
                where=f"{where}, {name}",
                expected=f"{tuple(right.shape)} of {right.dtype}",
                got=f"{tuple(tensor.shape)} of {tensor.dtype}",
            )
        if not torch.isfinite(tensor).all():
            raise ModelError("A tensor holds values that are not finite", where=f"{where}, {name}")
