"""Moving pictures become frames, and frames of one file are one patient."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
import tifffile
from PIL import Image as Picture

from calque.cli.app import run
from calque.dataset import open_dataset
from calque.errors import InputError, ReadError
from calque.io import read_frames, read_image, read_labels, write_frames

GREY = np.random.default_rng(0).integers(0, 255, (5, 16, 18), dtype=np.uint8)


def gif(path: Path, frames: np.ndarray, colours: list[int] | None = None) -> Path:
    """Frames of values 0 to 3."""
    pictures = []
    for frame in frames % 4:
        picture = Picture.fromarray(frame)
        picture.putpalette(colours or [0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
        pictures.append(picture)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], optimize=False, duration=40)
    return path


def video(path: Path, frames: np.ndarray) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)  # lossless
        stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "gray"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return path


def test_cine_tiff(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "echo.tif", GREY, imagej=True, metadata={"axes": "TYX"})
    np.testing.assert_array_equal(list(read_frames(tmp_path / "echo.tif")), GREY)


def test_gif_in_colours_and_as_mask(tmp_path: Path) -> None:
    path = gif(tmp_path / "a.gif", GREY)
    coloured = list(read_frames(path))
    assert [frame.shape for frame in coloured] == [(16, 18, 3)] * 5
    assert {tuple(c) for c in coloured[2].reshape(-1, 3)} == {
        (0, 0, 0),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
    }
    first = next(iter(read_frames(path, mask=True)))
    np.testing.assert_array_equal(first, GREY[0] % 4)


def test_video_frame_by_frame(tmp_path: Path) -> None:
    path = video(tmp_path / "a.mkv", GREY)
    np.testing.assert_array_equal(list(read_frames(path)), GREY)
    with pytest.raises(InputError, match="no masks"):
        list(read_frames(path, mask=True))


def test_frames_are_cases_of_one_patient(tmp_path: Path) -> None:
    for name in ("anna", "bela"):
        tifffile.imwrite(tmp_path / f"{name}.tif", GREY, photometric="minisblack")
        masks = tmp_path / "labels" / f"{name}.tif"
        masks.parent.mkdir(exist_ok=True)
        tifffile.imwrite(masks, GREY % 3, photometric="minisblack")
        assert len(write_frames(tmp_path / f"{name}.tif", tmp_path / "set" / "images", every=2)) == 3
        write_frames(masks, tmp_path / "set" / "labels", every=2, mask=True)
    found = open_dataset(tmp_path / "set")
    assert (len(found.cases), {c.patient for c in found.cases}) == (6, {"anna", "bela"})
    case = found.case("anna_frame_0002")
    np.testing.assert_array_equal(read_image(case.images[0]).array[0, 0], GREY[2])
    assert case.label is not None
    np.testing.assert_array_equal(read_labels(case.label).array[0], GREY[2] % 3)


@pytest.mark.parametrize("suffix", [".gif", ".tif", ".mp4", ".avi", ".xyz"])
def test_damage_is_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    with pytest.raises(ReadError, match="broken"):
        list(read_frames(path))
    path.write_bytes(b"GIF89a" + bytes(40))
    with pytest.raises(ReadError, match="broken"):
        list(read_frames(path))


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = gif(tmp_path / "a.gif", GREY)
    assert run(["frames", str(path), "-o", str(tmp_path / "out"), "--every", "2"]) == 0
    assert "3 frames" in capsys.readouterr().out
    assert len(list((tmp_path / "out").iterdir())) == 3
