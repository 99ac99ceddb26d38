"""Video inside DICOM: every frame the right one, whichever way it is reached."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from coded_dicoms import even, items, write_coded
from media_clips import HEIGHT, WIDTH, numbered_frame, read_number, write_clip

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media import open_media, scan
from vlmtool_core.media.dicom.clip import JoinedFragments
from vlmtool_core.media.dicom.fragments import Fragment
from vlmtool_core.media.verifying import verify

JPEG = "1.2.840.10008.1.2.4"
COUNT = 40
# Transfer syntax, file that FFmpeg writes, encoder, frames between which the others are predicted.
KINDS = [
    ("100", "clip.mpg", "mpeg2video", 2),
    ("100.1", "clip.m2v", "mpeg2video", 2),
    ("101", "clip.ts", "mpeg2video", 0),
    ("102", "clip.mp4", "libx264", 2),
    ("102", "clip.ts", "libx264", 2),
    ("103.1", "clip.h264", "libx264", 0),
    ("104", "clip.mp4", "libx264", 0),
    ("107", "clip.mp4", "libx265", 2),
    ("107", "clip.ts", "libx265", 2),
]


def clip_bytes(folder: Path, name: str, codec: str, b_frames: int, count: int = COUNT) -> bytes:
    path = folder / name
    if codec == "mpeg2video":
        write_mpeg2(path, count, b_frames)
    else:
        write_clip(path, count, codec=codec, b_frames=b_frames)
    return path.read_bytes()


def write_mpeg2(path: Path, count: int, b_frames: int) -> None:
    """MPEG-2 knows no other times than multiples of its rate."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "mpeg2video", rate=25, width=WIDTH, height=HEIGHT, pix_fmt="yuv420p",
            options={"qscale": "2"},
        )  # fmt: skip
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, b_frames
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def wrapped(path: Path, data: bytes, syntax: str, *, parts: int = 1, **elements: object) -> Path:
    """The stream in one fragment, as most writers do, or over several."""
    like = np.stack([numbered_frame(0)] * 2)
    size = -(-len(data) // parts // 2) * 2
    pieces = [even(data[n : n + size]) for n in range(0, len(data), size)]
    elements = {
        "NumberOfFrames": COUNT, "PhotometricInterpretation": "YBR_PARTIAL_420", "FrameTime": None,
        **elements,
    }  # fmt: skip
    elements = {keyword: value for keyword, value in elements.items() if value is not None}
    return write_coded(path, like, f"{JPEG}.{syntax}", [], body=items(pieces), **elements)


@pytest.mark.parametrize("parts", [1, 7])
@pytest.mark.parametrize(("syntax", "name", "codec", "b_frames"), KINDS)
def test_every_frame_is_the_one_asked_for(
    tmp_path: Path, syntax: str, name: str, codec: str, b_frames: int, parts: int
) -> None:
    data = clip_bytes(tmp_path, name, codec, b_frames)
    path = wrapped(tmp_path / "a.dcm", data, syntax, parts=parts)
    with open_media(path) as source:
        info = source.info
        assert (info.frame_count, info.width, info.height) == (COUNT, WIDTH, HEIGHT)
        assert not any("frames" in note for note in info.warnings)
        linear = [source.frame(index).pixels for index in range(COUNT)]
        assert [read_number(pixels) for pixels in linear] == list(range(COUNT))
        for index in (39, 0, 20, 19, 21, 38, 1, 12, 11):
            assert np.array_equal(source.frame(index).pixels, linear[index])
        assert source.frame(3).provenance["decoder"] == f"av {av.__version__}"


def test_the_pixels_are_those_of_the_clip_itself(tmp_path: Path) -> None:
    """The same stream as a file, decoded by the video part of the program."""
    data = clip_bytes(tmp_path, "clip.mp4", "libx264", 2)
    path = wrapped(tmp_path / "a.dcm", data, "102")
    with open_media(path) as inside, open_media(tmp_path / "clip.mp4") as plain:
        for index in (0, 7, 39):
            shown = inside.frame(index).pixels.astype(int)
            assert np.abs(shown - plain.frame(index).pixels).max() <= 1
        red = inside.frame(0).pixels[4, 4].astype(int)
        assert np.abs(red - (230, 40, 40)).max() < 12


def test_times_come_from_the_stream_or_from_the_header(tmp_path: Path) -> None:
    data = clip_bytes(tmp_path, "clip.mp4", "libx264", 2)
    with open_media(wrapped(tmp_path / "a.dcm", data, "102")) as source:
        assert source.info.rate == pytest.approx(25)
        assert source.frame(10).time_s == pytest.approx(0.4)
    with open_media(wrapped(tmp_path / "b.dcm", data, "102", FrameTime=20)) as source:
        assert source.frame(10).time_s == pytest.approx(0.2)


@pytest.mark.parametrize("name", ["clip.mp4", "clip.m2v"])
def test_a_wrong_number_of_frames_is_told_exactly(tmp_path: Path, name: str) -> None:
    codec = "libx264" if name == "clip.mp4" else "mpeg2video"
    data = clip_bytes(tmp_path, name, codec, 2)
    more = wrapped(tmp_path / "more.dcm", data, "102", NumberOfFrames=43)
    with open_media(more) as source:
        assert f"the header says 43 frames, only {COUNT} are in the video stream" in (
            source.info.warnings
        )
        assert read_number(source.frame(39).pixels) == 39
        with pytest.raises(DamagedMediaError, match="frame 41 is missing"):
            source.frame(40)
    fewer = wrapped(tmp_path / "fewer.dcm", data, "102", NumberOfFrames=30)
    with open_media(fewer) as source:
        assert source.info.frame_count == 30
        assert f"the header says 30 frames, {COUNT} are in the video stream" in source.info.warnings


def test_another_size_than_the_header_says(tmp_path: Path) -> None:
    data = clip_bytes(tmp_path, "clip.mp4", "libx264", 0)
    path = wrapped(tmp_path / "a.dcm", data, "102", Rows=48)
    with (
        open_media(path) as source,
        pytest.raises(DamagedMediaError, match="holds 96 x 64 pixels, the header says 96 x 48"),
    ):
        source.frame(0)


@pytest.mark.parametrize("data", [b"\0" * 400, b"no video at all, but a text " * 20])
def test_a_stream_that_is_none_is_damaged(tmp_path: Path, data: bytes) -> None:
    path = wrapped(tmp_path / "a.dcm", data, "102")
    with pytest.raises(DamagedMediaError, match="video"):
        open_media(path)


def test_a_stream_that_breaks_off_shows_what_is_there(tmp_path: Path) -> None:
    data = clip_bytes(tmp_path, "clip.ts", "libx264", 0)
    path = wrapped(tmp_path / "a.dcm", data[: len(data) // 2], "102")
    with open_media(path) as source:
        (note,) = [note for note in source.info.warnings if "only" in note]
        there = int(note.split("only ")[1].split()[0])
        assert 5 < there < COUNT
        assert read_number(source.frame(there - 2).pixels) == there - 2


def test_joined_fragments_read_like_one_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 4
    path = tmp_path / "whole"
    path.write_bytes(data)
    pieces = [Fragment(0, 100, 0), Fragment(300, 1, 0), Fragment(301, 0, 0), Fragment(500, 200, 0)]
    expected = data[:100] + data[300:301] + data[500:700]
    joined = JoinedFragments(path.open("rb"), pieces)
    rng = np.random.default_rng(0)
    for _ in range(200):
        start, size = (int(n) for n in rng.integers(0, 330, 2))
        joined.seek(start)
        read = b""
        while len(read) < size and (part := joined.read(size - len(read))):
            read += part
        assert read == expected[start : start + size]
    assert joined.seek(0, 2) == len(expected)
    joined.close()


def test_verify_counts_missing_and_corrupt_frames(tmp_path: Path) -> None:
    whole = clip_bytes(tmp_path, "clip.mp4", "libx264", 0)
    path = wrapped(tmp_path / "whole.dcm", whole, "102")
    (item,) = scan([path])
    assert verify(item).verdict == "whole"
    torn = bytearray(whole)
    start = whole.index(b"mdat") + 200
    for place in range(start, start + 900, 3):
        torn[place] ^= 0x5A
    broken = wrapped(tmp_path / "broken.dcm", bytes(torn), "102")
    (item,) = scan([broken])
    found = verify(item)
    assert found.verdict == "damaged"
    assert found.corrupt or found.delivered < found.expected == COUNT
