"""Importing models of nnU-Net: what is carried over, and what is refused."""

from __future__ import annotations

import contextlib
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from calque.errors import CalqueError, ModelError, ReadError, ResourceError
from calque.geometry import Grid
from calque.image import Image
from calque.interop import results
from calque.interop.nnunet import import_nnunet
from calque.model import Model
from calque.planning.model import Normalisation

from . import foreign_models as fm

SMALL = {"overlap": 0.5, "mirror": "off", "precision": "f32"}


def image(shape: tuple[int, int, int] = (7, 9, 10), channels: int = 1) -> Image:
    array = np.random.default_rng(0).normal(5, 2, (channels, *shape)).astype(np.float32)
    return Image(array, Grid.from_parts(shape, (1.5, 1.0, 0.8)), tuple(f"C{k}" for k in range(channels)))


@pytest.mark.parametrize("kind", ["plain", "residual"])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_networks_and_weights_come_over(tmp_path: Path, kind: str, dimensions: int) -> None:
    name = "2d" if dimensions == 2 else "3d_lowres"
    part = fm.configuration(dimensions, 2, architecture=fm.architecture(kind, dimensions))
    tensors = fm.weights(fm.network(kind, dimensions, 2))
    axes = (0, 1) if dimensions == 2 else (0, 2)
    fm.write(tmp_path, fm.plans({name: part}, 2), fm.dataset(2), {"0": fm.checkpoint(tensors, name, axes)})
    model = import_nnunet(tmp_path)
    assert model.plan.network == fm.network(kind, dimensions, 2)
    assert all(torch.equal(tensor, tensors[n]) for n, tensor in model.members[0].items())
    flat = dimensions == 2
    assert model.plan.augmentation.mirror == ((False, True, True) if flat else (True, False, True))
    assert model.plan.patch == ((1, 8, 8) if flat else (8, 8, 8))
    again = _saved(model, tmp_path)
    assert again.plan == model.plan
    predicted = again.predict(image(channels=2), **SMALL)
    assert predicted.grid == image(channels=2).grid
    assert predicted.labels.names == ("liver", "tumour")


def _saved(model: Model, folder: Path) -> Model:
    model.save(folder / "model.calque")
    return Model.load(folder / "model.calque")


def test_the_plan_says_what_nnunet_does(tmp_path: Path) -> None:
    part = fm.configuration(
        channels=3,
        normalization_schemes=["CTNormalization", "ZScoreNormalization", "NoNormalization"],
        use_mask_for_norm=[False, True, False],
        spacing=[3.0, 1.0, 2.0],
    )
    plan = fm.plans({"3d_fullres": part}, 3, transpose_forward=[1, 2, 0], transpose_backward=[2, 0, 1])
    labels = {"background": 0, "b": 2, "a": [1], "ignore": 3}
    data = fm.dataset(3, labels=labels)
    fm.write(tmp_path, plan, data, {"0": fm.checkpoint(fm.weights(fm.network(channels=3)), axes=None)})
    model = import_nnunet(tmp_path)
    got = model.plan
    assert got.normalisation == (
        Normalisation(scheme="ct", low=-100, high=200, mean=40, std=60),
        Normalisation(scheme="zscore", nonzero=True),
        Normalisation(scheme="none"),
    )
    assert (got.orientation, got.transpose, got.spacing) == ("stored", (1, 2, 0), (3.0, 1.0, 2.0))
    assert (got.image_order, got.separate_z, got.crop) == (3, "auto", "nonzero")
    assert (got.labels.names, got.labels.ignore) == (("a", "b"), 3)
    assert got.channels == ("C0", "C1", "C2")
    assert got.augmentation.mirror == (False, False, False)
    assert got.fingerprint.spacings[0] == (1.0, 2.0, 3.0)
    assert "without mirroring" in model.card.notes
    assert "nnUNetTrainer, 3d_fullres, 12 epochs" in model.card.notes


def test_a_reader_that_reorients_becomes_axis_codes(tmp_path: Path) -> None:
    plan = fm.plans(
        {"3d_fullres": fm.configuration()},
        image_reader_writer="NibabelIOWithReorient",
        transpose_forward=[2, 0, 1],
    )
    fm.write(tmp_path, plan, fm.dataset(), {"0": fm.checkpoint(fm.weights(fm.network()))})
    assert import_nnunet(tmp_path).plan.orientation == "RSA"


