"""What a DICOM header asks of a frame's stored values, in the order of PS3.3 C.11 and PS3.4 N.2.

Stored bits, then one of: Modality LUT; Real World Value Map; rescale; then VOI, Presentation LUT,
inversion. The first two of the three never meet rescaling. Windows are stated for rescaled values,
so a Real World Value Map is used only where the header gives these no unit and where its windows
can be carried over; otherwise `unused_map` names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import Window
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.dicom.bits import is_signed
from vlmtool_core.media.dicom.functional_groups import functional_group
from vlmtool_core.media.dicom.header import Header, number, numbers, text
from vlmtool_core.media.dicom.lookup import lookup_table
from vlmtool_core.media.dicom.padding import Padding, padding_of
from vlmtool_core.media.dicom.real_world import RealWorld, real_world_of
from vlmtool_core.media.dicom.units import is_hounsfield, stated_unit
from vlmtool_core.media.dicom.voi import LookupTable
from vlmtool_core.records import Json

_EXACT_BITS = 16  # float32 holds products of whole numbers of this size without rounding


@dataclass(frozen=True)
class Transform:
    """From stored values to grey, for one frame.

    table, real_world : in place of slope and intercept
    windows : valid VOI tables and windows of the file, the first is the default
    presentation : goes before the inversion
    notes : what of the header cannot be used; unused_map : a Real World Value Map left aside
    """

    slope: float = 1.0
    intercept: float = 0.0
    table: LookupTable | None = None
    real_world: RealWorld | None = None
    padding: Padding | None = None
    windows: tuple[Window, ...] = ()
    presentation: LookupTable | None = None
    inverted: bool = False
    unit: str = ""
    notes: tuple[str, ...] = ()
    unused_map: str = ""

    def modality_values(
        self, stored: np.ndarray, allocated: np.ndarray | None = None
    ) -> np.ma.MaskedArray:
        """Masked float32 (h, w) in `unit`; masked where there is no value: padding, no number.

        allocated : the same values with all allocated bits, where padding may lie
        """
        values = self._mapped(stored)
        mask = np.ma.getmask(values)
        data = np.ma.getdata(values)
        if self.padding is not None:
            mask = mask | self.padding.mask(stored if allocated is None else allocated, stored)
        if stored.dtype.kind == "f":
            finite = np.isfinite(data)
            mask, data = mask | ~finite, np.where(finite, data, np.float32(0))
        return np.ma.MaskedArray(data, mask=mask)

    def _mapped(self, stored: np.ndarray) -> np.ndarray:
        if self.table is not None:
            return self.table.apply(stored)
        if self.real_world is not None:
            return self.real_world.apply(stored)
        whole = self.slope.is_integer() and self.intercept.is_integer()
        small = max(abs(self.slope), 1) * 2**_EXACT_BITS + abs(self.intercept) < 2**24
        if whole and small and stored.dtype.itemsize * 8 <= _EXACT_BITS:
            values = stored.astype(np.float32)
            if self.slope != 1:
                values *= np.float32(self.slope)
            if self.intercept != 0:
                values += np.float32(self.intercept)
            return values
        with np.errstate(over="ignore", invalid="ignore"):
            wide = stored.astype(np.float64) * self.slope + self.intercept
            return wide.astype(np.float32)

    def in_words(self) -> str:
        """How stored values became modality values, for a person."""
        if self.table is not None:
            return "Modality LUT"
        if self.real_world is not None:
            return f"Real World Value Map {self.real_world.label}".strip()
        if (self.slope, self.intercept) == (1.0, 0.0):
            return "as stored"
        return f"rescaled: {self.slope:g} x stored value {self.intercept:+g}"

    def to_json(self) -> dict[str, Json]:
        """How stored values became modality values, for the provenance of a picture."""
        steps: dict[str, Json] = {}
        if self.table is not None:
            steps["rule"] = "Modality LUT"
        elif self.real_world is not None:
            steps["rule"] = "Real World Value Map"
            steps["label"] = self.real_world.label
            if self.real_world.line is not None:
                steps["slope"], steps["intercept"] = self.real_world.line
        elif (self.slope, self.intercept) != (1.0, 0.0):
            steps = {"rule": "rescale", "slope": self.slope, "intercept": self.intercept}
        else:
            steps["rule"] = "none"
        steps["unit"] = self.unit
        if self.padding is not None:
            steps["padding"] = [self.padding.low, self.padding.high]
        return steps


def transform_of(header: Header, index: int) -> Transform:
    """The transform of frame `index` (0-based).

    Raises
    ------
    DamagedMediaError : the Modality or Presentation LUT is broken, so that no value can be right
    """
    dataset = header.dataset
    group = functional_group(dataset, index, "PixelValueTransformationSequence")
    rescale = dataset if group is None else group
    slope, intercept, notes = _rescale(dataset, rescale)
    item = _first(dataset, "ModalityLUTSequence")
    table = None if item is None else _needed(header, "ModalityLUTSequence", is_signed(dataset))
    negative = table is None and (is_signed(dataset) or intercept < 0 or slope < 0)
    display = functional_group(dataset, index, "FrameVOILUTSequence")
    windows, more = windows_of(dataset if display is None else display, negative)
    unit = stated_unit(dataset, rescale, item)
    real_world = None if unit or table is not None else real_world_of(dataset, index)
    unused = ""
    if real_world is not None:
        carried = _carried(windows, real_world, slope, intercept)
        if carried is None or _is_plain_ct(dataset, rescale):
            unused, real_world = real_world.label or real_world.unit or "unnamed", None
        else:
            windows, unit = carried, real_world.unit
    if not unit and table is None and real_world is None and is_hounsfield(dataset, rescale):
        unit = "HU"
    presentation = None
    if _first(dataset, "PresentationLUTSequence") is not None:
        presentation = _needed(header, "PresentationLUTSequence", signed=False)
    return Transform(
        slope,
        intercept,
        table,
        real_world,
        padding_of(dataset),
        windows,
        presentation,
        presentation is None and is_inverted(dataset),
        unit,
        notes + more,
        unused,
    )


def is_inverted(dataset: Any) -> bool:
    """Whether low values are white: as the Presentation LUT Shape says where it is stated
    (PS3.3 C.11.6), else for MONOCHROME1.
    """
    shape = text(dataset, "PresentationLUTShape").upper()
    if shape in ("IDENTITY", "INVERSE"):
        return shape == "INVERSE"
    return text(dataset, "PhotometricInterpretation").upper() == "MONOCHROME1"


def _is_plain_ct(dataset: Any, rescale: Any) -> bool:
    """Whether HU are certain although no unit is stated."""
    return is_hounsfield(dataset, rescale) and not text(rescale, "RescaleType")


def _first(dataset: Any, keyword: str) -> Any | None:
    items = dataset.get(keyword) or ()
    return items[0] if items else None


def _needed(header: Header, keyword: str, signed: bool) -> LookupTable:
    try:
        return lookup_table(header.dataset[keyword][0], signed)
    except ValueError as error:
        raise DamagedMediaError(
            f"its lookup table cannot be used: {error}", path=header.path, field=keyword
        ) from error


def _rescale(dataset: Any, rescale: Any) -> tuple[float, float, tuple[str, ...]]:
    """(slope, intercept, notes); the scaling of a dose grid (PS3.3 C.8.8.3) is one, too."""
    slope = number(rescale, "RescaleSlope")
    if slope is None:
        dosed = text(dataset, "Modality").upper() == "RTDOSE"
        slope = number(dataset, "DoseGridScaling") if dosed else None
    intercept = number(rescale, "RescaleIntercept") or 0.0
    if slope is None:
        slope = 1.0
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        note = f"a rescale of slope {slope:g} and intercept {intercept:g} is not applied"
        return 1.0, 0.0, (note,)
    return slope, intercept, ()


def _carried(
    windows: tuple[Window, ...], real_world: RealWorld, slope: float, intercept: float
) -> tuple[Window, ...] | None:
    """The windows of rescaled values as windows of real world values; None where none can be."""
    if not windows:
        return ()
    if real_world.line is None:
        return None
    factor = real_world.line[0] / slope
    offset = real_world.line[1] - factor * intercept
    try:
        carried = tuple(voi.rescaled(window, factor, offset) for window in windows)
    except ValueError:
        return None
    return tuple(window for window in carried if voi.is_valid(window)) or None


def windows_of(dataset: Any, negative: bool = False) -> tuple[tuple[Window, ...], tuple[str, ...]]:
    """Every usable VOI LUT, then every valid pair of centre and width; and notes on the rest.

    negative : whether modality values can be, and the first value that a LUT maps
    """
    windows: list[Window] = []
    notes: list[str] = []
    for place, item in enumerate(dataset.get("VOILUTSequence") or ()):
        name = text(item, "LUTExplanation") or f"VOI LUT {place + 1}"
        try:
            windows.append(lookup_table(item, negative).window(name))
        except ValueError as error:
            notes.append(f"{name} cannot be used: {error}")
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    if len(centers) != len(widths):
        notes.append(f"the header has {len(centers)} window centres and {len(widths)} widths")
    function = text(dataset, "VOILUTFunction").upper() or voi.LINEAR
    if function not in voi.FUNCTIONS:
        notes.append("the VOI LUT function is none of the standard: LINEAR is used")
        function = voi.LINEAR
    names = dataset.get("WindowCenterWidthExplanation") or ""
    texts = [names] if isinstance(names, str) else [str(name) for name in names]
    for place, (center, width) in enumerate(zip(centers, widths, strict=False)):
        # Less than 1 is no width for LINEAR; writers of small quantities mean the exact function.
        small = function == voi.LINEAR and 0 < width < 1
        name = texts[place] if place < len(texts) else ""
        window = Window(center, width, name, voi.LINEAR_EXACT if small else function)
        if voi.is_valid(window):
            windows.append(window)
        else:
            notes.append(f"the window of centre {center:g} and width {width:g} cannot be used")
    return tuple(windows), tuple(notes)
