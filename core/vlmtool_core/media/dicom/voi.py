"""VOI transformations of PS3.3 C.11.2 and C.11.1 lookup tables: from modality values to grey.

Modality values are (h, w) float32 arrays; a masked array marks padding, which is drawn black.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlmtool_core.media.base import Window

Array = np.ndarray

LINEAR = "LINEAR"
LINEAR_EXACT = "LINEAR_EXACT"
SIGMOID = "SIGMOID"
FUNCTIONS = (LINEAR, LINEAR_EXACT, SIGMOID)
AUTO_PERCENTILES = (1.0, 99.0)


def is_valid(window: Window) -> bool:
    """Whether the width is allowed: at least 1 for LINEAR, positive otherwise."""
    if not np.isfinite(window.center) or not np.isfinite(window.width):
        return False
    return window.width >= 1 if window.function == LINEAR else window.width > 0


def apply_window(values: Array, window: Window) -> Array:
    """Grey values in [0, 255] as float32, before rounding (PS3.3 C.11.2.1.2 and .3).

    Raises
    ------
    ValueError : the width is too small, or the function is none of the standard
    """
    if window.function not in FUNCTIONS:
        raise ValueError(f"VOI LUT function {window.function!r} is none of {FUNCTIONS}")
    if not is_valid(window):
        raise ValueError(f"a {window.function} window cannot have the width {window.width}")
    x = np.asarray(values, dtype=np.float32)
    center, width = float(window.center), float(window.width)
    if window.function == SIGMOID:
        exponent = np.clip((x - np.float32(center)) * np.float32(-4 / width), -80, 80)
        grey: Array = np.float32(255) / (1 + np.exp(exponent))
        return grey
    if window.function == LINEAR:
        center, width = center - 0.5, width - 1
    if width == 0:  # LINEAR of width 1 is a step
        return np.where(x > center, np.float32(255), np.float32(0))
    grey = (x - np.float32(center)) * np.float32(255 / width) + np.float32(127.5)
    return np.clip(grey, 0, 255, out=grey)


def render_window(values: Array, window: Window, *, inverted: bool = False) -> Array:
    """uint8 (h, w) for the screen; `inverted` for MONOCHROME1, applied last. Padding is black."""
    return finish(apply_window(values, window), values, inverted=inverted)


def finish(grey: Array, values: Array, *, inverted: bool) -> Array:
    """Round grey values in [0, 255], invert them if asked, and blacken the padding of `values`."""
    shown = np.rint(grey).astype(np.uint8)
    if inverted:
        shown = np.subtract(255, shown, dtype=np.uint8)
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    if mask is not None and mask.any():
        shown[mask] = 0
    return shown


def percentile_window(values: Array) -> Window:
    """A LINEAR_EXACT window from the 1st to the 99th percentile of what is not padding."""
    data = values.compressed() if isinstance(values, np.ma.MaskedArray) else values.reshape(-1)
    data = data[np.isfinite(data)]
    if data.size == 0:
        return Window(0.0, 1.0, "constant", LINEAR_EXACT)
    low, high = (float(v) for v in np.percentile(data, AUTO_PERCENTILES))
    if high <= low:
        low, high = float(data.min()), float(data.max())
    if high <= low:
        # One value only: the middle of the grey scale shows that there is something.
        return Window(low, 1.0, "constant", LINEAR_EXACT)
    return Window((low + high) / 2, high - low, "1-99 percentile", LINEAR_EXACT)


@dataclass(frozen=True)
class LookupTable:
    """A Modality or VOI LUT: values below `first` take the first entry, above the last one.

    entries : float32 (n,); bits : of an entry, its full scale is 2**bits - 1
    """

    first: int
    entries: Array
    bits: int
    explanation: str = ""

    def apply(self, values: Array) -> Array:
        """Entries for `values`, float32 of the same shape."""
        # In int64: indices in the values' own type wrap around.
        index = np.rint(np.asarray(values, dtype=np.float64)).astype(np.int64) - self.first
        return self.entries[np.clip(index, 0, len(self.entries) - 1)]

    def grey(self, values: Array) -> Array:
        """Entries scaled to [0, 255], float32."""
        return self.apply(values) * np.float32(255 / (2**self.bits - 1))
