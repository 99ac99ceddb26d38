"""From a decoded video frame to upright RGB pixels: fields, colours, aspect, orientation."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vlmtool_core.media.budget import check_pixels, scaled_size
from vlmtool_core.media.video.container import reading
from vlmtool_core.media.video.orientation import UPRIGHT, Orientation
from vlmtool_core.records import Json

if TYPE_CHECKING:
    from av import VideoFrame
    from av.video.reformatter import VideoReformatter

    from vlmtool_core.media.video.decode import Shown

# Codes of ISO/IEC 23091-2 (H.273).
UNSPECIFIED = 2
MATRICES = {1: "BT.709", 4: "FCC", 5: "BT.601", 6: "BT.601", 7: "SMPTE 240M", 9: "BT.2020"}
TRANSFERS = {16: "PQ", 18: "HLG"}
_BT709, _BT601 = 1, 5
_FULL_RANGE = 2
# Beyond this an aspect is a broken header, and not the shape of a pixel.
WIDEST_PIXEL = 4
DEINTERLACER = "bwdif"


@dataclass(frozen=True, slots=True)
class Display:
    """How the frames of a video are shown.

    coded : (width, height) as decoded; aspect : width of a pixel by its height
    """

    coded: tuple[int, int]
    aspect: Fraction = Fraction(1)
    orientation: Orientation = UPRIGHT

    @property
    def square(self) -> tuple[int, int]:
        """(width, height) with square pixels, before it is turned: no side gets smaller."""
        width, height = self.coded
        if self.aspect > 1:
            return max(1, round(width * self.aspect)), height
        return width, max(1, round(height / self.aspect))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as shown."""
        return self.orientation.size(*self.square)


def plausible_aspect(aspect: Fraction | None) -> Fraction:
    """The aspect of a pixel that a file states; 1 where it states none, or nonsense."""
    if not aspect or not 1 / WIDEST_PIXEL <= aspect <= WIDEST_PIXEL:
        return Fraction(1)
    return aspect


def matrix_of(colorspace: int, width: int, height: int) -> tuple[int, bool]:
    """(code of the colour matrix, whether the file states it).

    Without a statement: BT.709 for high definition and BT.601 below, as players do. swscale takes
    BT.601 for any size, which shifts the greens and reds of high definition.
    """
    if colorspace in MATRICES:
        return colorspace, True
    return (_BT709 if width >= 1280 or height > 576 else _BT601), False


class Renderer:
    """Makes pictures of decoded frames, all by the same rules. Not thread-safe."""

    def __init__(self, path: Path, display: Display) -> None:
        self._path = path
        self.display = display
        self._scaler: VideoReformatter | None = None
        self._luma_sizes: dict[int, tuple[int, int]] = {}

    def rgb(self, shown: Shown, max_side: int | None) -> tuple[np.ndarray, dict[str, Json]]:
        """uint8 (h, w, 3) as it is to be seen, and how it came to be.

        Raises
        ------
        MediaError
        """
        import av

        picture = shown.picture
        check_pixels(self._path, picture.width, picture.height)
        provenance: dict[str, Json] = {"decoder": f"PyAV {av.__version__}"}
        with reading(self._path):
            if picture.interlaced_frame:
                picture = deinterlaced(shown)
                provenance["deinterlaced"] = DEINTERLACER
            pixels = self._scaled(picture, scaled_size(*self.display.square, max_side), provenance)
        self._tell(shown.picture, provenance)
        pixels = self.display.orientation.apply(pixels)
        if max_side is not None and (pixels.shape[1], pixels.shape[0]) != self.display.size:
            provenance["resized"] = [int(pixels.shape[1]), int(pixels.shape[0])]
        return pixels, provenance

    def _scaled(
        self, picture: VideoFrame, size: tuple[int, int], provenance: dict[str, Json]
    ) -> np.ndarray:
        from av.video.reformatter import Interpolation, VideoReformatter

        matrix, stated = matrix_of(picture.colorspace, picture.width, picture.height)
        if "rgb" not in picture.format.name and not picture.format.name.startswith("gray"):
            provenance["matrix"] = MATRICES[matrix] + ("" if stated else " (assumed)")
        shrunk = size[0] < picture.width or size[1] < picture.height
        # Without these flags swscale rounds down, by up to two levels.
        precise = Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
        enlarged = size != (picture.width, picture.height)
        kernel = Interpolation.BICUBIC if enlarged else Interpolation.BILINEAR
        kernel = Interpolation.AREA if shrunk else kernel
        self._scaler = self._scaler or VideoReformatter()
        picture = self._scaler.reformat(
            picture,
            width=size[0],
            height=size[1],
            format="rgb24",
            src_colorspace=None if stated else matrix,
            interpolation=kernel | precise,
        )
        pixels: np.ndarray = picture.to_ndarray()
        return pixels

    def _tell(self, picture: VideoFrame, provenance: dict[str, Json]) -> None:
        display = self.display
        if picture.color_range == _FULL_RANGE or picture.format.name.startswith("yuvj"):
            provenance["range"] = "full"
        if display.orientation.rotation_deg:
            provenance["rotation_deg"] = display.orientation.rotation_deg
        if display.orientation.mirrored:
            provenance["mirrored"] = True
        if display.aspect != 1:
            provenance["pixel_aspect_ratio"] = float(display.aspect)
        if (picture.width, picture.height) != display.coded:
            provenance["coded_size"] = [picture.width, picture.height]
        if picture.is_corrupt:
            provenance["corrupt"] = True

    def luma(self, picture: VideoFrame, height: int) -> np.ndarray:
        """uint8 (h, w) of the luma plane as shown, at most `height` rows; fields stay woven.

        Values are as coded (16 to 235 where the file has limited range), deep ones cut to 8 bits.
        """
        grey = _luma_plane(picture)
        size = self._luma_sizes.get(height) or self._luma_size(height)
        if size != (grey.shape[1], grey.shape[0]):
            grey = _shrunk(grey, size)
            if self.display.orientation == UPRIGHT:
                return grey
        return self.display.orientation.apply(grey.copy() if grey.base is not None else grey)

    def _luma_size(self, height: int) -> tuple[int, int]:
        """(width, height) before turning, for at most `height` rows after it."""
        scale = min(1.0, height / self.display.size[1])
        width, rows = (max(1, round(side * scale)) for side in self.display.square)
        self._luma_sizes[height] = width, rows
        return width, rows


