"""Strips of small pictures, and passes that begin where opening left off."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from media_clips import read_number
from PIL import Image
from video_clips import encode

from vlmtool_core.media.hashing import sha256_of
from vlmtool_core.media.strips import strip, strip_frames
from vlmtool_core.media.video.source import VideoSource


@given(
    steps=st.lists(st.floats(0.01, 30.0), min_size=1, max_size=60),
    every=st.integers(1, 20),
    count=st.integers(1, 20),
)
def test_pictures_lie_at_even_steps_of_time(steps: list[float], every: int, count: int) -> None:
    times = [5.0, *(5.0 + float(t) for t in np.cumsum(steps))]
    keys = list(range(0, len(times), every))
    frames = strip_frames(times, keys, count)
    assert len(frames) == count
    assert frames == sorted(frames)
    assert all(0 <= frame < len(times) for frame in frames)
    step = (times[-1] - times[0]) / count
    for slot, frame in enumerate(frames):
        wanted = times[0] + step * (slot + 0.5)
        assert times[frame] <= wanted + 1e-9
        # No more than a slot early, beyond how long that frame itself is shown.
        exact = max(t for t in times if t <= wanted + 1e-9)
        assert times[frame] >= exact - step - 1e-9


def test_a_strip_is_made_once(tmp_path: Path) -> None:
    path = encode(tmp_path / "clip.mp4", 60, gop=10, width=192, height=128)
    digest = sha256_of(path)
    made = strip(path, (), digest, 6, side=96)
    assert len(made) == 6
    assert all(picture.index % 10 == 0 for picture in made)
    for picture in made:
        assert picture.file is not None
        with Image.open(picture.file) as image:
            assert image.size == (96, 64)
            assert read_number(np.asarray(image.convert("RGB"))) == picture.index
            os.utime(picture.file, (1, 1))
    again = strip(path, (), digest, 6, side=96)
    assert again == made
    assert all(p.file is not None and p.file.stat().st_mtime == 1 for p in again)


@pytest.mark.parametrize("interlaced", [False, True])
def test_a_second_pass_is_the_same_as_the_first(tmp_path: Path, interlaced: bool) -> None:
    options = {"x264-params": "interlaced=1"} if interlaced else {}
    path = encode(tmp_path / "clip.mp4", 30, options=options)
    with VideoSource(path) as source:
        begun = source.frames()
        early = [next(begun) for _ in range(3)]
        begun.close()
        passes = [list(source.frames()) for _ in range(2)]
        report = source.report
    assert report is not None
    assert report.delivered == report.expected == 30
    for one, other in zip(*passes, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
    for one, other in zip(early, passes[0], strict=False):
        assert np.array_equal(one.pixels, other.pixels)


def test_a_closed_video_leaves_no_file_open(tmp_path: Path) -> None:
    psutil = pytest.importorskip("psutil")
    path = encode(tmp_path / "clip.mp4", 10)
    source = VideoSource(path)
    source.frame(4)
    source.close()
    opened = [entry.path for entry in psutil.Process().open_files()]
    assert str(path) not in opened