def test_plans_before_2_4_describe_networks_in_flat_fields(tmp_path: Path) -> None:
    part = fm.configuration()
    del part["architecture"]
    part |= {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 6,
        "n_conv_per_stage_encoder": [1, 2],
        "n_conv_per_stage_decoder": [1],
        "num_pool_per_axis": [1, 1, 1],
        "pool_op_kernel_sizes": [[1, 1, 1], [2, 2, 2]],
        "conv_kernel_sizes": [[3, 3, 3], [3, 3, 3]],
    }
    plan = fm.plans({"3d_fullres": part})
    plan["foreground_intensity_properties_by_modality"] = plan.pop(
        "foreground_intensity_properties_per_channel"
    )
    fm.write(tmp_path, plan, fm.dataset(), {"0": fm.checkpoint(fm.weights(fm.network()))})
    assert import_nnunet(tmp_path).plan.network == fm.network()


def test_configurations_inherit(tmp_path: Path) -> None:
    parts = {"3d_fullres": fm.configuration(), "bs4": {"inherits_from": "3d_fullres", "batch_size": 4}}
    fm.write(tmp_path, fm.plans(parts), fm.dataset(), {"0": fm.checkpoint(fm.weights(fm.network()), "bs4")})
    assert import_nnunet(tmp_path).plan.batch == 4
    parts["3d_fullres"]["inherits_from"] = "bs4"
    fm.write(tmp_path, fm.plans(parts), fm.dataset(), {})
    with pytest.raises(ModelError, match="bs4 from 3d_fullres from bs4"):
        import_nnunet(tmp_path)


def test_one_number_stands_for_all_stages(tmp_path: Path) -> None:
    part = fm.architecture(n_conv_per_stage=2, n_conv_per_stage_decoder=1, kernel_sizes=3)
    fm.simple(tmp_path, architecture=part)
    config = fm.network().model_copy(update={"blocks": (2, 2)})
    torch.save(fm.checkpoint(fm.weights(config)), tmp_path / "fold_0" / "checkpoint_final.pth")
    assert import_nnunet(tmp_path).plan.network == config


def test_weights_of_compiled_networks_and_without_bias(tmp_path: Path) -> None:
    fm.simple(tmp_path)
    tensors = fm.weights(fm.network())
    bare = {f"_orig_mod.{n}": t for n, t in tensors.items() if not _unbiased(n)}
    torch.save(fm.checkpoint(bare), tmp_path / "fold_0" / "checkpoint_final.pth")
    member = import_nnunet(tmp_path).members[0]
    assert not member["encoder.stages.0.0.convs.0.conv.bias"].any()
    assert torch.equal(member["decoder.seg_layers.0.bias"], tensors["decoder.seg_layers.0.bias"])


def _unbiased(name: str) -> bool:
    return name.endswith("bias") and ".norm." not in name and ".seg_layers." not in name


# Folds, folders and zips


def test_folds_are_chosen(tmp_path: Path) -> None:
    fm.simple(tmp_path)
    for number, fold in enumerate(("1", "all")):
        (tmp_path / f"fold_{fold}").mkdir()
        torch.save(
            fm.checkpoint(fm.weights(fm.network(), seed=number + 1)),
            tmp_path / f"fold_{fold}" / "checkpoint_final.pth",
        )
    model = import_nnunet(tmp_path)
    assert (model.card.folds, len(model.members)) == (("0", "1"), 2)
    assert import_nnunet(tmp_path, folds=["all"]).card.folds == ("all",)
    with pytest.raises(ReadError, match="folds with it: 0, 1, all"):
        import_nnunet(tmp_path, folds=[3])
    with pytest.raises(ReadError, match="checkpoint_best"):
        import_nnunet(tmp_path, checkpoint="checkpoint_best.pth")
    with pytest.raises(ReadError, match="--fold chooses"):
        import_nnunet(tmp_path / "fold_1")


