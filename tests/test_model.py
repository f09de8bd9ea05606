"""A model file holds what was saved, and bytes that are not a model are refused, whatever they are."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from calque.errors import CalqueError, InputError, ModelError, ReadError
from calque.geometry import Grid
from calque.image import Image
from calque.io import write_image
from calque.model import Card, Model
from calque.model.model import _Members
from calque.nets import build
from calque.prediction import PredictOptions, Predictor

from .preparation.synthetic import make_plan

PLAN = make_plan()
CARD = Card(
    created="2026-01-01T00:00:00Z",
    calque="0.1.0",
    torch="2.13.0",
    dataset="synthetic",
    cases=3,
    scores={"Dice": 0.9},
)


def make_model(members: int = 2) -> Model:
    return Model(PLAN, tuple(build(PLAN.network, seed=k).state_dict() for k in range(members)), CARD)


def make_image() -> Image:
    grid = Grid.from_parts((7, 9, 11), (1.5, 1, 1), origin=(4, -3, 2))
    array = np.random.default_rng(0).normal(100, 20, size=(1, *grid.shape)).astype(np.float32)
    return Image(array, grid, ("MR",))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.calque"
    make_model().save(path)
    return path


def rewrite(source: Path, target: Path, change) -> Path:
    """Copy a model, entry by entry, after `change(dict of entries)`."""
    with zipfile.ZipFile(source) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return target


def edit_manifest(entries: dict[str, bytes], **changes) -> None:
    entries["model.json"] = json.dumps({**json.loads(entries["model.json"]), **changes}).encode()


def replace_member(entries: dict[str, bytes], data: bytes) -> None:
    """Another first member, whose checksum is right."""
    entries["members/0.safetensors"] = data
    members = json.loads(entries["model.json"])["members"]
    members[0]["sha256"] = hashlib.sha256(data).hexdigest()
    edit_manifest(entries, members=members)


def test_a_model_comes_back_as_it_was(saved):
    model, loaded = make_model(), Model.load(saved)
    assert loaded.plan == model.plan
    assert loaded.card == model.card
    for one, other in zip(model.members, loaded.members, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_weights_stay_in_the_file_even_when_it_is_removed(saved, tmp_path):
    path = tmp_path / "model.calque"
    path.write_bytes(saved.read_bytes())
    loaded = Model.load(path)
    name = "decoder.seg_layers.0.bias"
    assert loaded.members[1][name] is not loaded.members[1][name]
    path.unlink()
    assert torch.equal(loaded.members[1][name], make_model().members[1][name])


def test_a_file_that_is_written_to_while_it_is_in_use_is_noticed(saved, tmp_path):
    path = tmp_path / "model.calque"
    path.write_bytes(saved.read_bytes())
    loaded = Model.load(path)
    path.write_bytes(b"\0" * saved.stat().st_size)
    with pytest.raises(ModelError, match="changed while it was in use") as caught:
        loaded.networks()
    assert caught.value.where == path


def test_the_last_layer_is_known_without_the_network(saved):
    loaded = Model.load(saved)
    for found, network in zip(
        _Members(loaded.members, loaded._network).heads(), loaded.networks(), strict=True
    ):
        assert all(torch.equal(one, other) for one, other in zip(found, network.head, strict=True))


def test_a_grid_goes_with_an_array():
    image = make_image()
    with pytest.raises(InputError, match="give its grid"):
        make_model().predict(image.array)
    with pytest.raises(InputError, match="has its own"):
        make_model().predict(image, image.grid)


def test_a_model_is_shown_on_one_line():
    assert repr(make_model()) == "<Model of synthetic: organ, lesion; 2 folds>"


def test_the_same_model_is_the_same_bytes(saved, tmp_path):
    again = tmp_path / "again.calque"
    Model.load(saved).save(again)
    assert again.read_bytes() == saved.read_bytes()


def test_the_file_is_a_plain_zip_without_pickles(saved):
    with zipfile.ZipFile(saved) as archive:
        assert archive.namelist() == ["model.json", "members/0.safetensors", "members/1.safetensors"]
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def test_networks_are_made_once_and_predict_as_before(saved):
    loaded = Model.load(saved)
    assert loaded.networks()[0] is loaded.networks()[0]
    assert not loaded.networks()[0].training
    window = torch.randn(1, 1, 8, 8, 8)
    for seed, network in enumerate(loaded.networks()):
        with torch.inference_mode():
            assert torch.equal(network(window)[0], build(PLAN.network, seed=seed).eval()(window)[0])


def test_members_stay_as_they_are_when_networks_change(saved):
    loaded = Model.load(saved)
    before = loaded.members[0]["decoder.seg_layers.0.bias"].clone()
    with torch.no_grad():
        loaded.networks()[0].get_parameter("decoder.seg_layers.0.bias").add_(1.0)
    assert torch.equal(loaded.members[0]["decoder.seg_layers.0.bias"], before)


def test_predict_takes_an_image_or_a_file(saved, tmp_path):
    model, image = Model.load(saved), make_image()
    write_image(image, tmp_path / "scan.nii.gz")
    direct = model.predict(image, precision="f32", mirror="off")
    from_file = model.predict(tmp_path / "scan.nii.gz", precision="f32", mirror="off")
    assert direct.grid == image.grid
    np.testing.assert_array_equal(direct.array, from_file.array)
    options = PredictOptions(precision="f32", mirror="off", engine="torch")
    np.testing.assert_array_equal(
        direct.array, Predictor(PLAN, model.networks(), options)(image).label_map.array
    )


def test_another_number_of_channels_is_refused(saved, tmp_path):
    image = make_image()
    write_image(image, tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="channels"):
        Model.load(saved).predict([tmp_path / "a.nii.gz", tmp_path / "a.nii.gz"])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ReadError, match="no such model"):
        Model.load(tmp_path / "none.calque")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"hello" * 100, pickle.dumps({"a": 1})])
def test_what_is_not_a_zip_is_refused(tmp_path, data):
    path = tmp_path / "model.calque"
    path.write_bytes(data)
    with pytest.raises(ModelError, match="not a Calque model") as caught:
        Model.load(path)
    assert caught.value.where == path


CHANGES = {
    "missing weights": (lambda e: e.pop("members/1.safetensors"), "incomplete"),
    "missing description": (lambda e: e.pop("model.json"), "incomplete"),
    "stranger": (lambda e: e.update({"extra.txt": b""}), "do not belong"),
    "path traversal": (lambda e: e.update({"../../evil": b""}), "do not belong"),
    "absolute path": (lambda e: e.update({"/etc/evil": b""}), "do not belong"),
    "not JSON": (lambda e: e.update({"model.json": b"{"}), "not a Calque model"),
    "not text": (lambda e: e.update({"model.json": b"\xff\xfe"}), "not a Calque model"),
    "another format": (lambda e: edit_manifest(e, format="other"), "not a Calque model"),
    "future": (lambda e: edit_manifest(e, version=99), "version"),
    "unknown field": (lambda e: edit_manifest(e, surprise=1), "not a valid Manifest"),
    "no members": (lambda e: edit_manifest(e, members=[]), "not a valid Manifest"),
    "checksum": (lambda e: e.update({"members/0.safetensors": e["members/1.safetensors"]}), "checksum"),
    "not safetensors": (lambda e: replace_member(e, b"\x80\x04K\x01."), "cannot be read"),
    "empty weights": (lambda e: replace_member(e, b""), "cannot be read"),
    "long description": (lambda e: e.update({"model.json": b" " * (2**24 + 1)}), "too long"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_file_that_was_changed_is_refused_with_the_reason(saved, tmp_path, name):
    change, message = CHANGES[name]
    with pytest.raises(ModelError, match=message):
        Model.load(rewrite(saved, tmp_path / "changed.calque", change))


def test_names_in_the_list_of_members_are_not_paths(saved, tmp_path):
    def change(entries: dict[str, bytes]) -> None:
        members = json.loads(entries["model.json"])["members"]
        members[0]["name"] = "../../evil"
        edit_manifest(entries, members=members)

    with pytest.raises(ModelError, match="do not belong"):
        Model.load(rewrite(saved, tmp_path / "changed.calque", change))


def test_compressed_entries_are_refused_so_that_no_file_can_swell(saved, tmp_path):
    bomb = tmp_path / "bomb.calque"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.json", b" " * 10**7)
    with pytest.raises(ModelError, match="compressed"):
        Model.load(bomb)


def test_two_entries_of_one_name_are_refused(saved, tmp_path):
    twice = tmp_path / "twice.calque"
    with zipfile.ZipFile(twice, "w") as archive:
        archive.writestr("model.json", b"{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("model.json", b"{}")
    with pytest.raises(ModelError, match="two entries"):
        Model.load(twice)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("decoder.seg_layers.0.bias"), "not those of the plan"),
        (lambda s: s.update(extra=torch.zeros(1)), "not those of the plan"),
        (lambda s: s.update({"decoder.seg_layers.0.bias": torch.zeros(4)}), "does not fit"),
        (lambda s: s.update({"decoder.seg_layers.0.bias": torch.zeros(3).double()}), "does not fit"),
        (lambda s: s.update({"decoder.seg_layers.0.bias": torch.full((3,), torch.nan)}), "not finite"),
    ],
)
def test_weights_that_do_not_fit_are_refused(saved, tmp_path, change, message):
    from safetensors.torch import save

    state = dict(make_model(1).members[0])
    change(state)
    with pytest.raises(ModelError, match=message):
        Model(PLAN, (state,), CARD)
    changed = rewrite(saved, tmp_path / "changed.calque", lambda e: replace_member(e, save(state)))
    with pytest.raises(ModelError, match=message) as caught:
        Model.load(changed)
    assert str(changed) in str(caught.value.where)


def test_a_model_without_members_is_refused():
    with pytest.raises(ModelError, match="at least one"):
        Model(PLAN, (), CARD)


@pytest.mark.parametrize("size", [{"features": [4, 2**62]}, {"blocks": [1, 10**9]}])
def test_a_network_that_no_machine_could_hold_is_refused_without_trying(saved, tmp_path, size):
    def change(entries: dict[str, bytes]) -> None:
        plan = json.loads(entries["model.json"])["plan"]
        plan["network"] |= size
        edit_manifest(entries, plan=plan)

    with pytest.raises(ModelError):
        Model.load(rewrite(saved, tmp_path / "changed.calque", change))


def test_an_interrupted_save_leaves_the_old_file(saved, tmp_path, monkeypatch):
    path = tmp_path / "model.calque"
    path.write_bytes(saved.read_bytes())

    def interrupted(*_args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "writestr", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_model().save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_mutated_files_load_rightly_or_not_at_all(saved, tmp_path_factory, data):
    original = saved.read_bytes()
    mutated = bytearray(original)
    action = data.draw(st.sampled_from(["flip", "cut", "insert", "drop", "header"]))
    place = data.draw(st.integers(0, len(mutated) - 1))
    if action == "flip":
        mutated[place] ^= data.draw(st.integers(1, 255))
    elif action == "cut":
        del mutated[place:]
    elif action == "insert":
        mutated[place:place] = data.draw(st.binary(min_size=1, max_size=40))
    elif action == "drop":
        del mutated[place : place + data.draw(st.integers(1, 200))]
    else:  # the directory at the end is where most of a zip's logic looks
        for _ in range(data.draw(st.integers(1, 6))):
            mutated[-data.draw(st.integers(1, 260))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / "mutated.calque"
    path.write_bytes(bytes(mutated))
    try:
        loaded = Model.load(path)
    except CalqueError as problem:
        assert isinstance(problem, ModelError)  # noqa: PT017
        return
    model = make_model()
    assert loaded.plan == model.plan
    for one, other in zip(model.members, loaded.members, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