@cache
def _luma_depth(name: str) -> int:
    """Bits of the luma samples in the first plane of a pixel format; 0 where it is none."""
    from av.video.format import VideoFormat

    form = VideoFormat(name)
    planar = name.startswith("yuv") and name[4:7] in ("20p", "22p", "44p", "40p", "11p")
    planar = planar or name.startswith(("yuvj", "nv12", "nv16", "gray"))
    return form.components[0].bits if planar and not form.is_big_endian else 0


def _luma_plane(picture: VideoFrame) -> np.ndarray:
    """uint8 (h, w), a view of the decoder's memory where that has eight bits a sample."""
    depth = _luma_depth(picture.format.name)
    plane = picture.planes[0]
    if depth == 8:
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: picture.height, : picture.width]
    if 8 < depth <= 16:
        deep = np.frombuffer(memoryview(plane), "<u2").reshape(-1, plane.line_size // 2)
        return (deep[: picture.height, : picture.width] >> (depth - 8)).astype(np.uint8)
    grey: np.ndarray = picture.to_ndarray(format="gray")
    return grey


def _shrunk(grey: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The picture in another (width, height): by halves, which cost a sixth of one large step."""
    import cv2

    while grey.shape[1] >= 2 * size[0] and grey.shape[0] >= 2 * size[1]:
        height, width = grey.shape[0] // 2, grey.shape[1] // 2
        even = grey[: 2 * height, : 2 * width]
        grey = cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA)
    if (grey.shape[1], grey.shape[0]) != size:
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)
    return grey


def deinterlaced(shown: Shown) -> VideoFrame:
    """The frame with its missing lines made from both neighbours (bwdif, one out for one in).

    Only the frame and the two beside it count, so it is the same however it was reached.
    """
    import av.error
    import av.filter

    picture = shown.picture
    graph = av.filter.Graph()
    graph.threads = 1
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=Fraction(1, 1000),
    )
    weave = graph.add(DEINTERLACER, "mode=send_frame:parity=auto:deint=interlaced")
    graph.link_nodes(source, weave, graph.add("buffersink")).configure()
    row = [frame for frame in (shown.before, picture, shown.after) if _fits(frame, picture)]
    for frame in row:
        graph.push(frame)
    if row[-1] is picture:
        graph.push(None)
    made: list[VideoFrame] = []
    while True:
        try:
            made.append(graph.vpull())
        except (av.error.BlockingIOError, av.error.EOFError):
            break
    place = next(number for number, frame in enumerate(row) if frame is picture)
    return made[place]


def _fits(frame: VideoFrame | None, picture: VideoFrame) -> bool:
    if frame is None:
        return False
    there = (frame.width, frame.height, frame.format.name)
    return there == (picture.width, picture.height, picture.format.name)
