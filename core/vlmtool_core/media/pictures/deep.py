"""What pictures of more than 8 bits share: values kept, and shown through a window."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass

import numpy as np

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.base import PixelSpacing, PlaneGeometry, Window
from vlmtool_core.media.pixels import percentile_window
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Json

_TABLE_TYPES = (np.uint8, np.uint16)


@dataclass(frozen=True)
class GreyPage:
    """stored : (h, w) as in the file, oriented; mask : bool (h, w), None where all counts."""

    stored: np.ndarray
    mask: np.ndarray | None = None
    inverted: bool = False

    @property
    def values(self) -> np.ma.MaskedArray:
        """Masked float32 (h, w); what is no number is masked too."""
        values = self.stored.astype(np.float32)
        hidden = np.isnan(values) if values.dtype.kind == "f" else None
        if self.mask is not None:
            hidden = self.mask if hidden is None else hidden | self.mask
        if hidden is None or not hidden.any():
            return np.ma.MaskedArray(values)
        return np.ma.MaskedArray(np.nan_to_num(values, nan=0.0), mask=hidden)

    def shown(self, window: Window) -> np.ndarray:
        """uint8 (h, w) through a window; what is masked is black."""
        from vlmtool_core.media.dicom.voi import apply_window, render_window

        if self.stored.dtype.type not in _TABLE_TYPES:
            return render_window(self.values, window, inverted=self.inverted)
        steps = np.arange(np.iinfo(self.stored.dtype).max + 1, dtype=np.float32)
        table = np.rint(apply_window(steps, window)).astype(np.uint8)
        if self.inverted:
            table = np.subtract(255, table, dtype=np.uint8)
        grey = table[self.stored]
        if self.mask is not None:
            grey[self.mask] = 0
        return grey


class GreyPages(SourceBase):
    """Base of sources whose frames may have grey values; a subclass implements `_grey_page`."""

    _auto: Window | None = None
    _last: tuple[int, GreyPage] | None = None

    def _grey_page(self, index: int) -> GreyPage | None:
        """The values of a frame, None where it is in colour or has 8 bits."""
        raise NotImplementedError

    def _page(self, index: int) -> GreyPage | None:
        """The same, the last one kept: who has seen a frame often asks for its values next."""
        self._check_index(index)
        if self._last is not None and self._last[0] == index:
            return self._last[1]
        page = self._grey_page(index)
        self._last = None if page is None else (index, page)
        return page

    def _values_page(self, index: int) -> GreyPage:
        page = self._page(index)
        if page is None:
            raise UnsupportedMediaError(
                f"frame {index} has no grey values of more than 8 bits",
                path=self.path,
                remedy="Measure on a frame that has them.",
            )
        return page

    def modality_values(self, index: int = 0) -> np.ma.MaskedArray:
        """See `GreySource.modality_values`: the stored values, no number masked.

        Raises
        ------
        MediaError : it cannot be decoded, or is in colour
        """
        return self._values_page(index).values

    def stored_values(self, index: int = 0) -> np.ndarray:
        """See `GreySource.stored_values`."""
        return self._values_page(index).stored

    def auto_window(self) -> Window:
        """All but the lowest and highest thousandth of the middle frame's values."""
        if self._auto is None:
            page = self._page((self._info.frame_count or 1) // 2) or self._values_page(0)
            hidden = page.stored if page.mask is None else page.stored[~page.mask]
            self._auto = percentile_window(hidden)
        return self._auto

    def is_inverted(self, index: int = 0) -> bool:
        """Whether low values are white."""
        return self._values_page(index).inverted

    def spacing(self, index: int = 0) -> PixelSpacing | None:
        """None: a picture does not say how large its pixels are in the patient."""
        self._check_index(index)
        return None

    def geometry(self, index: int = 0) -> PlaneGeometry | None:
        """None: a picture lies nowhere in a patient."""
        self._check_index(index)
        return None

    def _shown_grey(
        self, page: GreyPage, window: Window | None, provenance: MutableMapping[str, Json]
    ) -> np.ndarray:
        chosen = window or self.auto_window()
        provenance["inverted"] = page.inverted
        provenance["voi"] = {
            "function": chosen.function,
            "center": chosen.center,
            "width": chosen.width,
            "explanation": chosen.explanation,
        }
        return page.shown(chosen)
