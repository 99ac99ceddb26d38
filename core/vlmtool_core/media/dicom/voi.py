"""VOI transformations of PS3.3 C.11.2 and C.11.1 lookup tables: from modality values to grey.

Modality values are (h, w) float32 arrays; a masked array marks padding, which is drawn black.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vlmtool_core.media.base import Window

Array = np.ndarray

LINEAR = "LINEAR"
LINEAR_EXACT = "LINEAR_EXACT"
SIGMOID = "SIGMOID"
FUNCTIONS = (LINEAR, LINEAR_EXACT, SIGMOID)
TABLE = "TABLE"
AUTO_PERCENTILES = (1.0, 99.0)

_BLOCK = 64 * 1024  # pixels


@dataclass(frozen=True, slots=True, eq=False)
class LookupTable:
    """A Modality, VOI, presentation or palette LUT: values below `first` take the first entry,
    above the last one.

    entries : float32 (n,); bits : of an entry, its full scale is 2**bits - 1
    """

    first: int
    entries: Array = field(repr=False)
    bits: int
    explanation: str = ""

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LookupTable):
            return NotImplemented
        same = (self.first, self.bits) == (other.first, other.bits)
        return same and np.array_equal(self.entries, other.entries)

    def __hash__(self) -> int:
        return hash((self.first, self.bits, len(self.entries)))

    def apply(self, values: Array) -> Array:
        """Entries for `values`, float32 of the same shape."""
        # In int64: indices in the values' own type wrap around.
        with np.errstate(invalid="ignore"):
            index = np.rint(np.asarray(values, dtype=np.float64)) - self.first
        index = np.clip(np.nan_to_num(index), 0, len(self.entries) - 1)
        return self.entries[index.astype(np.int64)]

    def grey(self, values: Array) -> Array:
        """Entries scaled to [0, 255], float32."""
        return self.apply(values) * np.float32(255 / (2**self.bits - 1))

    def window(self, explanation: str) -> Window:
        """The table as a choice among windows, as wide as the values that it tells apart."""
        count = len(self.entries)
        return Window(self.first + count / 2, float(count), explanation, TABLE, self)


def is_valid(window: Window) -> bool:
    """Whether the width is allowed: at least 1 for LINEAR, positive otherwise."""
    if window.function == TABLE:
        return window.table is not None
    if not np.isfinite(window.center) or not np.isfinite(window.width):
        return False
    return window.width >= 1 if window.function == LINEAR else window.width > 0


def apply_window(values: Array, window: Window) -> Array:
    """Grey values in [0, 255] as float32, before rounding (PS3.3 C.11.2.1.2 and .3).

    Raises
    ------
    ValueError : the width is too small, or the function is none of the standard
    """
    if window.function == TABLE and window.table is not None:
        return window.table.grey(np.asarray(values, dtype=np.float32))
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


def render_window(
    values: Array,
    window: Window,
    *,
    inverted: bool = False,
    presentation: LookupTable | None = None,
) -> Array:
    """uint8 (h, w) for the screen; padding is black.

    inverted : for MONOCHROME1, applied last; presentation : see `finish`
    """
    step = max(1, _BLOCK // max(1, values.shape[-1]))
    # Steps that stay in the processor's cache: several times as fast as the whole at once.
    shown = np.empty(values.shape, np.uint8)
    for top in range(0, len(values), step):
        part = values[top : top + step]
        grey = apply_window(part, window)
        shown[top : top + step] = finish(grey, part, inverted=inverted, presentation=presentation)
    return shown


def finish(
    grey: Array, values: Array, *, inverted: bool, presentation: LookupTable | None = None
) -> Array:
    """Round grey values in [0, 255], invert them if asked, and blacken the padding of `values`.

    presentation : a Presentation LUT (PS3.3 C.11.4); it spans the whole range of grey
    """
    if presentation is not None:
        last = len(presentation.entries) - 1
        grey = presentation.grey(grey * np.float32(last / 255) + presentation.first)
    shown = np.rint(grey).astype(np.uint8)
    if inverted:
        shown = np.subtract(255, shown, dtype=np.uint8)
    mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
    if mask is not None and mask.any():
        shown[mask] = 0
    return shown


def rescaled(window: Window, factor: float, offset: float) -> Window:
    """The window that shows `factor` * x + `offset` as the given one shows x.

    Raises
    ------
    ValueError : the factor is not positive, or a table would have to be stretched
    """
    if factor == 1 and offset == 0:
        return window
    if factor <= 0 or window.function == TABLE:
        raise ValueError("the window cannot be rescaled")
    center, width, function = window.center, window.width, window.function
    if function == LINEAR and factor != 1 and width > 1:
        # The half and the whole that LINEAR takes off are in the unit of x (PS3.3 C.11.2.1.2.1).
        center, width, function = center - 0.5, width - 1, LINEAR_EXACT
    return Window(factor * center + offset, factor * width, window.explanation, function)


def moved(window: Window, center: float, width: float) -> Window:
    """A window with another centre and width, as wide as its function needs at least; a table gives
    way to a LINEAR window.
    """
    function = LINEAR if window.function == TABLE else window.function
    least = 1.0 if function == LINEAR else 1e-6 * max(1e-6, abs(window.width))
    return Window(center, max(least, width), "", function)


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
