"""Imaging: how soon a picture is there, how fast it changes, and what a folder costs to list.

Each peer does the same work in the same run: pydicom, PyAV and Pillow as they are usually used.
"""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pydicom
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid
from tests.bench import huge_pictures
from tests.bench.common import Measurement, fresh_home

from vlmtool_core.media import Window, open_media, scan
from vlmtool_core.media.dicom.voi import render_window
from vlmtool_core.media.opening import open_here
from vlmtool_core.media.safe.pool import pool
from vlmtool_core.media.thumbnails import thumbnail
from vlmtool_core.media.volumes.axes import Plane
from vlmtool_core.media.volumes.building import build_volume
from vlmtool_core.media.volumes.rendering import grey_picture

SLICES = 300
LISTED = int(os.environ.get("BENCH_SLICES", "3000"))
PHOTOS = 12
HUGE_SIDE = int(os.environ.get("BENCH_HUGE_SIDE", "30000"))
VIDEO_FRAMES = 600
LONG_FRAMES = 2 * 3600 * 25


def bench() -> Iterator[Measurement]:
    with fresh_home(), tempfile.TemporaryDirectory(prefix="vlmtool-bench-") as name:
        folder = Path(name)
        yield from _series(folder)
        yield from _planes(folder)
        yield from _windowing()
        yield from _listing(folder)
        yield from _video(folder)
        yield from _long_video(folder)
        yield from _photos(folder)
        yield from _safely(folder)
        yield from _huge(folder)


def _huge(folder: Path) -> Iterator[Measurement]:
    """30,000 x 30,000 pixels in a process of its own, so that its memory can be told."""
    writers = {
        "tiled TIFF": (huge_pictures.write_pyramid, "a.tif"),
        "TIFF in strips": (huge_pictures.write_strip_tiff, "b.tif"),
        "JPEG": (huge_pictures.write_jpeg, "a.jpg"),
        "PNG": (huge_pictures.write_png, "a.png"),
    }
    for name, (write, file) in writers.items():
        small = write(folder / f"small-{file}", 1024)
        path = write(folder / file, HUGE_SIDE)
        command = [sys.executable, "-m", "tests.bench.huge_pictures", str(path), str(small)]
        environment = {**os.environ, "VLMTOOL_DECODE": "here"}
        run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        seconds, peak = (float(word) for word in run.stdout.split())
        yield Measurement(f"first view of a {HUGE_SIDE}² {name}", seconds, "s", 2)
        yield Measurement("most memory for it", peak, "MB", 512)
        path.unlink()


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _write_series(folder: Path, count: int, side: int) -> None:
    """Slices of noise with the header of a real CT, in an order that is not that of positions."""
    folder.mkdir()
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    dataset.SeriesInstanceUID = generate_uid()
    dataset.Rows = dataset.Columns = side
    noise = np.random.default_rng(0).integers(-1000, 2000, (side + 64, side), np.int16)
    for number, place in enumerate(np.random.default_rng(1).permutation(count)):
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        dataset.ImagePositionPatient = [0, 0, float(place)]
        dataset.InstanceNumber = number + 1
        dataset.PixelData = noise[number % 64 : number % 64 + side].tobytes()
        dataset.save_as(folder / f"slice{number:05d}.dcm")


