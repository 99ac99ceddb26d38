"""What is seen: turned, mirrored, square pixels, right colours, one field at a time."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_clips import HEIGHT, WIDTH, numbered_frame
from video_clips import encode

from vlmtool_core.media.video.orientation import Orientation, of_matrix
from vlmtool_core.media.video.rendering import DEINTERLACER, matrix_of
from vlmtool_core.media.video.source import VideoSource

TURNS = [(degrees, flip) for degrees in (0, 90, 180, 270) for flip in (False, True)]


@pytest.mark.parametrize(("degrees", "flip"), TURNS)
def test_turns_and_mirrors_are_applied_once(tmp_path: Path, degrees: int, flip: bool) -> None:
    path = encode(
        tmp_path / "turned.mp4",
        6,
        prepare=lambda stream: stream.set_display_rotation(degrees, hflip=flip),
    )
    expected = np.rot90(numbered_frame(3), degrees // 90)
    if flip:
        expected = expected[:, ::-1]
    with VideoSource(path) as source:
        frame = source.frame(3)
        assert frame.pixels.shape == expected.shape
        assert (source.info.width, source.info.height) == frame.size == expected.shape[1::-1]
        assert np.abs(frame.pixels.astype(int) - expected).mean() < 12
        assert source.info.facts.get("mirrored", False) is flip
        grey = next(iter(source.luma(height=200, start=3)))[2]
        assert grey.shape == expected.shape[:2]
        assert np.corrcoef(grey.ravel(), expected.mean(axis=2).ravel())[0, 1] > 0.95


@given(st.booleans(), st.booleans(), st.booleans(), st.floats(0.5, 2.0), st.floats(-0.01, 0.01))
def test_a_matrix_moves_pixels_as_the_standard_says(
    transposed: bool, across: bool, down: bool, scale: float, skew: float
) -> None:
    x, y = (-scale if across else scale), (-scale if down else scale)
    if transposed:  # (x, y) -> (c y, b x)
        found = of_matrix(skew * scale, y, x, skew * scale)
    else:
        found = of_matrix(x, skew * scale, skew * scale, y)
    assert found == Orientation(transposed, flip_rows=down, flip_columns=across)
    pixels = np.arange(6).reshape(2, 3)
    shown = found.apply(pixels)
    for row, column in np.ndindex(pixels.shape):
        to = (column, row) if transposed else (row, column)
        to_row = shown.shape[0] - 1 - to[0] if down else to[0]
        to_column = shown.shape[1] - 1 - to[1] if across else to[1]
        assert shown[to_row, to_column] == pixels[row, column]


def test_a_turn_by_no_right_angle_is_told(tmp_path: Path) -> None:
    path = encode(tmp_path / "askew.mp4", 3, prepare=lambda stream: stream.set_display_rotation(30))
    with VideoSource(path) as source:
        assert any("no right angle" in note for note in source.info.warnings)
        assert (source.info.width, source.info.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(16, 11), (140, 64)),
        (Fraction(10, 11), (96, 70)),
        (Fraction(1), (96, 64)),
        (Fraction(100), (96, 64)),  # no shape of a pixel
    ],
)
def test_pixels_are_square_as_seen(tmp_path: Path, aspect: Fraction, size: tuple[int, int]) -> None:
    def prepare(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = aspect

    path = encode(tmp_path / "wide.mkv", 4, prepare=prepare)
    with VideoSource(path) as source:
        assert (source.info.width, source.info.height) == size
        frame = source.frame(2)
        assert (frame.pixels.shape[1], frame.pixels.shape[0]) == size
        small = source.frame(2, max_side=48)
        assert max(small.pixels.shape) == 48
        assert small.size == size
        grey = next(iter(source.luma(height=32)))[2]
        assert grey.shape[0] == 32
        assert grey.shape[1] / 32 == pytest.approx(size[0] / size[1], rel=0.04)


# Colours ---------------------------------------------------------------------------------------

KR_KB = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


def by_hand(y: float, cb: float, cr: float, matrix: int, *, full: bool) -> np.ndarray:
    """RGB of one colour by the equations of ITU-R BT.601, BT.709 and BT.2020."""
    kr, kb = KR_KB[matrix]
    luma = y / 255 if full else (y - 16) / 219
    blue, red = ((c - 128) / (255 if full else 224) for c in (cb, cr))
    r = luma + 2 * (1 - kr) * red
    b = luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    return np.clip(np.array([r, g, b]) * 255, 0, 255)


def flat(path: Path, colour: tuple[int, int, int], **tags: Any) -> Path:
    """Three lossless frames of one YCbCr colour; sizes and tags as given."""
    width, height = tags.pop("size", (64, 48))
    pix_fmt = tags.pop("pix_fmt", "yuv420p")
    deep = "10" in pix_fmt
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for number in range(3):
            frame = av.VideoFrame(width, height, pix_fmt)
            frame.pts = number
            for plane, value in zip(frame.planes, colour, strict=True):
                kind, level = (np.uint16, value * 4) if deep else (np.uint8, value)
                samples = np.full(plane.buffer_size // np.dtype(kind).itemsize, level, kind)
                plane.update(samples.tobytes())
            for name, value in tags.items():
                setattr(frame, name, value)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return path


COLOUR = (120, 90, 190)
HD = (1280, 720)


@pytest.mark.parametrize(
    ("tags", "matrix", "full"),
    [
        ({"colorspace": 1, "color_range": 1}, 1, False),
        ({"colorspace": 5, "color_range": 1}, 5, False),
        ({"colorspace": 6, "color_range": 1}, 5, False),
        ({"colorspace": 9, "color_range": 1, "pix_fmt": "yuv420p10le"}, 9, False),
        ({"colorspace": 1, "color_range": 2}, 1, True),
        ({"colorspace": 1, "color_range": 1, "pix_fmt": "yuv422p10le"}, 1, False),
        ({"colorspace": 1, "pix_fmt": "yuv444p"}, 1, False),
        ({}, 5, False),
        ({"size": HD}, 1, False),
        ({"size": HD, "colorspace": 5}, 5, False),
    ],
)
def test_colours_follow_matrix_range_and_depth(
    tmp_path: Path, tags: dict[str, Any], matrix: int, full: bool
) -> None:
    path = flat(tmp_path / "flat.mkv", COLOUR, **tags)
    with VideoSource(path) as source:
        frame = source.frame(1)
        expected = by_hand(*COLOUR, matrix, full=full)
        assert np.abs(frame.pixels.astype(float) - expected).max() <= 1.0
        assumed = "colorspace" not in tags
        assert str(frame.provenance["matrix"]).endswith("(assumed)") is assumed
        assert (frame.provenance.get("range") == "full") is full


def test_where_ffmpeg_would_take_another_matrix(tmp_path: Path) -> None:
    """swscale takes BT.601 for high definition that states nothing; players take BT.709."""
    path = flat(tmp_path / "hd.mkv", COLOUR, size=HD)
    with av.open(str(path)) as container:
        plain = next(container.decode(video=0)).to_ndarray(format="rgb24")[5, 5].astype(float)
    with VideoSource(path) as source:
        ours = source.frame(0).pixels[5, 5].astype(float)
    assert np.abs(plain - by_hand(*COLOUR, 5, full=False)).max() <= 2.5
    assert np.abs(ours - by_hand(*COLOUR, 1, full=False)).max() <= 1.0
    assert np.abs(plain - ours).max() > 5
    assert matrix_of(2, 720, 576) == (5, False)
    assert matrix_of(2, 1920, 1080) == (1, False)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_told(tmp_path: Path, transfer: int, name: str) -> None:
    tags = {"colorspace": 9, "color_trc": transfer, "pix_fmt": "yuv420p10le"}
    with VideoSource(flat(tmp_path / "hdr.mkv", COLOUR, **tags)) as source:
        assert source.info.facts["transfer"] == name
        assert source.info.facts["bits"] == 10
        assert any(note.startswith(f"HDR ({name})") for note in source.info.warnings)


def test_luma_of_deep_video_is_its_luma_in_eight_bits(tmp_path: Path) -> None:
    path = flat(tmp_path / "deep.mkv", COLOUR, pix_fmt="yuv422p10le")
    with VideoSource(path) as source:
        for _, _, grey in source.luma(height=24):
            assert (grey == COLOUR[0]).all()


# Interlaced --------------------------------------------------------------------------------------


def comb(number: int, width: int, height: int) -> np.ndarray:
    """A bar that has moved between the two fields of each frame."""
    pixels = np.full((height, width, 3), 60, np.uint8)
    for field in range(2):
        at = 6 + 4 * (2 * number + field) % (width - 12)
        pixels[field::2, at : at + 10] = 220
    return pixels


INTERLACED = [
    ("libx264", ".mp4", {"x264-params": "interlaced=1:keyint=12"}),
    ("libx264", ".ts", {"x264-params": "interlaced=1:keyint=12"}),
    ("mpeg2video", ".mpg", {"flags": "+ildct+ilme", "top": "1"}),
]


@pytest.mark.parametrize(("codec", "suffix", "options"), INTERLACED)
def test_fields_are_taken_apart_the_same_way_from_everywhere(
    tmp_path: Path, codec: str, suffix: str, options: dict[str, str]
) -> None:
    path = encode(
        tmp_path / f"fields{suffix}",
        26,
        codec=codec,
        options=options,
        width=192,
        height=96,
        paint=comb,
    )

    def raggedness(pixels: np.ndarray) -> float:
        rows = pixels[..., 1].astype(float)
        return float(np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]).mean())

    with av.open(str(path)) as container:
        woven = [p.to_ndarray(format="rgb24") for p in container.decode(video=0)]
    with VideoSource(path) as source:
        assert source.info.facts["interlaced"] is True
        assert source.info.facts["deinterlaced"] == DEINTERLACER
        linear = list(source.frames())
        assert len(linear) == len(woven) == 26
        assert all(f.provenance["deinterlaced"] == DEINTERLACER for f in linear)
        for frame, raw in zip(linear, woven, strict=True):
            assert raggedness(frame.pixels) < 0.5 * raggedness(raw)
    random = np.random.default_rng(2)
    with VideoSource(path) as source:
        for index in [*range(25, -1, -1), *random.permutation(26)]:
            assert np.array_equal(source.frame(int(index)).pixels, linear[index].pixels)


def test_a_running_deinterlacer_gives_the_same(tmp_path: Path) -> None:
    """Three frames at a time through bwdif are what all frames through one bwdif are."""
    codec, suffix, options = INTERLACED[0]
    path = encode(
        tmp_path / f"fields{suffix}", 12, codec=codec, options=options, paint=comb, b_frames=0
    )
    graph = av.filter.Graph()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        nodes = [graph.add_buffer(template=stream)]
        nodes += [graph.add(DEINTERLACER, "mode=send_frame:deint=interlaced")]
        nodes += [graph.add("buffersink")]
        graph.link_nodes(*nodes).configure()
        for picture in container.decode(video=0):
            graph.push(picture)
        graph.push(None)
    running = []
    while True:
        try:
            running.append(graph.vpull())
        except (av.error.BlockingIOError, av.error.EOFError):
            break
    with VideoSource(path) as source:
        for frame, peer in zip(source.frames(), running, strict=True):
            expected = peer.to_ndarray(format="rgb24").astype(int)
            assert np.abs(frame.pixels.astype(int) - expected).max() <= 2


def test_progressive_video_is_left_alone(tmp_path: Path) -> None:
    with VideoSource(encode(tmp_path / "plain.mp4", 4)) as source:
        assert "interlaced" not in source.info.facts
        assert "deinterlaced" not in source.frame(1).provenance
