"""Real World Value Mapping (PS3.3 C.7.6.16.2.11): from stored values to quantities with a unit."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vlmtool_core.media.dicom.bits import is_signed
from vlmtool_core.media.dicom.functional_groups import functional_groups
from vlmtool_core.media.dicom.header import number, numbers, text

KEYWORD = "RealWorldValueMappingSequence"
# What other parts of the program call these units (UCUM codes on the left).
_UNITS = {"[hnsf'U]": "HU", "Bq/ml": "BQML", "Bq/mL": "BQML", "1": "", "{no units}": ""}


@dataclass(frozen=True, slots=True)
class RealWorldMap:
    """One item of the sequence; stored values from `first` to `last`, both included, have a value.

    table : float64 (n,), for first and up, in place of slope and intercept
    """

    first: float
    last: float
    slope: float
    intercept: float
    table: np.ndarray | None = field(default=None, compare=False, repr=False)
    unit: str = ""
    label: str = ""

    def apply(self, stored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(float64 values, bool where there is one) for stored values."""
        known = (stored >= self.first) & (stored <= self.last)
        wide = stored.astype(np.float64)
        if self.table is None:
            return wide * self.slope + self.intercept, known
        index = np.clip(np.nan_to_num(wide) - self.first, 0, len(self.table) - 1)
        return self.table[index.astype(np.int64)], known


@dataclass(frozen=True, slots=True)
class RealWorld:
    """The items of a frame that share the unit of its first one; earlier ones go first."""

    maps: tuple[RealWorldMap, ...]

    @property
    def unit(self) -> str:
        return self.maps[0].unit

    @property
    def label(self) -> str:
        return self.maps[0].label

    @property
    def line(self) -> tuple[float, float] | None:
        """(slope, intercept) where there is one straight line, else None."""
        only = self.maps[0]
        single = len(self.maps) == 1 and only.table is None
        return (only.slope, only.intercept) if single else None

    def apply(self, stored: np.ndarray) -> np.ma.MaskedArray:
        """Masked float32 (h, w); stored values that no item maps have no value."""
        values = np.zeros(stored.shape, np.float64)
        missing = np.ones(stored.shape, bool)
        for one in self.maps:
            found, known = one.apply(stored)
            place = missing & known
            values[place] = found[place]
            missing &= ~known
        return np.ma.MaskedArray(values.astype(np.float32), mask=missing)


def real_world_of(dataset: Any, index: int) -> RealWorld | None:
    """The mapping of frame `index` (0-based): its functional group's, else that of the top level;
    None where there is none, or none that can be used.
    """
    items = functional_groups(dataset, index, KEYWORD) or list(dataset.get(KEYWORD) or ())
    signed = is_signed(dataset)
    maps = [found for item in items if (found := _map(item, signed)) is not None]
    same = tuple(one for one in maps if one.unit == maps[0].unit)
    return RealWorld(same) if same else None


def _map(item: Any, signed: bool) -> RealWorldMap | None:
    ends = [_end(item, f"RealWorldValue{which}ValueMapped", signed) for which in ("First", "Last")]
    first, last = ends
    if first is None or last is None or first > last:
        return None
    unit, label = unit_of(item), text(item, "LUTLabel") or text(item, "LUTExplanation")
    table = numbers(item, "RealWorldValueLUTData")
    if table:
        whole = len(table) == last - first + 1
        values = np.asarray(table, np.float64)
        return RealWorldMap(first, last, 0.0, 0.0, values, unit, label) if whole else None
    slope = number(item, "RealWorldValueSlope")
    intercept = number(item, "RealWorldValueIntercept")
    if slope is None or intercept is None or not np.isfinite([slope, intercept]).all():
        return None
    return RealWorldMap(first, last, slope, intercept, None, unit, label)


def _end(item: Any, keyword: str, signed: bool) -> float | None:
    """The first or last value mapped; of pixels in floating point in another element."""
    value = number(item, keyword)
    if value is None:
        return number(item, f"DoubleFloat{keyword}")
    return value - 65536 if signed and value > 32767 else value


def unit_of(item: Any) -> str:
    """The unit of an item of the sequence, "" for none: a code of UCUM as a rule."""
    codes = list(item.get("MeasurementUnitsCodeSequence") or ())
    code = text(codes[0], "CodeValue")[:16] if codes else ""
    return _UNITS.get(code, code)
