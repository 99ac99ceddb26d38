"""Turns decoded arrays of any depth into oriented uint8 RGB of the wanted size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from vlmtool_core.media.budget import scaled_size
from vlmtool_core.records import Json

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray

PERCENTILES = (0.1, 99.9)


def to_8bit(values: Array) -> tuple[Array, Mapping[str, Json]]:
    """Scale values of any number type to uint8 by percentiles, and say how.

    values : (h, w) or (h, w, c), any numeric dtype; NaN and infinities become black
    """
    if values.dtype == np.uint8:
        return values, {}
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255, {"rule": "bilevel"}
    low, high = _percentiles(values)
    span = high - low
    if span <= 0:
        flat = np.uint8(0 if high <= 0 else 128)
        return np.full(values.shape, flat, np.uint8), {"rule": "constant", "value": low}
    scaled = (values.astype(np.float32) - np.float32(low)) * np.float32(255 / span)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0)
    rule = {"rule": "percentiles", "percentiles": list(PERCENTILES), "low": low, "high": high}
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8), rule


def _percentiles(values: Array) -> tuple[float, float]:
    # Every n-th value is enough for a percentile, and keeps large pages cheap.
    sample = values.reshape(-1)[:: max(1, values.size // 1_000_000)]
    finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if finite.size == 0:
        return 0.0, 0.0
    low, high = np.percentile(finite, PERCENTILES)
    if low == high:
        low, high = finite.min(), finite.max()
    return float(low), float(high)


def orient(pixels: Array, orientation: int) -> Array:
    """Apply an EXIF or TIFF orientation (1 to 8; anything else counts as 1) to (h, w, ...)."""
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def rgb(pixels: Array) -> Array:
    """uint8 (h, w), (h, w, 1), (h, w, 2 with alpha), (h, w, 3) or (h, w, 4) to (h, w, 3)."""
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    channels = pixels.shape[2]
    if channels in (2, 4):
        alpha = pixels[:, :, -1:].astype(np.uint16)
        over_white = pixels[:, :, :-1].astype(np.uint16) * alpha + 255 * (255 - alpha)
        pixels = ((over_white + 127) // 255).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    return np.ascontiguousarray(pixels[:, :, :3])


def shrink(pixels: Array, max_side: int | None) -> Array:
    """uint8 (h, w, 3) with the longer side at most `max_side`, averaged over areas."""
    height, width = pixels.shape[:2]
    size = scaled_size(width, height, max_side)
    if size == (width, height):
        return pixels
    from PIL import Image

    return np.asarray(resize(Image.fromarray(pixels), size)).copy()


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Bicubic with antialiasing; large reductions are halved by exact averages first."""
    from PIL import Image as pillow

    return image.resize(size, pillow.Resampling.BICUBIC, reducing_gap=3.0)
