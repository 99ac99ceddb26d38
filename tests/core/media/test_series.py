"""Series: order by position, geometry warnings, one item per stack."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from media_dicoms import SERIES, write_dicom

from vlmtool_core.errors import MediaNotFoundError, UnsupportedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.dicom.source import DicomSource

AXIAL = [1, 0, 0, 0, 1, 0]
SAGITTAL = [0, 1, 0, 0, 0, -1]


def write_slice(path: Path, position: float | None, **elements: object) -> Path:
    """A slice whose pixels all hold its position."""
    pixels = np.full((8, 8), int(position or 0) + 100, np.int16)
    geometry: dict[str, object] = {}
    if position is not None:
        geometry = {
            "ImageOrientationPatient": AXIAL,
            "ImagePositionPatient": [-5.5, 3.25, position],
        }
    values = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0, **geometry, **elements}
    return write_dicom(path, pixels, **values)


def write_stack(folder: Path, positions: list[float], **elements: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"IM{n:03d}" for n in range(len(positions))]
    random.Random(1).shuffle(names)
    for number, (name, position) in enumerate(zip(names, positions, strict=True)):
        write_slice(folder / name, position, InstanceNumber=99 - number, **elements)


def test_slices_are_ordered_by_position_not_by_name_or_number(tmp_path: Path) -> None:
    positions = [-30.0, -27.5, -25.0, -22.5, -20.0]
    write_stack(tmp_path / "ct", positions)
    with open_media(tmp_path / "ct") as source:
        assert isinstance(source, DicomSource)
        assert source.info.frame_count == 5
        assert source.info.facts["slice_spacing_mm"] == pytest.approx(2.5)
        assert source.info.warnings == ()
        values = [source.modality_values(n).mean() for n in range(5)]
        assert values == [int(p) + 100 for p in positions]
        assert [frame.index for frame in source.frames()] == [0, 1, 2, 3, 4]


def test_oblique_positions_are_projected_on_the_normal(tmp_path: Path) -> None:
    angle = np.deg2rad(30)
    axes = [1, 0, 0, 0, float(np.cos(angle)), float(np.sin(angle))]
    normal = np.cross(axes[:3], axes[3:])
    for number in (2, 0, 1):
        corner = (normal * number * 4 + np.array([7, -3, 1])).round(6).tolist()
        write_slice(
            tmp_path / f"{2 - number}",
            number,
            ImagePositionPatient=corner,
            ImageOrientationPatient=[round(a, 6) for a in axes],
        )
    with open_media(tmp_path) as source:
        assert [source.modality_values(n).mean() for n in range(3)] == [100, 101, 102]
        assert source.info.facts["slice_spacing_mm"] == pytest.approx(4, abs=1e-3)


@pytest.mark.parametrize(
    ("positions", "warning"),
    [
        ([0, 2, 4, 8, 10], "1 slice is missing (spacing 2 mm): between 4 and 8 mm (after slice 3)"),
        ([0, 2, 4, 4, 6], "1 slice shares the position of another one (at 4 mm)"),
        ([0, 2, 4, 6.7, 9], "uneven slice spacing: 2 to 2.7 mm"),
        ([0, 2, 4, 6], None),
    ],
)
def test_wrong_geometry_is_said(tmp_path: Path, positions: list[float], warning: str) -> None:
    write_stack(tmp_path / "ct", positions)
    warnings = open_media(tmp_path / "ct").info.warnings
    if warning is None:
        assert warnings == ()
    else:
        assert any(text.startswith(warning) for text in warnings)


def test_without_positions_the_instance_number_decides(tmp_path: Path) -> None:
    for number, name in ((3, "a"), (1, "b"), (2, "c")):
        write_slice(tmp_path / name, None, InstanceNumber=number)
    with open_media(tmp_path) as source:
        assert source.info.frame_count == 3
        assert "slices without a position" in source.info.warnings[0]


def test_one_folder_with_two_series_and_more(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    write_stack(folder / "x", [0, 1, 2])
    for path in sorted((folder / "x").iterdir()):
        path.rename(folder / f"first-{path.name}")
    (folder / "x").rmdir()
    for number in range(2):
        write_slice(folder / f"second-{number}.dcm", number, SeriesInstanceUID=SERIES + ".7")
    write_slice(
        folder / "zz-scout.dcm",
        0,
        ImageOrientationPatient=SAGITTAL,
    )
    found = list(scan([tmp_path]))
    assert [(item.name, len(item.files)) for item in found] == [
        ("study#1", 3),
        ("study#2", 2),
        ("study/zz-scout.dcm", 0),
    ]
    with pytest.raises(UnsupportedMediaError, match="holds 2 DICOM series"):
        open_media(folder)
    with open_media(found[1].path, found[1].files) as source:
        assert source.info.frame_count == 2
    with open_media(tmp_path / "study#1") as source:
        assert source.info.frame_count == 3
    with pytest.raises(MediaNotFoundError, match="no such series"):
        open_media(tmp_path / "study#3")


def test_projections_of_one_series_are_items_of_their_own(tmp_path: Path) -> None:
    for name in ("pa", "lateral"):
        write_slice(tmp_path / name, None, Modality="DX")
    assert [(d.name, d.files) for d in scan([tmp_path])] == [("lateral", ()), ("pa", ())]


def test_a_multi_frame_object_is_an_item_of_its_own(tmp_path: Path) -> None:
    write_dicom(tmp_path / "cine.dcm", np.zeros((4, 8, 8), np.uint8), Modality="MR")
    write_stack(tmp_path, [0, 1])
    assert sorted(item.name for item in scan([tmp_path])) == sorted([tmp_path.name, "cine.dcm"])


def test_a_folder_without_series(tmp_path: Path) -> None:
    with pytest.raises(MediaNotFoundError, match="no DICOM series"):
        open_media(tmp_path)


def test_a_slice_lost_after_scanning_is_an_error(tmp_path: Path) -> None:
    write_stack(tmp_path / "ct", [0, 1, 2])
    (item,) = scan([tmp_path])
    item.files[1].unlink()
    with pytest.raises(MediaNotFoundError):
        open_media(item.path, item.files)


def test_the_series_of_the_installed_study() -> None:
    import pydicom

    folder = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"
    if not folder.is_dir():
        pytest.skip("the DICOMDIR trees are not installed")
    found = list(scan([folder]))
    series = {item.name: len(item.files) for item in found if item.files}
    assert all(item.kind is not None or item.error is not None for item in found)
    assert series["77654033/CT2"] == 4
    assert not any(Path(item.name).name == "DICOMDIR" for item in found)
