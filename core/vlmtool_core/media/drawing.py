"""Draws what a file lays over its pictures onto a frame that is to be looked at; never for a model.

First the display shutter, then overlay planes in white; or what a presentation state asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.base import MediaSource, Window
from vlmtool_core.records import Frame

if TYPE_CHECKING:
    import numpy as np

    from vlmtool_core.media.dicom.presentation_graphics import Drawn, Stroke, Writing
    from vlmtool_core.media.dicom.shutters import Covered

WHITE = 255
_CROSS = 3


@dataclass(frozen=True)
class Drawing:
    """What lies over a frame, at the size of its pixels.

    lines : bool (h, w) that overlay planes draw on; covered : bool (h, w) that a shutter covers
    colour : sRGB of what is covered
    """

    lines: np.ndarray | None = None
    covered: np.ndarray | None = None
    colour: tuple[int, int, int] = (0, 0, 0)

    def painted(self, pixels: np.ndarray) -> np.ndarray:
        """A copy of uint8 pixels (h, w) or (h, w, 3) with it; (h, w, 3) where it has colour."""
        painted = pixels.copy()
        if self.covered is not None:
            red, green, blue = self.colour
            if painted.ndim == 2 and not red == green == blue:
                painted = painted[:, :, None].repeat(3, axis=2)
            painted[self.covered] = red if painted.ndim == 2 else self.colour
        if self.lines is not None:
            painted[self.lines] = WHITE
        return painted


def drawing_of(source: MediaSource, frame: Frame) -> Drawing | None:
    """What the source lays over a frame; None where that is nothing.

    Raises
    ------
    MediaError : a plane or the shutter cannot be read
    """
    import numpy as np

    planes = getattr(source, "overlays", None)
    shutter = getattr(source, "shutter", None)
    masks = [plane.mask for plane in planes(frame.index)] if planes is not None else []
    cover = shutter(frame.index) if shutter is not None else None
    if not masks and cover is None:
        return None
    shape = frame.pixels.shape[:2]
    lines = _fitted(np.logical_or.reduce(masks), shape) if masks else None
    return Drawing(lines) if cover is None else replace(covering(cover, shape), lines=lines)


def covering(cover: Covered, shape: tuple[int, ...]) -> Drawing:
    """What a shutter covers of pixels (h, w) or (h, w, 3) of this shape."""
    return Drawing(None, _fitted(cover.mask, shape[:2], half=True), cover.colour)


def with_overlays(frame: Frame, source: MediaSource) -> Frame:
    """The frame with shutter and overlay planes of its source; itself where there are none.

    Raises
    ------
    MediaError : a plane or the shutter cannot be read
    """
    drawing = drawing_of(source, frame)
    if drawing is None:
        return frame
    said = dict(frame.provenance)
    if drawing.lines is not None:
        said["overlays"] = "white"
    if drawing.covered is not None:
        said["shutter"] = list(drawing.colour)
    return replace(frame, pixels=drawing.painted(frame.pixels), provenance=said)


def as_presented(
    source: MediaSource,
    index: int,
    state: Path,
    *,
    window: Window | None = None,
    max_side: int | None = None,
    texts: bool = True,
) -> Frame:
    """A frame as a presentation state asks for it: grey, shutter, graphics, turned and mirrored.

    window : in place of the state's own
    texts : whether to write its texts, which may identify a person

    Raises
    ------
    UnsupportedMediaError : the source is no DICOM picture, or the state is not for this frame
    MediaError
    """
    import numpy as np

    from vlmtool_core.media.dicom.presentation_graphics import turned

    presented = getattr(source, "presented", None)
    shown: Any = (
        None if presented is None else presented(index, state, window=window, max_side=max_side)
    )
    if shown is None or not shown.is_meant:
        raise UnsupportedMediaError(
            f"the presentation state {state.name} is not for frame {index} of this picture",
            path=source.info.path,
            remedy="Name one that refers to it: `vlmtool-cli media info` says what a state is for.",
        )
    frame = shown.frame
    pixels = frame.pixels
    if shown.covered is not None:
        pixels = covering(shown.covered, pixels.shape).painted(pixels)
    scale = pixels.shape[1] / frame.size[0]
    pixels = np.rot90(pixels, -(shown.rotation // 90))
    if shown.flipped:
        pixels = pixels[:, ::-1]
    drawn = [turned(one, frame.size, shown.rotation, flipped=shown.flipped) for one in shown.drawn]
    pixels = draw_annotations(pixels, drawn, scale, texts=texts)
    said = {**frame.provenance, "rotation_deg": shown.rotation, "mirrored": shown.flipped}
    sideways = shown.rotation % 180 != 0
    size = frame.size[::-1] if sideways else frame.size
    return replace(frame, pixels=np.ascontiguousarray(pixels), provenance=said, source_size=size)


def draw_annotations(
    pixels: np.ndarray, drawn: Sequence[Drawn], scale: float, *, texts: bool = True
) -> np.ndarray:
    """A copy of uint8 RGB pixels with lines and texts; `scale` : of these to the picture's pixels.

    A line goes through the points that the file states, (0, 0) being the corner of a pixel.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    if not drawn:
        return pixels
    image = Image.fromarray(np.ascontiguousarray(pixels))
    canvas = ImageDraw.Draw(image)
    for one in drawn:
        for stroke in one.strokes:
            _draw_stroke(canvas, stroke, one.colour, scale)
        for writing in one.writings if texts else ():
            _write(canvas, writing, one.colour, scale)
    return np.asarray(image)


def _draw_stroke(canvas: Any, stroke: Stroke, colour: tuple[int, int, int], scale: float) -> None:
    # Pillow counts from the centre of the first pixel, the standard from its corner.
    points = [(x * scale - 0.5, y * scale - 0.5) for x, y in stroke.points]
    if stroke.is_point:
        x, y = points[0]
        canvas.line([(x - _CROSS, y), (x + _CROSS, y)], fill=colour)
        canvas.line([(x, y - _CROSS), (x, y + _CROSS)], fill=colour)
    elif stroke.filled:
        canvas.polygon(points, fill=colour)
    else:
        canvas.line([*points, points[0]] if stroke.closed else points, fill=colour)


def _write(canvas: Any, writing: Writing, colour: tuple[int, int, int], scale: float) -> None:
    if writing.line:
        canvas.line([(x * scale - 0.5, y * scale - 0.5) for x, y in writing.line], fill=colour)
    place = (writing.place[0] * scale, writing.place[1] * scale)
    canvas.multiline_text(place, writing.value, fill=colour, stroke_width=1, stroke_fill=(0, 0, 0))


def _fitted(mask: np.ndarray, shape: tuple[int, ...], *, half: bool = False) -> np.ndarray:
    """The mask at another size, thin lines kept: a pixel is drawn if any of its parts is.

    half : only if at least half of it is
    """
    if mask.shape == shape:
        return mask
    import cv2
    import numpy as np

    size = (shape[1], shape[0])
    covered = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    drawn: np.ndarray = covered >= 0.5 if half else covered > 0
    return drawn
