"""Every frame is the same picture whichever way it is reached, for many codecs and containers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from media_clips import read_number
from video_clips import encode

from vlmtool_core.media.video.source import VideoSource

FRAMES = 40


@dataclass(frozen=True)
class Case:
    """exact : whether the packets tell the times, so that nothing need be decoded for the index"""

    codec: str
    suffix: str
    options: dict[str, str] = field(default_factory=dict)
    pix_fmt: str = "yuv420p"
    gop: int = 12
    b_frames: int = 2
    exact: bool = True
    note: str = ""

    def __str__(self) -> str:
        return f"{self.codec}{self.suffix}{self.note and '-' + self.note}"


OPEN_GOP = {"x264-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:b-adapt=0"}
REFRESH = {"x264-params": "intra-refresh=1:keyint=10:bframes=0"}
HEVC_OPEN = {"x265-params": "open-gop=1:keyint=10:min-keyint=10:bframes=3:log-level=none"}
HEVC = {"x265-params": "keyint=12:bframes=3:log-level=none"}
PYRAMID = {"x264-params": "keyint=12:bframes=5:b-pyramid=normal:ref=4"}
QUICK = {"preset": "12", "crf": "20"}
VP9 = {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"}
ALT_REF = {"deadline": "good", "cpu-used": "5", "crf": "10", "auto-alt-ref": "1",
           "lag-in-frames": "16"}  # fmt: skip
CASES = [
    Case("libx264", ".mp4", OPEN_GOP, note="open"),
    Case("libx264", ".mov", OPEN_GOP, note="open"),
    Case("libx264", ".mkv", OPEN_GOP, note="open"),
    Case("libx264", ".ts", OPEN_GOP, note="open"),
    Case("libx264", ".flv", OPEN_GOP, note="open"),
    Case("libx264", ".mp4", PYRAMID, note="pyramid"),
    Case("libx264", ".avi", {"bf": "2"}, exact=False),
    Case("libx264", ".avi", {"bf": "0"}, b_frames=0, note="no-b"),
    Case("libx264", ".ts", REFRESH, note="refresh"),
    Case("libx264", ".mp4", REFRESH, note="refresh"),
    Case("libx264", ".h264", PYRAMID, exact=False),
    Case("libx264", ".mp4", {"crf": "10"}, pix_fmt="yuv422p10le", note="422-10"),
    Case("libx265", ".mp4", HEVC_OPEN, note="open"),
    Case("libx265", ".mkv", HEVC_OPEN, note="open"),
    Case("libx265", ".ts", HEVC, note="closed"),
    Case("libx265", ".ts", HEVC_OPEN, note="open"),
    Case("mpeg2video", ".ts"),
    Case("mpeg2video", ".mpg"),
    Case("mpeg2video", ".vob"),
    Case("mpeg2video", ".mkv"),
    Case("mpeg4", ".mp4"),
    Case("mpeg4", ".avi", exact=False),
    Case("mpeg4", ".mkv"),
    Case("libvpx-vp9", ".webm", VP9),
    Case("libvpx-vp9", ".mkv", ALT_REF, note="alt-ref"),
    Case("libvpx", ".webm", VP9),
    Case("libsvtav1", ".mp4", QUICK),
    Case("libsvtav1", ".mkv", QUICK),
    Case("mjpeg", ".avi", pix_fmt="yuvj420p", b_frames=0),
    Case("mjpeg", ".mov", pix_fmt="yuvj422p", b_frames=0),
    Case("ffv1", ".mkv", b_frames=0),
    Case("ffv1", ".avi", b_frames=0),
    Case("flv", ".flv", b_frames=0),
    Case("wmv2", ".asf", b_frames=0),
]


def orders(count: int) -> list[Sequence[int]]:
    """All frames backwards, and all in two random orders."""
    random = np.random.default_rng(5)
    shuffled = [[int(n) for n in random.permutation(count)] for _ in range(2)]
    return [range(count - 1, -1, -1), *shuffled]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_frame_is_the_one_that_decoding_gives(tmp_path: Path, case: Case) -> None:
    path = encode(
        tmp_path / f"clip{case.suffix}",
        FRAMES,
        codec=case.codec,
        options=case.options,
        pix_fmt=case.pix_fmt,
        gop=case.gop,
        b_frames=case.b_frames,
    )
    with VideoSource(path) as source:
        assert source.index.exact == case.exact
        linear = list(source.frames())
        assert [frame.index for frame in linear] == list(range(FRAMES))
        assert [read_number(frame.pixels) for frame in linear] == list(range(FRAMES))
        assert [frame.time_s for frame in linear] == pytest.approx(source.times())
        assert np.allclose(np.diff(source.times()), 0.04, atol=0.0011)
        assert source.report is not None
        assert not source.report.damaged
        assert source.damage() == ()
    for order in orders(FRAMES):
        with VideoSource(path) as source:
            for index in order:
                frame = source.frame(index)
                assert frame.index == index
                assert np.array_equal(frame.pixels, linear[index].pixels), f"frame {index}"


def test_frames_without_times_are_reached_by_seeking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AVI with B-frames: counted once, then found from the key frame before."""
    from vlmtool_core.media.video import decode

    path = encode(tmp_path / "clip.avi", 120, codec="libx264", gop=10)
    with VideoSource(path) as source:
        assert not source.index.exact
        assert len(source.index.keyframes) >= 10
        begun = []
        play_from = decode._play_from
        monkeypatch.setattr(
            decode,
            "_play_from",
            lambda *given: (begun.append(given[3]), play_from(*given))[1],
        )
        assert read_number(source.frame(111).pixels) == 111
        assert begun[0] is not None
        assert len(begun) == 1
