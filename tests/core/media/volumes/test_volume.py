"""Planes through volumes: values and places are exact, and what is no volume says why."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from volume_sources import (
    PlanesSource,
    affines,
    grid_points,
    linear_source,
    linear_within,
    places,
    plane_of,
)

from vlmtool_core.errors import CancelledError, UnsupportedMediaError
from vlmtool_core.jobs import CancelToken, Progress
from vlmtool_core.media.base import PlaneGeometry
from vlmtool_core.media.volumes.axes import Plane
from vlmtool_core.media.volumes.building import build_volume, why_no_volume
from vlmtool_core.media.volumes.planes import to_patient
from vlmtool_core.media.volumes.volume import Volume

SHAPE = (4, 5, 6)
STRAIGHT = np.diag([0.8, 0.8, 2.5, 1.0])


@settings(max_examples=60, deadline=None)
@given(affines(), st.sampled_from(list(Plane)), st.booleans(), st.data())
def test_planes_of_a_linear_volume_are_exact(
    affine: np.ndarray, plane: Plane, square: bool, data: st.DataObject
) -> None:
    volume = build_volume(linear_source(affine, SHAPE))
    number = data.draw(st.integers(0, volume.count(plane) - 1))
    found = volume.reslice(plane, number, square=square)
    expected = linear_within(volume, places(found.geometry, found.values.shape))
    assert not np.ma.is_masked(found.values)
    scale = np.abs(expected).max() + 1
    np.testing.assert_allclose(found.values, expected, atol=2e-6 * scale)
    if square:
        assert found.geometry.spacing[0] == pytest.approx(found.geometry.spacing[1], rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(affines(), st.tuples(*[st.floats(-10, 20)] * 3))
def test_voxels_and_places_go_round(affine: np.ndarray, voxel: tuple[float, ...]) -> None:
    volume = Volume(np.zeros(SHAPE, np.int16), affine)
    there = volume.to_patient(np.array(voxel))
    np.testing.assert_allclose(volume.to_voxel(there), voxel, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(affines(), st.sampled_from(list(Plane)), st.data())
def test_the_plane_at_a_point_of_a_plane_is_that_plane(
    affine: np.ndarray, plane: Plane, data: st.DataObject
) -> None:
    volume = Volume(np.zeros(SHAPE, np.int16), affine)
    number = data.draw(st.integers(0, volume.count(plane) - 1))
    geometry = volume.reslice(plane, number).geometry
    assert volume.plane_at(plane, to_patient(geometry, 2.0, 1.0)) == number


@settings(max_examples=40, deadline=None)
@given(affines())
def test_frames_of_the_source_are_found_again(affine: np.ndarray) -> None:
    source = linear_source(affine, SHAPE)
    volume = build_volume(source)
    for frame in range(SHAPE[0]):
        plane, number = volume.plane_of_frame(frame)
        shown = volume.reslice(plane, number, square=False)
        own = np.sort(source.modality_values(frame).reshape(-1))
        np.testing.assert_array_equal(np.sort(shown.values.reshape(-1)), own)


def test_planes_are_shown_as_radiology_does() -> None:
    volume = build_volume(linear_source(STRAIGHT, SHAPE))
    axial, sagittal, coronal = (
        volume.reslice(plane, 0).geometry for plane in (Plane.AXIAL, Plane.SAGITTAL, Plane.CORONAL)
    )
    assert (axial.row, axial.column) == ((1, 0, 0), (0, 1, 0))
    assert (sagittal.row, sagittal.column) == ((0, 1, 0), (0, 0, -1))
    assert (coronal.row, coronal.column) == ((1, 0, 0), (0, 0, -1))
    assert [volume.count(plane) for plane in Plane] == [4, 6, 5]
    # From foot to head, from right to left, from front to back.
    assert volume.reslice(Plane.AXIAL, 3).geometry.position[2] == 7.5
    assert volume.reslice(Plane.SAGITTAL, 5).geometry.position[0] == 4.0
    assert volume.reslice(Plane.CORONAL, 4).geometry.position[1] == pytest.approx(3.2)


def test_square_pixels_cover_the_voxels_from_edge_to_edge() -> None:
    volume = build_volume(linear_source(STRAIGHT, SHAPE))
    plane = volume.reslice(Plane.CORONAL, 1)
    # 4 voxels of 2.5 mm; the first of 12 pixels of 0.8 mm lies 0.8 mm above the middle of the
    # uppermost voxel, the next one in it.
    assert plane.values.shape == (12, 6)
    assert plane.geometry.spacing == pytest.approx((0.8, 0.8))
    assert plane.geometry.position == pytest.approx((0, 0.8, 7.5 + 0.8))
    np.testing.assert_array_equal(plane.values[0], plane.values[1])
    raw = volume.reslice(Plane.CORONAL, 1, square=False)
    assert raw.values.shape == (4, 6)
    assert raw.geometry.spacing == pytest.approx((2.5, 0.8))
    nearest = volume.reslice(Plane.CORONAL, 1, interpolate=False)
    assert np.isin(nearest.values, raw.values).all()
    with pytest.raises(IndexError, match="no coronal plane 5; there are 5"):
        volume.reslice(Plane.CORONAL, 5)


def test_slices_in_any_order_are_put_in_theirs() -> None:
    source = linear_source(STRAIGHT, SHAPE)
    order = [2, 0, 3, 1]
    mixed = PlanesSource(
        [source.modality_values(k) for k in order], [source.geometry(k) for k in order]
    )
    volume = build_volume(mixed)
    assert volume.frames == (1, 3, 0, 2)
    np.testing.assert_array_equal(volume.values, build_volume(source).values)
    assert volume.frame_of_reference == "1.2.3"


def test_whole_numbers_are_kept_as_int16_with_their_padding() -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4) - 1000
    masked = np.ma.MaskedArray(values)
    masked[1, 2, 3] = np.ma.masked
    planes = [plane_of(STRAIGHT, k) for k in range(2)]
    volume = build_volume(PlanesSource(list(masked), planes))
    assert volume.values.dtype == np.int16
    for interpolate in (True, False):
        plane = volume.reslice(Plane.CORONAL, 2, interpolate=interpolate).values
        assert plane[0, 0] == -1000 + 20  # right, head
        assert plane[0, 3] is np.ma.masked
        assert plane[-1, 3] == -1000 + 11
    assert volume.reslice(Plane.AXIAL, 1).values[2, 3] is np.ma.masked


@pytest.mark.parametrize("odd", [0.5, 40000.0, -32768.0])
def test_what_int16_cannot_hold_is_kept_as_float(odd: float) -> None:
    values = np.zeros((3, 2, 2), np.float32)
    values[1, 0, 1] = odd
    masked = np.ma.MaskedArray(values)
    masked[0, 1, 1] = np.ma.masked
    volume = build_volume(PlanesSource(list(masked), [plane_of(STRAIGHT, k) for k in range(3)]))
    assert volume.values.dtype == np.float32
    assert volume.values[1, 0, 1] == odd
    assert np.isnan(volume.values[0, 1, 1])


def moved(plane: PlaneGeometry, *away: float) -> PlaneGeometry:
    x, y, z = np.add(plane.position, away)
    return replace(plane, position=(float(x), float(y), float(z)))


def _planes(count: int = 5) -> list[PlaneGeometry]:
    return [plane_of(STRAIGHT, k) for k in range(count)]


def _missing() -> list[PlaneGeometry | None]:
    found: list[PlaneGeometry | None] = list(_planes(6))
    del found[3]
    return found


def _uneven() -> list[PlaneGeometry | None]:
    planes = _planes()
    return [*planes[:4], moved(planes[4], 0, 0, 0.3)]


def _tilted() -> list[PlaneGeometry | None]:
    return [moved(plane, 0, 0.5 * k, 0) for k, plane in enumerate(_planes())]


def _doubled() -> list[PlaneGeometry | None]:
    planes = _planes()
    return [*planes[:4], planes[3]]


def _turned() -> list[PlaneGeometry | None]:
    planes = _planes()
    return [*planes[:4], replace(planes[4], row=(0.0, 1.0, 0.0), column=(-1.0, 0.0, 0.0))]


def _unplaced() -> list[PlaneGeometry | None]:
    return [*_planes()[:4], None]


def _two_spacings() -> list[PlaneGeometry | None]:
    planes = _planes()
    return [*planes[:4], replace(planes[4], spacing=(0.8, 0.9))]


def _two_frames() -> list[PlaneGeometry | None]:
    planes = _planes()
    return [*planes[:4], replace(planes[4], frame_of_reference="9.9")]


@pytest.mark.parametrize(
    ("planes", "reason"),
    [
        (_missing(), r"1 slices are missing \(spacing 2.5 mm\)"),
        (_uneven(), "uneven slice spacing: 2.5 to 2.8 mm"),
        (_tilted(), r"slant of 11.3 degrees \(gantry tilt or shear\)"),
        (_doubled(), "1 slices share the position"),
        (_turned(), "turned against each other"),
        (_unplaced(), "frame 5 does not state position"),
        (_two_spacings(), "differ in pixel spacing"),
        (_two_frames(), "differ in FrameOfReferenceUID"),
    ],
)
def test_what_is_no_regular_grid_is_refused(
    planes: list[PlaneGeometry | None], reason: str
) -> None:
    source = PlanesSource([np.zeros((3, 3))] * len(planes), planes)
    with pytest.raises(UnsupportedMediaError, match=reason) as caught:
        build_volume(source)
    assert caught.value.path == "given"


def test_positions_rounded_in_the_header_are_even() -> None:
    affine = np.diag([0.7, 0.7, 1 / 3, 1.0])
    planes = [
        replace(p, position=(p.position[0], p.position[1], round(p.position[2], 2)))
        for p in (plane_of(affine, k) for k in range(20))
    ]
    volume = build_volume(PlanesSource([np.zeros((3, 3))] * 20, planes))
    assert volume.voxel_mm[2] == pytest.approx(1 / 3, abs=1e-3)


def test_a_single_slice_is_no_volume() -> None:
    source = PlanesSource([np.zeros((3, 3))], [plane_of(STRAIGHT, 0)])
    assert why_no_volume(source.info) == "it has a single slice"
    with pytest.raises(UnsupportedMediaError, match="single slice"):
        build_volume(source)


def test_reading_tells_how_far_it_is_and_stops_when_asked() -> None:
    source = linear_source(STRAIGHT, SHAPE)
    told: list[Progress] = []
    build_volume(source, progress=told.append)
    assert (told[-1].done, told[-1].total) == (8, 8)
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        build_volume(source, cancel=token)


def test_grid_points_are_those_of_the_volume() -> None:
    volume = build_volume(linear_source(STRAIGHT, SHAPE))
    corner = grid_points(STRAIGHT, SHAPE)[3, 4, 5]
    np.testing.assert_allclose(volume.to_patient(np.array([5, 4, 3])), corner)
