"""`vlmtool-cli media` on volumes: planes as PNG, and where pictures lie in the patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel as typeless
import numpy as np
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from vlmtool_core.cli.main import run_cli

nibabel: Any = typeless
SIZES = (10, 12, 5)
AFFINE = np.array([[2.0, 0, 0, -9], [0, 2.0, 0, -11], [0, 0, 4.0, -8], [0, 0, 0, 1]])


@pytest.fixture
def head(tmp_path: Path) -> Path:
    data = np.arange(600, dtype=np.int16).reshape(SIZES)
    image = nibabel.Nifti1Image(data, AFFINE)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "head.nii.gz")
    return tmp_path / "head.nii.gz"


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run_cli(["media", *arguments]) == code
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("plane", "number", "size", "letters"),
    [
        ("axial", 4, (10, 12), "RLAP"),
        ("sagittal", 9, (12, 11), "APHF"),
        ("coronal", 0, (10, 11), "RLHF"),
    ],
)
def test_planes_are_those_of_the_raw_array(
    head: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    plane: str,
    number: int,
    size: tuple[int, int],
    letters: str,
) -> None:
    out = tmp_path / "plane.png"
    told = output(
        capsys, "render", str(head), "--plane", plane, "--frame", str(number),
        "--window", "300/600/linear_exact", "-o", str(out), "--json",
    )  # fmt: skip
    shown = np.asarray(Image.open(out))[..., 0]
    # RAS of the file to the screen: left to the right, back or feet downwards.
    data = np.arange(600, dtype=np.int16).reshape(SIZES)[::-1, ::-1]
    axis = {"axial": 2, "sagittal": 0, "coronal": 1}[plane]
    expected = np.take(data, number, axis).T
    if plane != "axial":  # slices of 4 mm become two rows of 2 mm, and the edges of voxels
        assert (shown.shape[1], shown.shape[0]) == size
        shown, expected = shown[1::2], expected[::-1]
    assert np.abs(shown - np.clip(expected / 600 * 255, 0, 255)).max() <= 1
    provenance = json.loads(told)["provenance"]
    assert "".join(provenance["letters"].values()) == letters
    assert provenance["pixel_spacing_mm"] == [2.0, 2.0]


def test_info_says_where_a_volume_lies(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = json.loads(output(capsys, "info", str(head), "--json"))
    assert values["kind"] == "volume"
    geometry = values["geometry"]
    assert geometry["letters"] == {"left": "R", "right": "L", "top": "A", "bottom": "P"}
    assert geometry["position_mm"] == [-9, -11, -8]
    expected = [[2, 0, 0, -9], [0, 2, 0, -11], [0, 0, 4, -8], [0, 0, 0, 1]]
    np.testing.assert_allclose(geometry["affine_lps_mm"], expected)
    assert "left R, right L" in output(capsys, "info", str(head))


def test_info_says_why_a_series_has_no_planes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    single = str(get_testdata_file("CT_small.dcm"))
    geometry = json.loads(output(capsys, "info", single, "--json"))["geometry"]
    assert geometry["letters"]["left"] == "R"
    assert "affine_lps_mm" not in geometry
    nowhere = nibabel.Nifti1Image(np.zeros(SIZES, np.int16), None)
    nowhere.header["qform_code"] = 0
    nibabel.save(nowhere, tmp_path / "nowhere.nii")
    told = json.loads(output(capsys, "info", str(tmp_path / "nowhere.nii"), "--json"))
    assert "does not say how it lies" in told["geometry"]["no_planes"]
    assert "letters" not in told["geometry"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--plane", "axial", "--frame", "5"), "there is no axial plane 5; there are 5"),
        (("--plane", "coronal", "--overlays"), "[--overlays] it is drawn on frames"),
        (
            ("--plane", "coronal", "--presentation-state", "state.dcm"),
            "Leave out --presentation-state or --plane.",
        ),
        (("--plane", "oblique"), "oblique"),
    ],
)
def test_planes_that_are_not_there_are_refused(
    head: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    named: str,
) -> None:
    code = run_cli(["media", "render", str(head), *options, "-o", str(tmp_path / "x.png")])
    assert code == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()


def test_what_is_no_volume_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    single = str(get_testdata_file("CT_small.dcm"))
    out = str(tmp_path / "x.png")
    assert run_cli(["media", "render", single, "--plane", "axial", "-o", out]) == 1
    assert "no planes can be laid through it: it has a single slice" in capsys.readouterr().err


def test_verify_and_measure_take_volumes(head: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "whole, 5/5 frames" in output(capsys, "verify", str(head))
    told = output(
        capsys, "measure", str(head), "--frame", "2", "--line", "0.5,0.5,5.5,0.5",
        "--probe", "0,0", "--json",
    )  # fmt: skip
    length, probe = json.loads(told)["measurements"]
    assert (length["length"], length["unit"]) == (10.0, "mm")
    assert probe["value"] == np.arange(600).reshape(SIZES)[9, 11, 2]