def test_folds_of_different_trainings_are_refused(tmp_path: Path) -> None:
    fm.simple(tmp_path)
    (tmp_path / "fold_1").mkdir()
    other = fm.checkpoint(fm.weights(fm.network()), axes=(0,))
    torch.save(other, tmp_path / "fold_1" / "checkpoint_final.pth")
    with pytest.raises(ModelError, match="do not belong together"):
        import_nnunet(tmp_path)


def test_several_configurations_need_a_choice(tmp_path: Path) -> None:
    fm.simple(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    flat = {"2d": fm.configuration(2)}
    tensors = fm.weights(fm.network(dimensions=2))
    folder = tmp_path / "nnUNetTrainer__nnUNetPlans__2d"
    fm.write(folder, fm.plans(flat), fm.dataset(), {"0": fm.checkpoint(tensors, "2d", (0, 1))})
    with pytest.raises(ModelError, match="several models"):
        import_nnunet(tmp_path)
    assert import_nnunet(tmp_path, configuration="2d").plan.network.dimensions == 2
    with pytest.raises(ModelError, match="another configuration"):
        import_nnunet(folder, configuration="3d_fullres")


def _zip(folder: Path, path: Path, *more: tuple[zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(file, f"Dataset007_Test/{folder.name}/{file.relative_to(folder)}")
        for info, data in more:
            archive.writestr(info, data)
    return path


def test_exported_zips(tmp_path: Path) -> None:
    folder = fm.simple(tmp_path / "nnUNetTrainer__nnUNetPlans__3d_fullres")
    crossval = folder / "crossval_results_folds_0"
    crossval.mkdir()
    (crossval / "postprocessing.pkl").write_bytes(b"not to be read")
    model = import_nnunet(_zip(folder, tmp_path / "model.zip"))
    assert model.plan == import_nnunet(folder).plan
    assert "not applied: crossval_results_folds_0/postprocessing.pkl: it is a pickle" in model.card.notes


@pytest.mark.parametrize("name", ["../plans.json", "/tmp/plans.json", "a/../../plans.json", "C:\\plans.json"])  # noqa: S108
def test_zips_that_reach_outside_are_refused(tmp_path: Path, name: str) -> None:
    info = zipfile.ZipInfo("x/plans.json")
    info.filename = name if "\\" not in name else "C:/x/plans.json"
    with pytest.raises(ModelError, match="outside itself"):
        import_nnunet(_zip(fm.simple(tmp_path / "m"), tmp_path / "model.zip", (info, b"{}")))


def test_links_in_zips_are_refused(tmp_path: Path) -> None:
    info = zipfile.ZipInfo("x/dataset.json")
    info.external_attr = 0o120777 << 16
    with pytest.raises(ModelError, match="outside itself"):
        import_nnunet(_zip(fm.simple(tmp_path / "m"), tmp_path / "model.zip", (info, b"/etc/passwd")))


def test_zips_that_unpack_to_too_much_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _zip(fm.simple(tmp_path / "m"), tmp_path / "model.zip")
    monkeypatch.setattr(results, "_JSON_BYTES", 100)
    with pytest.raises(ResourceError, match="too large"):
        import_nnunet(path)


def test_damaged_zips_and_missing_places(tmp_path: Path) -> None:
    whole = _zip(fm.simple(tmp_path / "m"), tmp_path / "model.zip").read_bytes()
    broken = tmp_path / "broken.zip"
    middle = len(whole) // 2
    broken.write_bytes(whole[:middle] + bytes(200) + whole[middle + 200 :])
    with pytest.raises((ReadError, ModelError)):
        import_nnunet(broken)
    broken.write_bytes(whole[:middle])
    with pytest.raises(ReadError, match="neither"):
        import_nnunet(broken)
    with pytest.raises(ReadError, match="neither"):
        import_nnunet(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReadError, match="no nnU-Net model"):
        import_nnunet(tmp_path / "empty")


# Checkpoints that are more than numbers


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


class ObjectScalar:
    """A numpy scalar whose type is object: numpy itself would follow a pointer of our choice."""

    def __reduce__(self) -> tuple[Any, ...]:
        return np.float64(0).__reduce__()[0], (np.dtype("O"), b"12345678")


def _spoil(folder: Path, content: object) -> Path:
    torch.save(content, folder / "fold_0" / "checkpoint_final.pth")
    return folder


def test_a_malicious_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    fm.simple(tmp_path)
    target = tmp_path / "boom.txt"
    content = fm.checkpoint(fm.weights(fm.network()), logging=Bomb(target))
    path = tmp_path / "fold_0" / "checkpoint_final.pth"
    torch.save(content, path)
    with pytest.raises(ModelError, match="was refused; nothing in it was run") as caught:
        import_nnunet(tmp_path)
    assert not target.exists()
    assert "io.open" in str(caught.value)
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(ReadError, match="not written by nnU-Net v2"):
        import_nnunet(tmp_path)
    assert not target.exists()


def test_a_bare_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    fm.simple(tmp_path)
    target = tmp_path / "boom.txt"
    path = tmp_path / "fold_0" / "checkpoint_final.pth"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Bomb(target), protocol))
        with pytest.raises((ModelError, ReadError)):
            import_nnunet(tmp_path)
        assert not target.exists()


@pytest.mark.parametrize("thing", [ObjectScalar(), np.zeros(3), np.str_("a"), Path("x")])
def test_other_objects_are_refused(tmp_path: Path, thing: object) -> None:
    fm.simple(tmp_path)
    with pytest.raises(ModelError, match="was refused"):
        import_nnunet(_spoil(tmp_path, fm.checkpoint(fm.weights(fm.network()), _best_ema=thing)))


@pytest.mark.parametrize("content", [{}, [], {"state_dict": {}}, {"network_weights": {}, "init_args": 3}])
def test_other_checkpoints_are_named_as_such(tmp_path: Path, content: object) -> None:
    with pytest.raises(ModelError, match="not a checkpoint of nnU-Net v2"):
        import_nnunet(_spoil(fm.simple(tmp_path), content))


def test_damaged_checkpoints(tmp_path: Path) -> None:
    path = fm.simple(tmp_path) / "fold_0" / "checkpoint_final.pth"
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:cut])
        with pytest.raises((ReadError, ModelError)):
            import_nnunet(tmp_path)