def _series(folder: Path) -> Iterator[Measurement]:
    _write_series(folder / "ct", SLICES, 512)
    (item,) = scan([folder / "ct"])

    def first() -> None:
        with open_media(item.path, item.files) as source:
            source.frame(SLICES // 2)

    first()  # imports and the disk's cache
    seconds = statistics.median(timed(first) for _ in range(5))
    yield Measurement(f"first picture of {SLICES} slices of 512²", 1000 * seconds, "ms", 250)
    with open_media(item.path, item.files) as source:
        whole = timed(lambda: [source.frame(n) for n in range(SLICES)])
    yield Measurement("stepping through them", SLICES / whole, "frames/s", 60, at_least=True)


def _planes(folder: Path) -> Iterator[Measurement]:
    """The series of `_series` as a volume, and planes through it as they are shown."""
    import highdicom

    (item,) = scan([folder / "ct"])
    with open_media(item.path, item.files) as source:
        build_volume(source)
        ours = min(timed(lambda: build_volume(source)) for _ in range(2))
        volume = build_volume(source)
    theirs = timed(
        lambda: highdicom.get_volume_from_series([pydicom.dcmread(file) for file in item.files])
    )
    yield Measurement(f"volume of {SLICES} slices: highdicom / ours", theirs / ours, "x", 1.0, True)
    window = Window(40, 400)

    def show(plane: Plane) -> None:
        for number in range(200, 220):
            grey_picture(volume.reslice(plane, number), window, inverted=False)

    for plane in (Plane.SAGITTAL, Plane.CORONAL):
        show(plane)
        milliseconds = 1000 * min(timed(functools.partial(show, plane)) for _ in range(3)) / 20
        yield Measurement(f"{plane} plane through it, cut and windowed", milliseconds, "ms", 16)


def _windowing() -> Iterator[Measurement]:
    generator = np.random.default_rng(0)
    window = Window(30000, 20000)
    for side, most_ms in ((512, 3), (2048, 16)):
        values = np.ma.MaskedArray(generator.integers(0, 65535, (side, side)).astype(np.float32))
        redraw = functools.partial(render_window, values, window)
        redraw()
        seconds = statistics.median(timed(redraw) for _ in range(20))
        yield Measurement(f"another window on {side}²", 1000 * seconds, "ms", most_ms)


def _listing(folder: Path) -> Iterator[Measurement]:
    _write_series(folder / "many", LISTED, 64)
    files = sorted((folder / "many").iterdir())

    def naive() -> None:
        headers = [pydicom.dcmread(file) for file in files]
        headers.sort(key=lambda header: float(header.ImagePositionPatient[2]))

    peer, ours = (
        min(timed(work) for _ in range(3))
        for work in (naive, lambda: list(scan([folder / "many"])))
    )
    yield Measurement(f"listing {LISTED} slices", ours, "s", 10)
    yield Measurement("times pydicom, one after the other", peer / ours, "x", 2, at_least=True)


def _video(folder: Path) -> Iterator[Measurement]:
    import av

    path = folder / "clip.mp4"
    noise = np.random.default_rng(0).integers(0, 255, (90, 160, 3), np.uint8)
    picture = Image.fromarray(noise).resize((1280, 720), Image.Resampling.BICUBIC)
    pixels = np.asarray(picture)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for number in range(VIDEO_FRAMES):
            moved = np.roll(pixels, 3 * number, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")))
        container.mux(stream.encode(None))

    def peer() -> None:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_type = "AUTO"
            for _ in container.decode(video=0):
                pass

    def ours() -> None:
        with open_media(path) as source:
            for _ in source.luma():
                pass

    ours()
    raw, scanned = (min(timed(work) for _ in range(3)) for work in (peer, ours))
    yield Measurement("luma of 720p video", VIDEO_FRAMES / scanned, "frames/s")
    yield Measurement("times raw PyAV", raw / scanned, "x", 0.9, at_least=True)


def _long_video(folder: Path) -> Iterator[Measurement]:
    """Two hours of one picture: what opening it again costs, and a jump into its middle."""
    import av

    path = folder / "long.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
        for number in range(LONG_FRAMES):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    def opened() -> None:
        with open_media(path) as source:
            source.frame(LONG_FRAMES // 2)

    first = timed(opened)
    again = statistics.median(timed(opened) for _ in range(5))
    yield Measurement("a frame of a two-hour video, opened again", 1000 * again, "ms", 1000)
    yield Measurement("times the first opening", first / again, "x", 2, at_least=True)


def _photos(folder: Path) -> Iterator[Measurement]:
    noise = np.random.default_rng(0).integers(0, 255, (375, 500, 3), np.uint8)
    photo = Image.fromarray(noise).resize((4000, 3000), Image.Resampling.BICUBIC)
    paths = [folder / f"photo{number}.jpg" for number in range(PHOTOS)]
    for path in paths:
        photo.save(path, quality=90)

    def peer() -> None:
        for path in paths:
            with Image.open(path) as image:
                image.convert("RGB").resize((256, 192), Image.Resampling.BICUBIC)

    def ours() -> None:
        for number, path in enumerate(paths):
            thumbnail(path, (), f"{number:064x}")

    plain, small = timed(peer), timed(ours)
    yield Measurement("thumbnails of 12 MP photos", PHOTOS / small, "pictures/s")
    yield Measurement("times Pillow's open and resize", plain / small, "x", 3, at_least=True)


def _safely(folder: Path) -> Iterator[Measurement]:
    """What it costs to decode in a worker: most is 10 % more than here, and 2 ms a call."""

    def start() -> None:
        pool().close()
        with open_media(folder / "photo0.jpg"):
            pass

    start()  # the disk's cache
    yield Measurement("a decoder process started", 1000 * timed(start), "ms")
    calls: dict[str, tuple[Path, Callable[[Any], object], int]] = {
        "a 12 MP photo at 512 pixels": (
            folder / "photo0.jpg",
            lambda source: source.frame(max_side=512),
            1,
        ),
        "a 12 MP photo": (folder / "photo0.jpg", lambda source: source.frame(), 1),
        "a JPEG 2000 frame of 512²": (_coded_dicom(folder), lambda source: source.frame(), 1),
        "luma of 720p video": (folder / "clip.mp4", lambda source: list(source.luma()), 0),
    }
    for what, (path, call, number) in calls.items():
        seconds = {}
        for opened in (open_here, open_media):
            with opened(path) as source:
                call(source)
                times = [timed(functools.partial(call, source)) for _ in range(9 if number else 3)]
                seconds[opened] = min(times)
        allowed = 1.1 * seconds[open_here] + 0.002 * number
        yield Measurement(f"{what}, in a worker", 1000 * seconds[open_media], "ms", 1000 * allowed)
    memory = max(psutil.Process(pid).memory_info().rss for pid in pool().pids)
    yield Measurement("memory of a worker by then", memory / 1e6, "MB")


def _coded_dicom(folder: Path) -> Path:
    import imagecodecs
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless

    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    small = Image.fromarray(dataset.pixel_array.astype(np.int32))
    values = np.asarray(small.resize((512, 512), Image.Resampling.BICUBIC)).astype(np.int16)
    dataset.Rows = dataset.Columns = 512
    dataset.PixelData = encapsulate([imagecodecs.jpeg2k_encode(values, level=0)])
    dataset["PixelData"].is_undefined_length = True
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.save_as(folder / "coded.dcm")
    return folder / "coded.dcm"
