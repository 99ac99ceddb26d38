"""Encapsulated pixel data: any sharing of frames over fragments, any offset table, any damage."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from coded_dicoms import even, items, write_coded
from hypothesis import given
from hypothesis import strategies as st

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.dicom.fragments import frame_table, read_frame
from vlmtool_core.media.dicom.header import read_header
from vlmtool_core.media.dicom.pixels import PixelReader

JPEG_2000 = "1.2.840.10008.1.2.4.90"
JPEG_LS = "1.2.840.10008.1.2.4.80"
STACK = np.stack([np.random.default_rng(n).integers(0, 255, (32, 24), np.uint8) for n in range(4)])
FRAMES = [
    even(imagecodecs.jpeg2k_encode(one, level=0, codecformat="j2k", reversible=True))
    for one in STACK
]


def reader_of(path: Path) -> PixelReader:
    return PixelReader(read_header(path))


def offsets_of(frames: list[bytes], per_frame: int = 1) -> list[int]:
    places, place = [], 0
    for frame in frames:
        places.append(place)
        place += len(frame) + 8 * per_frame
    return places


def split(frame: bytes, parts: int) -> list[bytes]:
    size = max(2, len(frame) // parts // 2 * 2)
    pieces = [frame[n * size : (n + 1) * size] for n in range(parts - 1)]
    return [*pieces, frame[(parts - 1) * size :]]


@pytest.mark.parametrize("fragments", [1, 3])
@pytest.mark.parametrize("table", ["basic", "extended", "none"])
def test_frames_over_any_number_of_fragments(tmp_path: Path, fragments: int, table: str) -> None:
    if table == "extended" and fragments > 1:
        fragments = 1  # PS3.3 C.7.6.3.1.8: one fragment for each frame
    path = write_coded(
        tmp_path / "a.dcm", STACK, JPEG_2000, FRAMES,
        fragments=fragments, bot=table == "basic", extended=table == "extended",
    )  # fmt: skip
    reader = reader_of(path)
    assert reader.notes == ()
    for index in (3, 0, 2, 1):
        assert np.array_equal(reader.read(index)[0], STACK[index])


def test_one_frame_in_several_fragments_with_an_empty_one(tmp_path: Path) -> None:
    body = items([*split(FRAMES[0], 3), b""])
    path = write_coded(tmp_path / "a.dcm", STACK[0], JPEG_2000, [], body=body)
    reader = reader_of(path)
    assert reader.notes == ()
    assert np.array_equal(reader.read(0)[0], STACK[0])


@pytest.mark.parametrize(
    "offsets",
    [[4, 8, 12, 16], [0, 0, 0, 0], [0, 2**31, 5, 7], [0], [0, 10**6]],
)
def test_a_wrong_offset_table_is_left_aside_and_told(tmp_path: Path, offsets: list[int]) -> None:
    path = write_coded(tmp_path / "a.dcm", STACK, JPEG_2000, [], body=items(FRAMES, offsets))
    reader = reader_of(path)
    assert reader.notes == ("the basic offset table is wrong and was left aside",)
    for index in range(4):
        assert np.array_equal(reader.read(index)[0], STACK[index])


def test_a_wrong_extended_table_is_left_aside_and_the_basic_one_used(tmp_path: Path) -> None:
    body = items([part for frame in FRAMES for part in split(frame, 2)], offsets_of(FRAMES, 2))
    path = write_coded(
        tmp_path / "a.dcm", STACK, JPEG_2000, [], body=body, ExtendedOffsetTable=bytes(32),
        ExtendedOffsetTableLengths=bytes(32),
    )  # fmt: skip
    reader = reader_of(path)
    assert reader.notes == ("the extended offset table is wrong and was left aside",)
    assert np.array_equal(reader.read(3)[0], STACK[3])


def test_missing_frames_are_named_and_the_others_shown(tmp_path: Path) -> None:
    body = items(FRAMES[:3], offsets_of(FRAMES[:3]))
    path = write_coded(tmp_path / "a.dcm", STACK, JPEG_2000, [], body=body)
    reader = reader_of(path)
    assert reader.frame_count == 4
    assert reader.notes == ("the header says 4 frames, only 3 are in the file",)
    assert np.array_equal(reader.read(2)[0], STACK[2])
    with pytest.raises(DamagedMediaError, match=r"frame 4 is missing: .* 4 frames, 3 are"):
        reader.read(3)


@pytest.mark.parametrize("table", [True, False])
def test_frames_beyond_the_stated_ones_are_told(tmp_path: Path, table: bool) -> None:
    body = items(FRAMES, offsets_of(FRAMES) if table else ())
    path = write_coded(tmp_path / "a.dcm", STACK, JPEG_2000, [], body=body, NumberOfFrames=2)
    reader = reader_of(path)
    assert reader.frame_count == 2
    assert reader.notes == ("the header says 2 frames, the file holds 4",)
    assert np.array_equal(reader.read(1)[0], STACK[1])


def test_a_file_that_breaks_off_shows_what_is_whole(tmp_path: Path) -> None:
    path = write_coded(tmp_path / "a.dcm", STACK, JPEG_2000, FRAMES, bot=False)
    data = path.read_bytes()
    path.write_bytes(data[: -len(FRAMES[3]) // 2 - 8])
    reader = reader_of(path)
    assert "the file breaks off within its pixel data" in reader.notes
    assert np.array_equal(reader.read(2)[0], STACK[2])
    with pytest.raises(DamagedMediaError):
        reader.read(3)


def test_pixel_data_without_their_delimiter(tmp_path: Path) -> None:
    body = items(FRAMES, offsets_of(FRAMES), end=False)
    path = write_coded(tmp_path / "a.dcm", STACK, JPEG_2000, [], body=body)
    reader = reader_of(path)
    assert reader.notes == ("the file breaks off within its pixel data",)
    assert np.array_equal(reader.read(3)[0], STACK[3])


@pytest.mark.parametrize("body", [items([]), items([], [0]), b"", b"\xfe\xff\x00\xe0"])
def test_pixel_data_without_a_frame(tmp_path: Path, body: bytes) -> None:
    path = write_coded(tmp_path / "a.dcm", STACK, JPEG_2000, [], body=body)
    with pytest.raises(DamagedMediaError, match="no frame"):
        reader_of(path)


def test_a_table_that_ends_at_the_last_frame_but_has_other_frames_in_between(
    tmp_path: Path,
) -> None:
    """The basic offset table decides where fragments begin like none of the known codings."""
    body = items([part for frame in FRAMES for part in split(frame, 3)], offsets_of(FRAMES, 3))
    path = write_coded(tmp_path / "a.dcm", STACK, JPEG_2000, [], body=body)
    reader = reader_of(path)
    assert reader.notes == ()
    assert all(np.array_equal(reader.read(n)[0], STACK[n]) for n in range(4))


@given(st.lists(st.lists(st.integers(1, 40), min_size=1, max_size=4), min_size=1, max_size=6))
def test_the_table_shares_out_every_byte_once(sizes: list[list[int]]) -> None:
    """Whatever the sizes: by the offset table each frame gets its fragments, in order, whole."""
    parts = [[bytes([n % 251]) * (2 * size) for size in frame] for n, frame in enumerate(sizes)]
    flat = [part for frame in parts for part in frame]
    offsets, place = [], 0
    for frame in parts:
        offsets.append(place)
        place += sum(len(part) + 8 for part in frame)
    stream = BytesIO(b"before" + items(flat, offsets))
    table = frame_table(stream, 6, len(parts))
    assert table.notes == ()
    assert [read_frame(stream, frame) for frame in table.frames] == [b"".join(p) for p in parts]


@given(st.binary(max_size=200), st.integers(1, 5))
def test_no_bytes_make_it_fail_or_hang(data: bytes, count: int) -> None:
    stream = BytesIO(data)
    for frame in frame_table(stream, 0, count).frames:
        assert len(read_frame(stream, frame)) <= len(data)
