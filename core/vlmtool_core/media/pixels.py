"""Turns decoded arrays of any depth into oriented uint8 RGB of the wanted size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vlmtool_core.media.base import Window
from vlmtool_core.media.budget import scaled_size

if TYPE_CHECKING:
    from PIL.Image import Image

Array = np.ndarray

PERCENTILES = (0.1, 99.9)


def full_range(values: Array, bits: int) -> Array:
    """uint8 of colour samples: 0 to 2**bits - 1 for integers, 0 to 1 for floats, rounded.

    values : any shape and numeric dtype; NaN becomes black, what lies outside is clipped
    """
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * 255
    if values.dtype == np.uint8 and bits == 8:
        return values
    if values.dtype.kind in "ui" and bits <= 16:
        top = 2**bits - 1
        steps = np.clip(np.arange(2**16), 0, top).astype(np.float64)
        table = np.rint(steps * (255 / top)).astype(np.uint8)
        return table[np.clip(values, 0, 2**16 - 1)]
    top = 1 if values.dtype.kind == "f" else 2**bits - 1
    with np.errstate(all="ignore"):
        scaled = np.nan_to_num(values * np.float64(255 / top), nan=0, posinf=255, neginf=0)
    return np.clip(np.rint(scaled), 0, 255).astype(np.uint8)


def percentile_window(values: Array) -> Window:
    """A LINEAR_EXACT window over all but the lowest and highest thousandth of finite values."""
    if isinstance(values, np.ma.MaskedArray):
        values = values.compressed()
    # Every n-th value is enough for a percentile, and keeps large pages cheap.
    sample = values.reshape(-1)[:: max(1, values.size // 1_000_000)]
    finite = sample[np.isfinite(sample)] if sample.dtype.kind == "f" else sample
    if finite.size == 0:
        return Window(0.0, 1.0, "constant", "LINEAR_EXACT")
    low, high = (float(value) for value in np.percentile(finite.astype(np.float64), PERCENTILES))
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    if low == high or not np.isfinite(np.float32(high) - np.float32(low)):
        return Window(low, 1.0, "constant", "LINEAR_EXACT")
    low_share, high_share = PERCENTILES
    explanation = f"{low_share:g}-{high_share:g} percentile"
    return Window((low + high) / 2, high - low, explanation, "LINEAR_EXACT")


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
