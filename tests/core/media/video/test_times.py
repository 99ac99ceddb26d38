"""Times are those of the file, and only what players show is a frame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from media_clips import numbered_frame, read_number, write_clip
from video_clips import encode, remux

from vlmtool_core.media import open_media
from vlmtool_core.media.video.damage import DamageKind
from vlmtool_core.media.video.source import VideoSource


def numbers(source: Any) -> list[int]:
    return [read_number(frame.pixels) for frame in source.frames()]


def moved(by: int) -> Any:
    """Puts every packet `by` ticks of 1/1000 s later."""

    def shift(packet: Any) -> bool:
        step = round(by / 1000 / packet.time_base)
        packet.pts += step
        packet.dts += step
        return True

    return shift


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_frames_outside_the_edit_list_are_not_shown(tmp_path: Path, suffix: str) -> None:
    whole = write_clip(tmp_path / "whole.mp4", 40)
    # What lies before time 0 is cut off by an edit list, not removed from the file.
    path = remux(whole, tmp_path / f"cut{suffix}", shift=moved(-200))
    with VideoSource(path) as source:
        assert numbers(source) == list(range(5, 40))
        assert source.times()[0] == pytest.approx(0.0, abs=1e-6)
        assert source.info.facts["frames_stated"] == 40
        assert source.report is not None
        assert not source.report.damaged
        assert source.report.expected == 35
        for index in (34, 3, 0, 20):
            assert read_number(source.frame(index).pixels) == index + 5
    import cv2

    capture = cv2.VideoCapture(str(path))
    assert read_number(capture.read()[1][..., ::-1]) == 5
    capture.release()


def test_an_empty_edit_delays_the_first_frame(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mp4", 10)
    path = remux(whole, tmp_path / "late.mp4", shift=moved(2500))
    with VideoSource(path) as source:
        assert source.times()[0] == pytest.approx(2.5, abs=1e-3)
        assert source.info.facts["start_s"] == pytest.approx(2.5, abs=1e-3)
        assert source.frame(0).time_s == pytest.approx(2.5, abs=1e-3)
        assert numbers(source) == list(range(10))


@pytest.mark.parametrize("suffix", [".ts", ".mkv", ".mp4"])
def test_a_clock_that_does_not_start_at_zero_is_kept(tmp_path: Path, suffix: str) -> None:
    whole = write_clip(tmp_path / "whole.mp4", 30)
    path = remux(
        whole,
        tmp_path / f"late{suffix}",
        shift=moved(90_000),
        options={"muxdelay": "0", "muxpreload": "0"} if suffix == ".ts" else {},
    )
    with VideoSource(path) as source:
        start = source.info.facts["start_s"]
        assert isinstance(start, float)
        assert start == pytest.approx(90.0, abs=1.5)
        assert source.times() == pytest.approx([start + n / 25 for n in range(30)], abs=2e-3)
        assert read_number(source.frame(21).pixels) == 21
        assert [time for _, time, _ in source.luma()] == source.times()


def test_variable_rate_across_a_key_frame(tmp_path: Path) -> None:
    times = [n * 33 + max(0, n - 15) * 170 for n in range(40)]
    path = write_clip(tmp_path / "vfr.mkv", 40, times_ms=times)
    with VideoSource(path) as source:
        assert source.times() == pytest.approx([t / 1000 for t in times])
        assert [f.index for f in source.frames([39, 2, 17])] == [2, 17, 39]
        assert read_number(source.frame(17).pixels) == 17


def test_a_gap_in_time_is_told_with_its_place(tmp_path: Path) -> None:
    times = [n * 40 + (7000 if n >= 20 else 0) for n in range(40)]
    path = write_clip(tmp_path / "gap.mp4", 40, times_ms=times)
    with VideoSource(path) as source:
        (gap,) = (source.index, source.damage())[1]
        assert gap.kind is DamageKind.GAP
        assert (gap.start_s, gap.end_s) == pytest.approx((0.76, 7.8))
        (note,) = source.info.warnings
        assert note == "no frames for up to 7.0 s, at 0.76 s"


def test_a_clock_that_steps_back_is_told_and_frames_stay_in_order(tmp_path: Path) -> None:
    """Two recordings, one after the other in one stream, as some recorders export them."""

    def part(which: int) -> Path:
        def paint(number: int, width: int, height: int) -> np.ndarray:
            return numbered_frame(20 * which + number, width, height)

        return encode(tmp_path / f"{which}.ts", 20, paint=paint)

    parts = [part(0), part(1)]
    path = tmp_path / "joined.ts"
    # The second begins long before the first in time.
    late = remux(parts[0], tmp_path / "late.ts", shift=moved(600_000))
    path.write_bytes(late.read_bytes() + parts[1].read_bytes())
    with VideoSource(path) as source:
        assert numbers(source) == list(range(40))
        assert not source.index.exact
        assert any("steps back" in note for note in source.info.warnings)
        assert np.all(np.diff(source.times()) > 0)
        for index in (39, 3, 25):
            assert read_number(source.frame(index).pixels) == index


def with_sound_first(path: Path, tracks: int = 1, *, cover: bool = False) -> Path:
    """Sound before the pictures, `tracks` of them, and perhaps a cover picture before those."""
    with av.open(str(path), "w") as output:
        sound: Any = output.add_stream("aac", rate=44100)
        videos: list[Any] = []
        if cover:
            from av.stream import Disposition

            front: Any = output.add_stream("mjpeg", rate=25)
            front.width, front.height, front.pix_fmt = 64, 64, "yuvj420p"
            front.disposition = Disposition.attached_pic
        for _ in range(tracks):
            video: Any = output.add_stream("libx264", rate=25)
            video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
            videos.append(video)
        if cover:
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), "rgb24")
            output.mux(front.encode(frame))
            output.mux(front.encode())
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        silence.sample_rate = 44100
        output.mux(sound.encode(silence))
        for which, video in enumerate(videos):
            for number in range(8):
                pixels = numbered_frame(number + 100 * which)
                output.mux(video.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
            output.mux(video.encode())
        output.mux(sound.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_sound_before_the_pictures_is_left_alone(tmp_path: Path, suffix: str) -> None:
    with VideoSource(with_sound_first(tmp_path / f"clip{suffix}")) as source:
        assert numbers(source) == list(range(8))
        assert source.info.facts["sound_tracks"] == 1
        assert source.info.warnings == ()


def test_of_several_picture_tracks_the_first_is_shown_and_told(tmp_path: Path) -> None:
    with VideoSource(with_sound_first(tmp_path / "two.mkv", 2)) as source:
        assert numbers(source) == list(range(8))
        assert source.info.facts["picture_tracks"] == 2
        assert any("only the first is shown" in note for note in source.info.warnings)


def test_a_cover_picture_is_not_the_video(tmp_path: Path) -> None:
    path = with_sound_first(tmp_path / "cover.mp4", cover=True)
    with av.open(str(path)) as container:
        assert sorted(s.codec_context.name for s in container.streams.video) == ["h264", "mjpeg"]
    with VideoSource(path) as source:
        assert numbers(source) == list(range(8))
        assert "picture_tracks" not in source.info.facts


def test_the_time_of_recording_is_told_and_the_place_is_not(tmp_path: Path) -> None:
    path = tmp_path / "phone.mov"
    with av.open(str(path), "w") as output:
        output.metadata["creation_time"] = "2026-03-01T10:20:30.000000Z"
        output.metadata["location"] = "+52.1000+004.3000/"
        output.metadata["comment"] = "front door"
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        output.mux(stream.encode(av.VideoFrame.from_ndarray(numbered_frame(0), "rgb24")))
        output.mux(stream.encode())
    with open_media(path) as source:
        assert source.info.facts["recorded_at"] == "2026-03-01T10:20:30.000000Z"
        assert "front door" not in str(source.info.facts)
        assert "front door" in source.info.identifying.values()
        assert any("+52.1" in value for value in source.info.identifying.values())
