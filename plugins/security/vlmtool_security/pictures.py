"""Frame sheets, overviews and crops of footage, as JPEG."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vlmtool_security.spans import Rectangle

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

    from vlmtool_core.api import Frame

TILE_WIDTH = 320
_CAPTION_HEIGHT = 20
_MARK = (255, 80, 0)


@dataclass(frozen=True)
class Tile:
    """One small picture of a sheet; `box` in source pixels is drawn when given."""

    picture: Image
    time_s: float
    box: Rectangle | None = None


def clock(seconds: float) -> str:
    """`0:01:02.3`: file time in hours, minutes, seconds and tenths."""
    tenths = round(max(0.0, seconds) * 10)
    minutes, tenths = divmod(tenths, 600)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{tenths // 10:02d}.{tenths % 10}"


def tile(frame: Frame, time_s: float, box: Rectangle | None = None) -> Tile:
    """The frame at most `TILE_WIDTH` wide, with the box drawn on it."""
    from PIL import Image, ImageDraw

    width, height = frame.size
    factor = min(1.0, TILE_WIDTH / width)
    size = max(1, round(width * factor)), max(1, round(height * factor))
    picture = Image.fromarray(frame.pixels).resize(size, Image.Resampling.BOX)
    if box is not None:
        corners = [value * factor for value in box]
        corners[2] = min(corners[2], size[0] - 1)
        corners[3] = min(corners[3], size[1] - 1)
        ImageDraw.Draw(picture).rectangle(corners, outline=_MARK, width=2)
    return Tile(picture, time_s, box)


def sheet(tiles: Sequence[Tile], *, columns: int = 3) -> bytes:
    """The tiles in rows with their times under them, as JPEG.

    Raises
    ------
    ValueError : there are no tiles.
    """
    from PIL import Image, ImageDraw, ImageFont

    if not tiles:
        raise ValueError("a sheet needs at least one tile")
    width = max(t.picture.width for t in tiles)
    height = max(t.picture.height for t in tiles) + _CAPTION_HEIGHT
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    page = Image.new("RGB", (columns * width, rows * height), (24, 24, 24))
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(size=14)
    for number, item in enumerate(tiles):
        left, top = (number % columns) * width, (number // columns) * height
        page.paste(item.picture, (left, top))
        colour = _MARK if item.box is not None else (230, 230, 230)
        draw.text((left + 4, top + height - _CAPTION_HEIGHT + 2), clock(item.time_s), colour, font)
    return jpeg(page)


def jpeg(picture: Image | np.ndarray, *, quality: int = 85) -> bytes:
    """A picture, or uint8 (h, w, 3) RGB pixels, as JPEG."""
    from PIL import Image

    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def crop(
    frame: Frame, box: Rectangle, *, margin: float = 0.2, least: int = 64, most: int = 512
) -> np.ndarray:
    """uint8 (h, w, 3): what is in the box, with a margin of that part of its size.

    least, most : pixels a side; a smaller cut is widened, a larger one is scaled down
    """
    import numpy as np
    from PIL import Image

    height, width = frame.pixels.shape[:2]
    x1, x2 = _widened(box[0], box[2], width, margin, least)
    y1, y2 = _widened(box[1], box[3], height, margin, least)
    cut = Image.fromarray(frame.pixels[y1:y2, x1:x2])
    cut.thumbnail((most, most), Image.Resampling.BICUBIC)
    return np.asarray(cut)


def _widened(low: float, high: float, limit: int, margin: float, least: int) -> tuple[int, int]:
    middle = (low + high) / 2
    half = max((high - low) * (1 + 2 * margin), least) / 2
    start = int(max(0, min(math.floor(middle - half), limit - 1)))
    end = int(min(limit, max(math.ceil(middle + half), start + 1)))
    return start, end
