"""What a DICOM header asks of a frame's stored values: modality transform, padding, VOI.

Enhanced multi-frame objects keep these in functional groups, per frame or shared.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmtool_core.media.base import Window
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.dicom.header import number, numbers, text
from vlmtool_core.media.dicom.voi import LookupTable

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@dataclass(frozen=True)
class Transform:
    """From stored values to grey, for one frame.

    table : Modality LUT, in place of slope and intercept; padding : stored values (low, high)
    windows : valid VOI windows of the file; voi_tables : they go before windows
    """

    slope: float = 1.0
    intercept: float = 0.0
    table: LookupTable | None = None
    padding: tuple[int, int] | None = None
    windows: tuple[Window, ...] = ()
    voi_tables: tuple[LookupTable, ...] = ()
    inverted: bool = False
    unit: str = ""

    def modality_values(self, stored: np.ndarray) -> np.ma.MaskedArray:
        """Masked float32 (h, w) in `unit`; masked where the detector or scanner saw nothing."""
        mask: Any = np.ma.nomask
        if self.padding is not None:
            low, high = self.padding
            mask = (stored >= low) & (stored <= high)
        if self.table is not None:
            values = self.table.apply(stored)
        else:
            values = stored.astype(np.float32)
            if self.slope != 1:
                values *= np.float32(self.slope)
            if self.intercept != 0:
                values += np.float32(self.intercept)
        return np.ma.MaskedArray(values, mask=mask)


def functional_group(dataset: Any, index: int, keyword: str) -> Any | None:
    """The macro `keyword` of frame `index`: its own, else the shared one, else None."""
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or ()
    shared = dataset.get("SharedFunctionalGroupsSequence") or ()
    own = [per_frame[index]] if index < len(per_frame) else []
    for group in [*own, *list(shared)[:1]]:
        items = group.get(keyword)
        if items:
            return items[0]
    return None


def transform_of(dataset: Any, index: int) -> Transform:
    """The transform of frame `index` (0-based)."""
    values = functional_group(dataset, index, "PixelValueTransformationSequence")
    display = functional_group(dataset, index, "FrameVOILUTSequence")
    rescale = dataset if values is None else values
    slope = number(rescale, "RescaleSlope")
    intercept = number(rescale, "RescaleIntercept") or 0.0
    signed = int(number(dataset, "PixelRepresentation") or 0) == 1
    table = _first(_tables(dataset, "ModalityLUTSequence", signed))
    shape = text(dataset, "PresentationLUTShape").upper()
    photometric = text(dataset, "PhotometricInterpretation").upper()
    voi_source = dataset if display is None else display
    return Transform(
        slope=1.0 if slope is None or slope == 0 else slope,
        intercept=intercept,
        table=table,
        padding=_padding(dataset, signed),
        windows=windows_of(voi_source),
        voi_tables=_tables(voi_source, "VOILUTSequence", signed or intercept < 0),
        inverted=photometric == "MONOCHROME1" or shape == "INVERSE",
        unit=unit_of(dataset, rescale, table is not None),
    )


def _first(tables: tuple[LookupTable, ...]) -> LookupTable | None:
    return tables[0] if tables else None


def windows_of(dataset: Any) -> tuple[Window, ...]:
    """Every valid pair of window centre and width, with its explanation."""
    centers, widths = numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth")
    function = text(dataset, "VOILUTFunction").upper() or voi.LINEAR
    if function not in voi.FUNCTIONS:
        function = voi.LINEAR
    names = dataset.get("WindowCenterWidthExplanation") or ""
    texts = [names] if isinstance(names, str) else [str(name) for name in names]
    windows = [
        Window(center, width, texts[i] if i < len(texts) else "", function)
        for i, (center, width) in enumerate(zip(centers, widths, strict=False))
    ]
    return tuple(window for window in windows if voi.is_valid(window))


def unit_of(dataset: Any, rescale: Any, has_table: bool) -> str:
    """Unit of modality values: stated, or HU for CT that is no secondary capture; else ""."""
    stated = text(rescale, "RescaleType").upper()
    if has_table:
        stated = text(dataset.ModalityLUTSequence[0], "ModalityLUTType").upper()
    if stated and stated not in ("US", "UNSPECIFIED"):
        return stated
    modality = text(dataset, "Modality").upper()
    if modality == "PT":
        return text(dataset, "Units").upper()
    secondary = text(dataset, "SOPClassUID").startswith(SECONDARY_CAPTURE)
    rescaled = number(rescale, "RescaleIntercept") is not None
    if modality == "CT" and not secondary and rescaled and not has_table:
        return "HU"
    return ""


def _padding(dataset: Any, signed: bool) -> tuple[int, int] | None:
    value = number(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = number(dataset, "PixelPaddingRangeLimit")
    ends = [_as_signed(int(v), signed) for v in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_signed(value: int, signed: bool) -> int:
    """Some writers give a negative number in an unsigned element."""
    return value - 65536 if signed and value > 32767 else value


def _tables(dataset: Any, keyword: str, signed: bool) -> tuple[LookupTable, ...]:
    tables = (lookup_table(item, signed) for item in dataset.get(keyword) or ())
    return tuple(table for table in tables if table is not None)


def lookup_table(item: Any, signed: bool, prefix: str = "LUT") -> LookupTable | None:
    """A Modality or VOI LUT item (PS3.3 C.11.1.1), or the palette of the colour `prefix`.

    None when it is absent or breaks its own descriptor.
    """
    descriptor = numbers(item, f"{prefix}Descriptor")
    data = item.get(f"{prefix}Data")
    if len(descriptor) != 3 or data is None:
        return None
    count = int(descriptor[0]) or 65536
    first = _as_signed(int(descriptor[1]), signed)
    entries = _entries(item, data, count)
    if entries is None:
        return None
    bits = int(descriptor[2])
    highest = int(entries.max())
    if not 1 <= bits <= 16 or highest >= 2**bits:
        bits = max(8, highest.bit_length())
    return LookupTable(first, entries, bits, text(item, "LUTExplanation"))


def _entries(item: Any, data: Any, count: int) -> np.ndarray | None:
    """Entries as float32 (count,); 8-bit ones come as bytes, wider ones as words or numbers."""
    if isinstance(data, bytes):
        little = getattr(item, "original_encoding", (None, True))[1] is not False
        word = np.dtype("<u2" if little else ">u2")
        kind = np.dtype(np.uint8) if len(data) <= count + 1 else word
        values = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
    else:
        values = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
    if len(values) < count:
        return None
    return values[:count].astype(np.float32)


def apply_palette(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """PALETTE COLOR indices (h, w) to uint8 RGB (h, w, 3) (PS3.3 C.7.6.3.1.5).

    Raises
    ------
    ValueError : a palette is missing or too short
    """
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        from pydicom.pixels.processing import apply_color_lut

        wide = apply_color_lut(stored, dataset)
        return wide if wide.dtype == np.uint8 else (wide >> 8).astype(np.uint8)
    names = [f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue")]
    tables = [lookup_table(dataset, signed=False, prefix=name) for name in names]
    if any(table is None for table in tables):
        raise ValueError("a colour palette is missing or shorter than its descriptor says")
    present = [table for table in tables if table is not None]
    # Writers that declare 16 bits and fill 8 are common; all three tables then do it.
    narrow = max(float(table.entries.max()) for table in present) <= 255
    scale = np.float32(1 if narrow else 255 / (2 ** present[0].bits - 1))
    planes = [np.rint(table.apply(stored) * scale) for table in present]
    return np.clip(np.stack(planes, axis=-1), 0, 255).astype(np.uint8)


def mask_bits(stored: np.ndarray, dataset: Any) -> np.ndarray:
    """Keep the stored bits only: old objects hide overlays in the bits above them."""
    allocated = int(number(dataset, "BitsAllocated") or 0)
    bits = int(number(dataset, "BitsStored") or allocated)
    high = int(number(dataset, "HighBit") or bits - 1)
    usable = 0 < bits < allocated and bits - 1 <= high < allocated
    if not usable or stored.dtype.kind not in "iu" or stored.dtype.itemsize * 8 != allocated:
        return stored
    return (stored << (allocated - high - 1)) >> (allocated - bits)
