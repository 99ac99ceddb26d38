"""Series and multi-frame objects as volumes, with highdicom's geometry as a second opinion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from media_dicoms import sequence_item, write_dicom
from pydicom.data import get_testdata_file
from volume_sources import affines, linear, linear_within, places, plane_of

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media import open_media
from vlmtool_core.media.base import PlaneGeometry
from vlmtool_core.media.dicom.geometry import edge_letters, plane_geometry
from vlmtool_core.media.volumes.axes import Plane
from vlmtool_core.media.volumes.building import build_volume
from vlmtool_core.media.volumes.letters import EdgeLetters
from vlmtool_core.media.volumes.planes import to_patient

SHAPE = (5, 6, 4)  # k, j, i
STRAIGHT = np.diag([0.5, 0.75, 2.0, 1.0])


def write_series(folder: Path, affine: np.ndarray, **elements: Any) -> list[Path]:
    """Slices along k, written and named in another order; values linear in the place."""
    files = []
    for k in (3, 0, 4, 1, 2):
        plane = plane_of(affine, k)
        j, i = np.indices(SHAPE[1:])
        points = np.array(
            [[to_patient(plane, x + 0.5, y + 0.5) for x in i[0]] for y in range(SHAPE[1])]
        )
        assert points.shape[:2] == j.shape
        stored = np.rint(linear(points) * 10).astype(np.int16)
        files.append(
            write_dicom(
                folder / f"{(k * 7) % 5}.dcm",
                stored,
                ImagePositionPatient=[f"{v:.10g}" for v in plane.position],
                ImageOrientationPatient=[f"{v:.10g}" for v in (*plane.row, *plane.column)],
                PixelSpacing=[f"{v:.10g}" for v in plane.spacing],
                FrameOfReferenceUID="1.2.840.1",
                RescaleSlope=0.1,
                RescaleIntercept=0,
                InstanceNumber=k,
                **elements,
            )
        )
    return files


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(affines())
def test_series_lie_where_highdicom_puts_them(tmp_path: Path, affine: np.ndarray) -> None:
    for old in tmp_path.glob("*.dcm"):
        old.unlink()
    files = write_series(tmp_path, affine)
    with open_media(tmp_path, tuple(sorted(files))) as source:
        volume = build_volume(source)
    other: Any = highdicom.get_volume_from_series([pydicom.dcmread(f) for f in files])
    # highdicom orders (slice, row, column), and slices perhaps the other way round.
    theirs = other.affine[:3, [2, 1, 0]]
    assert np.abs(np.abs(theirs) - np.abs(volume.affine[:3, :3])).max() < 1e-4
    for k, j, i in ((0, 0, 0), (4, 5, 3), (2, 1, 3)):
        place = volume.to_patient(np.array([i, j, k]))
        index = np.rint(other.map_reference_to_indices(place[None])[0]).astype(int)
        np.testing.assert_allclose(other.map_indices_to_reference(index[None])[0], place, atol=1e-3)
        assert volume.values[k, j, i] == pytest.approx(other.array[tuple(index)], abs=1e-3)


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(affines(), st.sampled_from(list(Plane)))
def test_planes_through_a_series_show_what_lies_there(
    tmp_path: Path, affine: np.ndarray, plane: Plane
) -> None:
    for old in tmp_path.glob("*.dcm"):
        old.unlink()
    files = write_series(tmp_path, affine)
    with open_media(tmp_path, tuple(sorted(files))) as source:
        volume = build_volume(source)
    found = volume.reslice(plane, 1)
    expected = linear_within(volume, places(found.geometry, found.values.shape))
    # Stored values are rounded to tenths.
    np.testing.assert_allclose(found.values, expected, atol=0.06)


def test_a_multi_frame_object_is_a_volume(tmp_path: Path) -> None:
    stored = np.arange(120, dtype=np.int16).reshape(SHAPE)
    order = [2, 0, 4, 1, 3]
    path = write_dicom(
        tmp_path / "enhanced.dcm",
        stored[order],
        FrameOfReferenceUID="1.2.840.1",
        SharedFunctionalGroupsSequence=[
            sequence_item(
                PixelMeasuresSequence=[sequence_item(PixelSpacing=[0.75, 0.5])],
                PlaneOrientationSequence=[
                    sequence_item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
                ],
            )
        ],
        PerFrameFunctionalGroupsSequence=[
            sequence_item(
                PlanePositionSequence=[sequence_item(ImagePositionPatient=[-1, -2, 2.0 * k])]
            )
            for k in order
        ],
    )
    with open_media(path) as source:
        volume = build_volume(source)
    np.testing.assert_array_equal(volume.values, stored)
    assert volume.frames == (1, 3, 0, 4, 2)
    expected = STRAIGHT.copy()
    expected[:3, 3] = -1, -2, 0
    np.testing.assert_allclose(volume.affine, expected)
    assert volume.frame_of_reference == "1.2.840.1"


def test_the_enhanced_ct_of_pydicom_lies_where_highdicom_says() -> None:
    path = get_testdata_file("eCT_Supplemental.dcm")
    assert isinstance(path, str)
    image: Any = highdicom.imread(path)
    with open_media(path) as source:
        geometry: PlaneGeometry | None = source.geometry(1)  # type: ignore[attr-defined]
    frame = pydicom.dcmread(path, stop_before_pixels=True).PerFrameFunctionalGroupsSequence[1]
    assert geometry is not None
    stated = frame.PlanePositionSequence[0].ImagePositionPatient
    np.testing.assert_allclose(geometry.position, stated)
    if (theirs := image.get_volume_geometry()) is not None:
        corners = theirs.map_indices_to_reference(np.array([[0, 0, 0], [1, 0, 0]]))
        assert np.abs(corners - np.array(geometry.position)).max(axis=1).min() < 1e-3


def test_a_series_without_positions_says_so(tmp_path: Path) -> None:
    files = [
        write_dicom(tmp_path / f"{k}.dcm", np.zeros((4, 4), np.int16), InstanceNumber=k)
        for k in range(3)
    ]
    with (
        open_media(tmp_path, tuple(files)) as source,
        pytest.raises(UnsupportedMediaError, match="frame 1 does not state position"),
    ):
        build_volume(source)


def letters(tmp_path: Path, **elements: Any) -> EdgeLetters | None:
    path = write_dicom(tmp_path / "one.dcm", np.zeros((4, 4), np.int16), **elements)
    found = edge_letters(pydicom.dcmread(path))
    with open_media(path) as source:
        assert source.letters(0) == found  # type: ignore[attr-defined]
    return found


def test_letters_come_from_the_orientation_of_the_image(tmp_path: Path) -> None:
    axes = [1, 0, 0, 0, 0, -1]
    assert letters(tmp_path, ImageOrientationPatient=axes) == EdgeLetters("R", "L", "H", "F")
    # It goes before PatientOrientation.
    found = letters(tmp_path, ImageOrientationPatient=axes, PatientOrientation=["A", "F"])
    assert found == EdgeLetters("R", "L", "H", "F")
    animal = {"AnatomicalOrientationType": "QUADRUPED", "ImageOrientationPatient": axes}
    assert letters(tmp_path, **animal) is None
    found = letters(tmp_path, **animal, BodyPartExamined="CHEST")
    assert found == EdgeLetters("RT", "LE", "CR", "CD")


def test_letters_of_projections_come_from_patient_orientation(tmp_path: Path) -> None:
    found = letters(tmp_path, Modality="MG", PatientOrientation=["P", "FR"])
    assert found == EdgeLetters("A", "P", "HL", "FR")
    assert letters(tmp_path, Modality="DX", PatientOrientation="") is None
    assert letters(tmp_path, Modality="DX", PatientOrientation="L") is None
    assert letters(tmp_path) is None


def test_an_orientation_that_is_none_gives_neither_letters_nor_a_plane(tmp_path: Path) -> None:
    for axes in ([1, 0, 0, 1, 0, 0], [0, 0, 0, 0, 1, 0], [1, 0, 0, 0.5, 1, 0]):
        assert letters(tmp_path, ImageOrientationPatient=axes) is None
        path = write_dicom(
            tmp_path / "plane.dcm",
            np.zeros((4, 4), np.int16),
            ImageOrientationPatient=axes,
            ImagePositionPatient=[0, 0, 0],
            PixelSpacing=[1, 1],
        )
        assert plane_geometry(pydicom.dcmread(path)) is None


def test_frames_of_a_dose_grid_lie_at_their_offsets() -> None:
    path = get_testdata_file("rtdose.dcm")
    assert isinstance(path, str)
    stated = pydicom.dcmread(path)
    with open_media(path) as source:
        volume = build_volume(source)
    np.testing.assert_allclose(volume.affine[:3, 3], stated.ImagePositionPatient)
    np.testing.assert_allclose(volume.voxel_mm, (10, 10, 5))
    dose = stated.pixel_array * float(stated.DoseGridScaling)
    assert volume.values.shape == dose.shape


@pytest.mark.parametrize(
    ("axes", "offsets", "expected"),
    [
        ([1, 0, 0, 0, 1, 0], [0, 3, 7], [10, 13, 17]),
        ([-1, 0, 0, 0, 1, 0], [0, 3, 7], [10, 7, 3]),
        ([1, 0, 0, 0, 1, 0], [10, 13, 17], [10, 13, 17]),
        ([-1, 0, 0, 0, 1, 0], [10, 13, 17], [10, 13, 17]),
        ([1, 0, 0, 0, 1, 0], [9, 13, 17], [None] * 3),
        ([1, 0, 0, 0, 0, -1], [10, 13, 17], [None] * 3),
        ([1, 0, 0, 0, 1, 0], [0, 3], [10, 13, None]),
    ],
)
def test_offsets_of_dose_grids_are_of_two_kinds(
    axes: list[float], offsets: list[float], expected: list[float | None]
) -> None:
    dataset = pydicom.Dataset()
    dataset.ImageOrientationPatient = axes
    dataset.ImagePositionPatient = [1, 2, 10]
    dataset.PixelSpacing = [1, 1]
    dataset.GridFrameOffsetVector = offsets
    found = [plane_geometry(dataset, index) for index in range(3)]
    assert [None if plane is None else plane.position[2] for plane in found] == expected
