"""Animated pictures: frames, disposal and times; and HEIC, written by hand around an HEVC frame."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vlmtool_core.errors import MediaError
from vlmtool_core.media import open_media
from vlmtool_core.records import MediaKind

DURATIONS = (40, 100, 250, 70)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp", ".avif"])
def test_frames_have_the_times_of_the_file(tmp_path: Path, suffix: str) -> None:
    images = [Image.new("RGB", (32, 16), (60 * n, 60 * n, 60 * n)) for n in range(4)]
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    path = tmp_path / f"a{suffix}"
    images[0].save(path, save_all=True, append_images=images[1:], duration=DURATIONS, **options)
    with open_media(path) as source:
        assert source.info.frame_count == 4
        assert source.info.duration_s == pytest.approx(0.46)
        assert source.info.rate == pytest.approx(4 / 0.46)
        assert [frame.time_s for frame in source.frames()] == pytest.approx([0, 0.04, 0.14, 0.39])
        assert source.frame(2).pixels.mean() == pytest.approx(120, abs=4)
        assert source.frame(1).pixels.mean() == pytest.approx(60, abs=4)


@pytest.mark.parametrize(("disposal", "second"), [(1, "both"), (3, "last")])
def test_disposal_of_a_gif(tmp_path: Path, disposal: int, second: str) -> None:
    """A red square on the left, then a blue one on the right: what becomes of the first."""
    red, blue = (Image.new("RGBA", (20, 10)) for _ in range(2))
    red.paste((255, 0, 0, 255), (0, 0, 10, 10))
    blue.paste((0, 0, 255, 255), (10, 0, 20, 10))
    ground = Image.new("RGBA", (20, 10), (255, 255, 255, 255))
    path = tmp_path / "a.gif"
    ground.save(path, save_all=True, append_images=[red, blue], duration=100, disposal=disposal)
    with open_media(path) as source:
        assert source.info.frame_count == 3
        pixels = source.frame(2).pixels
    assert pixels[5, 15].tolist() == [0, 0, 255]
    assert pixels[5, 5].tolist() == ([255, 0, 0] if second == "both" else [255, 255, 255])


def test_a_still_in_front_of_an_animation_is_no_frame(tmp_path: Path) -> None:
    images = [Image.new("L", (8, 8), shade) for shade in (10, 100, 200)]
    path = tmp_path / "a.png"
    images[0].save(
        path, save_all=True, default_image=True, append_images=images[1:], duration=(50, 60)
    )
    with open_media(path) as source:
        assert [int(frame.pixels.mean()) for frame in source.frames()] == [100, 200]
        assert source.info.duration_s == pytest.approx(0.11)


# HEIC ----------------------------------------------------------------------------------------


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full_box(kind: bytes, body: bytes, flags: int = 0, version: int = 0) -> bytes:
    return box(kind, struct.pack(">I", version << 24 | flags) + body)


def hevc_still(pixels: np.ndarray) -> tuple[bytes, bytes]:
    """(configuration record, one coded picture with NAL lengths) by x265 through PyAV."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="matroska") as container:
        options = {"crf": "4", "x265-params": "log-level=none"}
        stream = container.add_stream("libx265", rate=1, options=options)
        stream.height, stream.width = pixels.shape[:2]
        stream.pix_fmt = "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    buffer.seek(0)
    with av.open(buffer) as container:
        packet = next(p for p in container.demux(video=0) if p.size)
        return bytes(container.streams.video[0].codec_context.extradata or b""), bytes(packet)


def heic(pixels: np.ndarray, *, turn: int = 0, mirror: int | None = None) -> bytes:
    """A HEIF file of one picture (ISO/IEC 23008-12); turn : by 90 degrees against the clock."""
    record, coded = hevc_still(pixels)
    height, width = pixels.shape[:2]
    properties = box(b"hvcC", record) + full_box(b"ispe", struct.pack(">II", width, height))
    properties += box(b"colr", b"nclx" + struct.pack(">HHHB", 1, 13, 6, 0))
    essential = [0x81, 0x02, 0x03]
    if turn:
        properties += box(b"irot", bytes([turn]))
        essential.append(0x80 | len(essential) + 1)
    if mirror is not None:
        properties += box(b"imir", bytes([mirror]))
        essential.append(0x80 | len(essential) + 1)
    relation = struct.pack(">IHB", 1, 1, len(essential)) + bytes(essential)
    item = full_box(b"infe", struct.pack(">HH4s", 1, 0, b"hvc1") + b"\0", version=2)

    def meta(offset: int) -> bytes:
        place = struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(coded))
        return full_box(
            b"meta",
            full_box(b"hdlr", bytes(4) + b"pict" + bytes(13))
            + full_box(b"pitm", struct.pack(">H", 1))
            + full_box(b"iloc", place)
            + full_box(b"iinf", struct.pack(">H", 1) + item)
            + box(b"iprp", box(b"ipco", properties) + full_box(b"ipma", relation)),
        )

    start = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    return start + meta(len(start) + len(meta(0)) + 8) + box(b"mdat", coded)


def quarters() -> np.ndarray:
    picture = np.zeros((64, 96, 3), np.uint8)
    picture[:32, :48], picture[:32, 48:] = (220, 30, 30), (30, 220, 30)
    picture[32:, :48], picture[32:, 48:] = (30, 30, 220), (220, 220, 30)
    return picture


@pytest.mark.parametrize(("turn", "mirror"), [(0, None), (1, None), (2, None), (3, None), (0, 1)])
def test_heic_is_turned_once(tmp_path: Path, turn: int, mirror: int | None) -> None:
    expected = np.rot90(quarters(), turn)
    if mirror == 1:  # about a vertical axis or a horizontal one: see the standard, 6.5.12
        expected = expected[:, ::-1]
    (tmp_path / "a.heic").write_bytes(heic(quarters(), turn=turn, mirror=mirror))
    with open_media(tmp_path / "a.heic") as source:
        assert source.info.kind is MediaKind.IMAGE
        assert source.info.facts["format"] == "HEIF"
        assert (source.info.height, source.info.width) == expected.shape[:2]
        shown = source.frame().pixels
    inner = np.abs(shown.astype(int) - expected)
    assert np.median(inner) <= 3
    assert inner.mean() < 6


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_truncated_heic_is_an_error(tmp_path: Path, share: float) -> None:
    whole = heic(quarters())
    (tmp_path / "a.heic").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(MediaError), open_media(tmp_path / "a.heic") as source:
        source.frame()
