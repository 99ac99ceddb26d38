"""NIfTI files against nibabel, and headers that lie."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as typeless
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from volume_sources import affines, linear, linear_within, places

from vlmtool_core.errors import (
    BudgetExceededError,
    DamagedMediaError,
    MediaError,
    MediaNotFoundError,
    UnsupportedMediaError,
)
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.base import grey
from vlmtool_core.media.volumes.axes import Plane
from vlmtool_core.media.volumes.building import build_volume, volume_frames
from vlmtool_core.media.volumes.letters import EdgeLetters
from vlmtool_core.media.volumes.nifti import NiftiSource
from vlmtool_core.records import MediaKind
from vlmtool_core.settings import Settings, save_settings

nibabel: Any = typeless
NIFTI = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LPS = np.diag([-1.0, -1.0, 1.0])
SHIPPED = Path(nibabel.__file__).parent / "tests" / "data"
SHAPE = (5, 6, 4)


def save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    image = nibabel.Nifti1Image(data, np.diag([2.0, 2.0, 3.0, 1.0]) if affine is None else affine)
    image.header.set_xyzt_units("mm", "sec")
    nibabel.save(image, path)
    return path


def opened(path: Path) -> NiftiSource:
    return NiftiSource(path)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(affines(), st.sampled_from(["volume.nii", "volume.nii.gz"]), st.sampled_from(["<", ">"]))
def test_every_slice_lies_where_its_values_say(
    tmp_path: Path, affine: np.ndarray, name: str, order: str
) -> None:
    voxels = np.stack([*np.indices(SHAPE), np.ones(SHAPE)], axis=-1)
    world = (voxels @ affine.T)[..., :3] @ LPS
    data = linear(world).astype(np.float32)
    header = nibabel.Nifti1Header(endianness=order)
    header.set_data_dtype(np.float32)
    image = nibabel.Nifti1Image(data, affine, header)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, 1)
    path = tmp_path / name
    nibabel.save(image, path)
    with opened(path) as source:
        assert source.info.kind is MediaKind.VOLUME
        count = source.info.frame_count or 0
        seen = []
        for index in range(count):
            plane = source.geometry(index)
            values = source.modality_values(index)
            assert plane is not None
            expected = linear(places(plane, values.shape))
            np.testing.assert_allclose(values, expected, atol=1e-4 * (np.abs(expected).max() + 1))
            seen.append(values.reshape(-1))
            letters = source.letters(index)
            assert letters is not None
            assert "" not in (letters.left, letters.top)
        whole = np.sort(np.concatenate(seen))
    np.testing.assert_array_equal(whole, np.sort(data.reshape(-1)))


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(affines(), st.sampled_from(list(Plane)))
def test_planes_through_a_file_are_exact(tmp_path: Path, affine: np.ndarray, plane: Plane) -> None:
    voxels = np.stack([*np.indices(SHAPE), np.ones(SHAPE)], axis=-1)
    data = linear((voxels @ affine.T)[..., :3] @ LPS).astype(np.float32)
    with opened(save(tmp_path / "v.nii", data, affine)) as source:
        volume = build_volume(source)
    found = volume.reslice(plane, 1)
    expected = linear_within(volume, places(found.geometry, found.values.shape))
    np.testing.assert_allclose(found.values, expected, atol=1e-4 * (np.abs(expected).max() + 1))


@pytest.mark.parametrize("name", ["anatomical.nii", "functional.nii", "example4d.nii.gz"])
def test_files_of_nibabel_give_its_values_and_places(name: str) -> None:
    image = nibabel.as_closest_canonical(nibabel.load(SHIPPED / name))
    data = np.asarray(image.dataobj)
    data = data.reshape(*data.shape[:3], -1)
    with open_media(SHIPPED / name) as source:
        values = grey(source)
        assert values is not None
        slices = data.shape[2]
        count = slices * data.shape[3]
        assert source.info.frame_count == count
        for index in (0, slices - 1, count - 1):
            shown = values.modality_values(index)
            # RAS to the screen: left and back run to the right and down.
            expected = data[::-1, ::-1, index % slices, index // slices].T
            np.testing.assert_allclose(shown, expected, rtol=1e-6)
            plane = values.geometry(index)
            assert plane is not None
            last = np.array([data.shape[0] - 1, data.shape[1] - 1, index % slices, 1.0])
            np.testing.assert_allclose(plane.position, LPS @ (image.affine @ last)[:3], atol=1e-4)


def test_nifti_2_is_read() -> None:
    image = nibabel.load(SHIPPED / "example_nifti2.nii.gz")
    with open_media(SHIPPED / "example_nifti2.nii.gz") as source:
        assert source.info.facts["format"] == "NIfTI-2"
        assert source.info.facts["voxels"] == list(image.shape[:3])
        assert source.frame(0).pixels.shape[2] == 3


@pytest.mark.parametrize(
    "dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8", ">i2", ">f8"]
)
def test_all_kinds_of_numbers_keep_their_values(tmp_path: Path, dtype: str) -> None:
    low = 0 if np.dtype(dtype).kind == "u" else -60
    data = np.arange(low, low + 120).reshape(SHAPE).astype(dtype)
    header = nibabel.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(np.dtype(dtype))
    image = nibabel.Nifti1Image(data, np.diag([-1.0, -1, 1, 1]), header, dtype=np.dtype(dtype))
    image.set_sform(np.diag([-1.0, -1, 1, 1]), 1)
    nibabel.save(image, tmp_path / "v.nii")
    with opened(tmp_path / "v.nii") as source:
        for k in range(SHAPE[2]):
            np.testing.assert_array_equal(source.modality_values(k), data[:, :, k].T)
            assert source.stored_values(k).dtype == np.dtype(dtype).newbyteorder("=")


def test_scaling_and_what_is_no_number(tmp_path: Path) -> None:
    data = np.arange(120, dtype=np.int16).reshape(SHAPE)
    image = nibabel.Nifti1Image(data, np.eye(4))
    image.header.set_slope_inter(0.5, -10)
    nibabel.save(image, tmp_path / "scaled.nii")
    expected = nibabel.load(tmp_path / "scaled.nii").get_fdata()
    with opened(tmp_path / "scaled.nii") as source:
        np.testing.assert_allclose(source.modality_values(2), expected[::-1, ::-1, 2].T)
    holes = np.ones(SHAPE, np.float32)
    holes[0, 0, 0], holes[1, 1, 1] = np.nan, np.inf
    with opened(save(tmp_path / "holes.nii", holes)) as source:
        first, second = source.modality_values(0), source.modality_values(1)
        assert first.mask.sum() == second.mask.sum() == 1
        assert source.frame(0).pixels[-1, -1].tolist() == [0, 0, 0]
        assert source.auto_window().explanation == "constant"


def test_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    plain = rng.integers(0, 256, (*SHAPE, 3), dtype=np.uint8)
    kind = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    path = save(tmp_path / "rgb.nii", plain.view(kind)[..., 0], np.diag([-1.0, -1, 1, 1]))
    with open_media(path) as source:
        assert grey(source) is None
        assert source.info.windows == ()
        for k in range(SHAPE[2]):
            np.testing.assert_array_equal(source.frame(k).pixels, plain[:, :, k].transpose(1, 0, 2))
    with opened(path) as source, pytest.raises(ValueError, match="coloured"):
        source.modality_values(0)


def test_volumes_follow_one_another_with_their_times(tmp_path: Path) -> None:
    data = np.arange(360, dtype=np.int16).reshape(*SHAPE, 3)
    image = nibabel.Nifti1Image(data, np.diag([-2.0, -2, 3, 1]))
    image.header.set_xyzt_units("mm", "msec")
    image.header["pixdim"][4] = 1500
    nibabel.save(image, tmp_path / "bold.nii.gz")
    with opened(tmp_path / "bold.nii.gz") as source:
        assert source.info.frame_count == 12
        assert source.info.facts["volumes"] == 3
        assert source.frame(9).time_s == 3.0
        np.testing.assert_array_equal(source.modality_values(9), data[:, :, 1, 2].T)
        assert volume_frames(source.info, 6) == range(4, 8)
        volume = build_volume(source, 6)
        assert volume.frames == (4, 5, 6, 7)
        assert volume.values.dtype == np.int16
        np.testing.assert_array_equal(volume.values[2], data[:, :, 2, 1].T)


@pytest.mark.parametrize("name", ["turned.nii", "turned.nii.gz"])
def test_volumes_of_sagittal_slices_are_cut_axially(tmp_path: Path, name: str) -> None:
    data = np.arange(360, dtype=np.int16).reshape(*SHAPE, 3)
    # i to the back, j to the head, k to the left: RAS is (-k, -i, j).
    affine = np.array([[0, 0, -1.0, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
    with opened(save(tmp_path / name, data, affine)) as source:
        assert (source.info.width, source.info.height, source.info.frame_count) == (4, 5, 18)
        for index in (17, 0, 7, 6):
            expected = data[:, index % 6, :, index // 6]
            np.testing.assert_array_equal(source.modality_values(index), expected)
        assert source.letters(0) == EdgeLetters("R", "L", "A", "P")


def test_a_single_slice_is_a_picture_with_a_place(tmp_path: Path) -> None:
    data = np.arange(30, dtype=np.int16).reshape(5, 6)
    image = nibabel.Nifti1Image(data, np.diag([-2.0, -2, 3, 1]))
    nibabel.save(image, tmp_path / "slice.nii")
    with opened(tmp_path / "slice.nii") as source:
        assert source.info.frame_count == 1
        np.testing.assert_array_equal(source.modality_values(0), data.T)
        with pytest.raises(UnsupportedMediaError, match="single slice"):
            build_volume(source)


def test_shear_is_told_and_makes_no_volume(tmp_path: Path) -> None:
    affine = np.diag([2.0, 2, 3, 1])
    affine[1, 2] = 0.6
    with opened(save(tmp_path / "v.nii", np.zeros(SHAPE, np.int16), affine)) as source:
        assert any("sform shears" in note for note in source.info.warnings)
        with pytest.raises(UnsupportedMediaError, match=r"slant of 11\.3 degrees"):
            build_volume(source)


def test_a_pair_is_opened_by_either_file_and_found_once(tmp_path: Path) -> None:
    data = np.arange(120, dtype=np.int16).reshape(SHAPE)
    nibabel.save(nibabel.Nifti1Pair(data, np.eye(4)), tmp_path / "pair.img")
    for name in ("pair.hdr", "pair.img"):
        with open_media(tmp_path / name) as source:
            assert source.info.facts["format"] == "NIfTI-1"
            assert source.info.frame_count == 4
    found = list(scan([tmp_path]))
    assert [(item.name, item.kind) for item in found] == [("pair.hdr", MediaKind.VOLUME)]
    (tmp_path / "pair.img").unlink()
    with pytest.raises(MediaNotFoundError, match=r"without its pair\.img"):
        open_media(tmp_path / "pair.hdr")


def test_windows_come_from_the_file_else_from_the_values(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(120, dtype=np.int16).reshape(SHAPE), np.eye(4))
    image.header["cal_min"], image.header["cal_max"] = 10, 50
    nibabel.save(image, tmp_path / "cal.nii")
    with opened(tmp_path / "cal.nii") as source:
        window = source.info.windows[0]
        assert (window.center, window.width, window.function) == (30, 40, "LINEAR_EXACT")
        values = source.modality_values(1)
        pixels = source.frame(1).pixels[..., 0]
        expected = np.rint(np.clip((values - 10) / 40 * 255, 0, 255))
        np.testing.assert_allclose(pixels, expected, atol=1)
        assert source.frame(1).provenance["voi"]["explanation"] == "cal_min to cal_max"


def edited(path: Path, change: Callable[[Any], None]) -> Path:
    """The file with fields of its header changed as they are stored."""
    raw = path.read_bytes()
    header = nibabel.Nifti1Header(raw[:348], check=False)
    change(header)
    path.write_bytes(header.binaryblock + raw[348:])
    return path


def set_field(name: str, value: object, at: int | None = None) -> Callable[[Any], None]:
    def change(header: Any) -> None:
        if at is None:
            header[name] = value
        else:
            header[name][at] = value

    return change


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    return save(tmp_path / "plain.nii", np.arange(120, dtype=np.int16).reshape(SHAPE))


@pytest.mark.parametrize(
    ("change", "error", "field", "words"),
    [
        (set_field("dim", 0, 0), DamagedMediaError, "dim", r"dim\[0\] is 0"),
        (set_field("dim", 9, 0), DamagedMediaError, "dim", r"dim\[0\] is 9"),
        (set_field("dim", -3, 2), DamagedMediaError, "dim", r"dim\[2\] is -3"),
        (set_field("dim", 0, 3), DamagedMediaError, "dim", r"dim\[3\] is 0"),
        (set_field("dim", 1, 0), UnsupportedMediaError, "dim", "no picture"),
        (set_field("dim", 500, 3), DamagedMediaError, "dim", "truncated"),
        (set_field("datatype", 3), DamagedMediaError, "datatype", "none of NIfTI"),
        (set_field("datatype", 1), UnsupportedMediaError, "datatype", "one bit"),
        (set_field("datatype", 32), UnsupportedMediaError, "datatype", "complex64"),
        (set_field("bitpix", 8), DamagedMediaError, "bitpix", "has 16 bits"),
        (set_field("vox_offset", np.nan), DamagedMediaError, "vox_offset", "nan"),
        (set_field("vox_offset", -16), DamagedMediaError, "vox_offset", "-16"),
        (set_field("vox_offset", 16), DamagedMediaError, "vox_offset", "lies in the header"),
        (set_field("vox_offset", 1e6), DamagedMediaError, "dim", "truncated"),
    ],
)
def test_headers_that_lie_are_refused_by_field(
    plain: Path,
    change: Callable[[Any], None],
    error: type[MediaError],
    field: str,
    words: str,
) -> None:
    with pytest.raises(error, match=words) as caught:
        opened(edited(plain, change))
    assert caught.value.field == field


def test_a_vox_offset_of_zero_means_behind_the_header(plain: Path) -> None:
    with opened(edited(plain, set_field("vox_offset", 0))) as source:
        assert source.stored_values(0).max() == 116


def test_a_truncated_file_is_told_from_the_header(plain: Path) -> None:
    plain.write_bytes(plain.read_bytes()[:-1])
    with pytest.raises(DamagedMediaError, match="truncated"):
        opened(plain)
    plain.write_bytes(plain.read_bytes()[:200])
    with pytest.raises(MediaError):
        open_media(plain)


def test_a_truncated_or_broken_gzip_fails_when_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = rng.integers(0, 9999, (40, 40, 40)).astype(np.int16)
    path = save(tmp_path / "v.nii.gz", data)
    raw = path.read_bytes()
    path.write_bytes(raw[: len(raw) // 2])
    with opened(path) as source, pytest.raises(DamagedMediaError, match="ends after"):
        source.frame(20)
    path.write_bytes(raw[:30000] + b"\xff" * 3000 + raw[33000:])
    with opened(path) as source, pytest.raises(DamagedMediaError):
        source.frame(20)


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int16)
    header.set_data_shape((2000, 2000, 2000))
    header["magic"], header["vox_offset"] = b"n+1", 352
    packed = gzip.compress(header.binaryblock + bytes(4 + 20_000_000))
    (tmp_path / "bomb.nii.gz").write_bytes(packed)
    save_settings(Settings(max_file_mb=1000))
    with pytest.raises(BudgetExceededError, match="16000 MB of voxels") as caught:
        open_media(tmp_path / "bomb.nii.gz")
    assert caught.value.field == "max_file_mb"


def test_nothing_behind_the_voxels_is_inflated(tmp_path: Path) -> None:
    path = save(tmp_path / "v.nii", np.arange(120, dtype=np.int16).reshape(SHAPE))
    bomb = tmp_path / "tail.nii.gz"
    bomb.write_bytes(gzip.compress(path.read_bytes() + bytes(30_000_000), 1))
    with opened(bomb) as source:
        assert source.frame(3).pixels.shape == (6, 5, 3)


def test_members_of_gzip_behind_each_other(tmp_path: Path) -> None:
    raw = save(tmp_path / "v.nii", np.arange(120, dtype=np.int16).reshape(SHAPE)).read_bytes()
    path = tmp_path / "members.nii.gz"
    path.write_bytes(gzip.compress(raw[:400]) + gzip.compress(raw[400:]))
    with opened(path) as source:
        assert source.stored_values(3).max() == 119


def test_sform_goes_before_qform_and_their_difference_is_told(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4))
    image.set_sform(np.diag([-1.0, -1, 1, 1]), 4)
    image.set_qform(np.diag([-2.0, -2, 2, 1]), 1)
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "both.nii")
    with opened(tmp_path / "both.nii") as source:
        assert source.info.facts["orientation_from"] == "sform (mni)"
        assert any("differ by up to 5.0 mm" in note for note in source.info.warnings)
    with opened(edited(tmp_path / "both.nii", set_field("sform_code", 0))) as source:
        assert source.info.facts["orientation_from"] == "qform (scanner)"
        assert source.spacing(0).row_mm == pytest.approx(2)


def test_without_a_transform_there_are_no_sides(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.arange(120, dtype=np.int16).reshape(SHAPE), None)
    image.header.set_zooms((2, 3, 4))
    nibabel.save(image, tmp_path / "nowhere.nii")
    edited(tmp_path / "nowhere.nii", set_field("qform_code", 0))
    with opened(tmp_path / "nowhere.nii") as source:
        assert source.geometry(0) is None
        assert source.letters(0) is None
        assert source.affine() is None
        assert source.spacing(0).source == "pixdim"
        assert (source.spacing(0).row_mm, source.spacing(0).column_mm) == (3, 2)
        assert any("does not say how it lies" in note for note in source.info.warnings)
        with pytest.raises(UnsupportedMediaError, match="does not say how it lies"):
            build_volume(source)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1000.0), ("micron", 0.001)])
def test_units_become_millimetres(tmp_path: Path, unit: str, factor: float) -> None:
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), np.diag([-2.0, -2, 2, 1]))
    image.header.set_xyzt_units(unit)
    nibabel.save(image, tmp_path / "v.nii")
    with opened(tmp_path / "v.nii") as source:
        assert source.spacing(0).row_mm == pytest.approx(2 * factor)
        plane = source.geometry(2)
        assert plane is not None
        assert plane.position[2] == pytest.approx(4 * factor)


@pytest.mark.parametrize("broken", [np.zeros((4, 4)), np.full((4, 4), np.nan)])
def test_a_transform_that_leads_nowhere_is_not_used(tmp_path: Path, broken: np.ndarray) -> None:
    path = save(tmp_path / "v.nii", np.zeros(SHAPE, np.int16))

    def change(header: Any) -> None:
        header["sform_code"], header["qform_code"] = 1, 0
        for row, name in enumerate(("srow_x", "srow_y", "srow_z")):
            header[name] = broken[row]

    with opened(edited(path, change)) as source:
        assert source.geometry(0) is None
        assert any("sform cannot be used" in note for note in source.info.warnings)


def test_texts_of_people_are_kept_apart(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(np.zeros(SHAPE, np.int16), np.eye(4))
    image.header["descrip"] = b"Jane Doe 1970"
    image.header["intent_code"] = 1002
    nibabel.save(image, tmp_path / "v.nii")
    with opened(tmp_path / "v.nii") as source:
        assert source.info.identifying == {"descrip": "Jane Doe 1970"}
        assert source.info.facts["intent"] == "label"
        assert "Jane" not in str(source.info.facts)


def test_letters_of_a_straight_volume(plain: Path) -> None:
    with opened(plain) as source:
        assert source.letters(0) == EdgeLetters("R", "L", "A", "P")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 351), st.integers(0, 255))
def test_any_byte_of_a_header_may_be_wrong(tmp_path: Path, at: int, value: int) -> None:
    path = save(tmp_path / "fuzzed.nii", np.arange(120, dtype=np.int16).reshape(SHAPE))
    raw = bytearray(path.read_bytes())
    raw[at] = value
    path.write_bytes(raw)
    try:
        with open_media(path) as source:
            shape = source.frame(0).pixels.shape
    except MediaError:
        return  # anything else that is raised fails the test
    assert shape[2] == 3
