"""Overlay planes against pydicom's own decoding, and against planes written by the test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import open_media
from vlmtool_core.media.drawing import with_overlays


def written(folder: Path, name: str = "over.dcm", **elements: object) -> Path:
    """CT_small with an overlay of its own; `elements` by DICOM keyword of the repeating group."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    numbers = {
        "rows": (0x10, "US"), "columns": (0x11, "US"), "frames": (0x15, "IS"), "kind": (0x40, "CS"),
        "origin": (0x50, "SS"), "first": (0x51, "US"), "bits": (0x100, "US"),
        "position": (0x102, "US"), "label": (0x1500, "LO"), "data": (0x3000, "OW"),
    }  # fmt: skip
    for keyword, value in elements.items():
        element, vr = numbers[keyword]
        dataset.add_new((0x6000, element), vr, value)
    dataset.save_as(folder / name)
    return folder / name


def packed(mask: np.ndarray) -> bytes:
    data = np.packbits(mask.ravel(), bitorder="little").tobytes()
    return data + bytes(len(data) % 2)


@pytest.mark.parametrize("name", ["examples_overlay.dcm", "MR-SIEMENS-DICOM-WithOverlays.dcm"])
def test_planes_equal_pydicoms(name):
    path = str(get_testdata_file(name))
    expected = pydicom.dcmread(path).overlay_array(0x6000).astype(bool)
    with open_media(path) as source:
        (plane,) = source.overlays(0)
        assert source.info.facts["overlay_planes"] == 1
        size = (source.info.height, source.info.width)
    rows, columns = (min(a, b) for a, b in zip(expected.shape, size, strict=True))
    assert plane.kind == "G"
    assert plane.mask.shape == size
    assert (plane.mask[:rows, :columns] == expected[:rows, :columns]).all()
    assert plane.mask.any()


@pytest.mark.parametrize("origin", [(1, 1), (5, 9), (-3, -2), (120, 125), (300, 1)])
def test_a_plane_lies_at_its_origin_and_is_cut_off_at_the_border(tmp_path, origin):
    bits = np.random.default_rng(0).random((20, 31)) > 0.5
    path = written(
        tmp_path, rows=20, columns=31, kind="R", origin=list(origin), bits=1, position=0,
        label="liver", data=packed(bits),
    )  # fmt: skip
    with open_media(path) as source:
        (plane,) = source.overlays(0)
    expected = np.zeros((128, 128), bool)
    for row, column in zip(*np.nonzero(bits), strict=True):
        at = (row + origin[0] - 1, column + origin[1] - 1)
        if 0 <= at[0] < 128 and 0 <= at[1] < 128:
            expected[at] = True
    assert (plane.mask == expected).all()
    assert (plane.kind, plane.label) == ("R", "liver")


def test_frames_of_a_plane_belong_to_their_frames_of_the_picture(tmp_path):
    masks = np.random.default_rng(1).random((2, 7, 5)) > 0.5
    path = written(
        tmp_path, rows=7, columns=5, frames=2, first=1, kind="G", origin=[1, 1], bits=1,
        position=0, data=packed(masks),
    )  # fmt: skip
    with open_media(path) as source:
        (plane,) = source.overlays(0)
    assert (plane.mask[:7, :5] == masks[0]).all()
    later = written(
        tmp_path, "later.dcm", rows=7, columns=5, frames=2, first=3, kind="G", origin=[1, 1],
        bits=1, position=0, data=packed(masks),
    )  # fmt: skip
    with open_media(later) as source:
        assert source.overlays(0) == ()


def test_a_plane_hidden_in_the_high_bits_is_found(tmp_path):
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    stored = np.frombuffer(dataset.PixelData, "<u2").reshape(128, 128) & 0x0FFF
    drawing = np.zeros((128, 128), bool)
    drawing[10:20, 30] = True
    dataset.PixelData = (stored | drawing.astype(np.uint16) << 12).astype("<u2").tobytes()
    dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, 0
    for element, vr, value in (
        (0x10, "US", 128), (0x11, "US", 128), (0x40, "CS", "G"), (0x50, "SS", [1, 1]),
        (0x100, "US", 16), (0x102, "US", 12),
    ):  # fmt: skip
        dataset.add_new((0x6000, element), vr, value)
    dataset.save_as(tmp_path / "hidden.dcm")
    with open_media(tmp_path / "hidden.dcm") as source:
        (plane,) = source.overlays(0)
    assert (plane.mask == drawing).all()


def test_a_plane_that_lies_about_its_size_names_its_group(tmp_path):
    path = written(
        tmp_path, rows=2000, columns=2000, kind="G", origin=[1, 1], bits=1, position=0,
        data=bytes(10),
    )  # fmt: skip
    with open_media(path) as source, pytest.raises(DamagedMediaError, match="overlay 6000"):
        source.overlays(0)


def test_overlays_are_drawn_for_people_only(tmp_path):
    path = str(get_testdata_file("examples_overlay.dcm"))
    plain, drawn = tmp_path / "plain.png", tmp_path / "drawn.png"
    assert run_cli(["media", "render", path, "-o", str(plain)]) == 0
    assert run_cli(["media", "render", path, "--overlays", "-o", str(drawn)]) == 0
    from PIL import Image

    before, after = (np.asarray(Image.open(p)) for p in (plain, drawn))
    with open_media(path) as source:
        mask = source.overlays(0)[0].mask
        assert (source.frame(0).pixels == before).all()
        small = with_overlays(source.frame(0, max_side=200), source)
    assert (after[mask] == 255).all()
    assert (after[~mask] == before[~mask]).all()
    assert small.provenance["overlays"] == "white"
    assert (small.pixels == 255).all(axis=2).sum() > 100