def test_a_flipped_bit_in_a_weight_is_noticed(tmp_path: Path) -> None:
    path = fm.simple(tmp_path) / "fold_0" / "checkpoint_final.pth"
    weight = fm.weights(fm.network())["decoder.seg_layers.0.weight"].numpy().tobytes()
    whole = path.read_bytes()
    assert whole.count(weight) == 1
    path.write_bytes(whole.replace(weight, bytes([weight[0] ^ 1]) + weight[1:]))
    with pytest.raises(ReadError, match="checksum"):
        import_nnunet(tmp_path)


@given(seed=st.integers(0, 2**32 - 1), inside=st.booleans())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_bytes_the_error_is_ours(tmp_path: Path, seed: int, inside: bool) -> None:
    """Bytes are changed at random: in the file, or in its pickle under right checksums."""
    path = fm.simple(tmp_path) / "fold_0" / "checkpoint_final.pth"
    random = np.random.default_rng(seed)
    if inside:
        with zipfile.ZipFile(path) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        name = next(name for name in parts if name.endswith("data.pkl"))
        parts[name] = _shaken(parts[name], random)
        with zipfile.ZipFile(path, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
    else:
        path.write_bytes(_shaken(path.read_bytes(), random))
    with contextlib.suppress(CalqueError):
        import_nnunet(tmp_path)


def _shaken(data: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(data)
    for place in random.integers(0, len(data), 3):
        changed[place] = random.integers(256)
    return bytes(changed)


def test_weights_must_be_those_of_the_plans(tmp_path: Path) -> None:
    tensors = fm.weights(fm.network())
    fm.simple(tmp_path)
    less = {n: t for n, t in tensors.items() if n != "decoder.seg_layers.0.weight"}
    for wrong, message in (
        (less, "missing: decoder.seg_layers.0.weight"),
        ({n: t for n, t in tensors.items() if n != "decoder.seg_layers.0.bias"}, "seg_layers.0.bias"),
        ({n: t for n, t in tensors.items() if n != "decoder.transpconvs.0.bias"}, "transpconvs.0.bias"),
        ({**tensors, "head.weight": torch.zeros(1)}, "unknown: head.weight"),
        ({**tensors, "decoder.seg_layers.0.bias": torch.zeros(4)}, "another shape"),
        ({**tensors, "decoder.seg_layers.0.bias": torch.full((3,), torch.nan)}, "not finite"),
    ):
        with pytest.raises(ModelError, match=message):
            import_nnunet(_spoil(tmp_path, fm.checkpoint(wrong)))


# Plans that mean something else


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"previous_stage": "3d_lowres"}, r"cascade.*first stage(.|\n)*3d_lowres"),
        ({"preprocessor_name": "MyPreprocessor"}, "MyPreprocessor"),
        ({"resampling_fn_data": "resample_torch_fornnunet"}, "resample_torch_fornnunet"),
        ({"resampling_fn_data_kwargs": fm.resampling(order=2)}, "another order"),
        ({"resampling_fn_probabilities_kwargs": fm.resampling(order=0)}, "another order"),
        ({"resampling_fn_data_kwargs": fm.resampling(order_z=1)}, "another order"),
        ({"resampling_fn_data_kwargs": fm.resampling(force_separate_z=False)}, "differently"),
        ({"normalization_schemes": ["RescaleTo01Normalization"]}, "RescaleTo01Normalization"),
        ({"normalization_schemes": []}, "One normalisation per channel"),
        ({"architecture": fm.architecture("primus.Primus")}, "Primus"),
        ({"architecture": fm.architecture(norm_op="torch.nn.modules.batchnorm.BatchNorm3d")}, "BatchNorm3d"),
        ({"architecture": fm.architecture(norm_op_kwargs={"eps": 1e-3, "affine": True})}, "options"),
        ({"architecture": fm.architecture(nonlin="torch.nn.ReLU")}, "ReLU"),
        ({"architecture": fm.architecture(nonlin_kwargs={"negative_slope": 0.2})}, "slope"),
        ({"architecture": fm.architecture(nonlin_first=True)}, "nonlin_first"),
        ({"architecture": fm.architecture(n_stages=3)}, "contradict|stages"),
        ({"architecture": fm.architecture(kernel_sizes=[[2, 3, 3], [3, 3, 3]])}, "odd"),
        ({"patch_size": [9, 8, 8]}, "multiple"),
        ({"patch_size": "large"}, "patch_size"),
    ],
)
def test_what_calque_does_not_do_is_refused_by_name(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        import_nnunet(fm.simple(tmp_path, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": {"background": 0, "a": 1, "b": 3}}, "gaps"),
        ({"labels": {"0": "background"}}, "labels"),
        ({"channel_names": {"1": "CT"}}, "numbered from 0"),
    ],
)
def test_datasets_that_calque_cannot_follow(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fm.simple(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps(fm.dataset(**changes)), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        import_nnunet(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_reader_writer": "MyReader"}, "MyReader"),
        ({"transpose_forward": [0, 0, 1]}, "permute"),
        ({"label_manager": "MyLabels"}, "MyLabels"),
        ({"configurations": {}}, "no such configuration"),
        ({"foreground_intensity_properties_per_channel": {}}, "no intensities"),
    ],
)
def test_plans_that_calque_cannot_follow(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    fm.simple(tmp_path)
    plan = {**fm.plans({"3d_fullres": fm.configuration()}), **changes}
    (tmp_path / "plans.json").write_text(json.dumps(plan), encoding="utf-8")
    with pytest.raises(ModelError, match=message):
        import_nnunet(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{", '"a"', "[" * 100_000, "\udcff"])
def test_files_that_are_not_json(tmp_path: Path, text: str) -> None:
    fm.simple(tmp_path)
    (tmp_path / "plans.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ReadError, match=r"plans\.json"):
        import_nnunet(tmp_path)


@pytest.mark.parametrize("kind", [np.float64, np.float16, np.int8, np.uint16, np.bool_])
def test_numpy_scalars_are_read(tmp_path: Path, kind: type[np.generic]) -> None:
    content = fm.checkpoint(fm.weights(fm.network()), _best_ema=kind(1))
    assert import_nnunet(_spoil(fm.simple(tmp_path), content)).members
