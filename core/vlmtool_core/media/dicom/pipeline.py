"""From the decoded samples of one DICOM object to modality values and pictures, in the standard's
order: stored bits, modality, padding, VOI, presentation, inversion; or palette, RGB, ICC.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping

import numpy as np

from vlmtool_core.media.base import Window
from vlmtool_core.media.dicom import voi
from vlmtool_core.media.dicom.bits import is_signed, keep_stored_bits, stored_bits
from vlmtool_core.media.dicom.colour import icc_notes, icc_profile, rgb_of, to_srgb
from vlmtool_core.media.dicom.functional_groups import differs_by_frame, functional_group
from vlmtool_core.media.dicom.header import Header, text
from vlmtool_core.media.dicom.palette import Palette, has_supplemental_palette, palette_of
from vlmtool_core.media.dicom.photometric import (
    PALETTE,
    check_photometric,
    is_colour,
    photometric_notes,
    photometric_of,
)
from vlmtool_core.media.dicom.pixels import PixelReader
from vlmtool_core.media.dicom.real_world import unit_of
from vlmtool_core.media.dicom.transform import Transform, transform_of
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.records import Json

_MOST_TRANSFORMS = 64
_UNIT_GROUPS = ("PixelValueTransformationSequence", "RealWorldValueMappingSequence")


class Pipeline:
    """One open object. `header` and `reader` are its; `close` closes the reader.

    Raises
    ------
    MediaError : the header asks for what cannot be read or shown
    """

    def __init__(self, header: Header) -> None:
        self.header = header
        self.reader = PixelReader(header)
        with decoding(header.path):
            check_photometric(header)
            self.is_colour = is_colour(header.dataset)
            self._supplemental = has_supplemental_palette(header.dataset)
        self._one_unit: bool | None = None
        self._transforms: dict[int, Transform] = {}
        self._palette: Palette | None = None
        self._last: tuple[int, np.ndarray, str] | None = None

    def close(self) -> None:
        self._last = None
        self.reader.close()

    def transform(self, frame: int) -> Transform:
        """What the header asks of frame `frame` (0-based).

        Raises
        ------
        DamagedMediaError
        """
        if frame not in self._transforms:
            if len(self._transforms) >= _MOST_TRANSFORMS:
                self._transforms.pop(next(iter(self._transforms)))
            with decoding(self.header.path):
                self._transforms[frame] = transform_of(self.header, frame)
        return self._transforms[frame]

    def notes(self) -> tuple[str, ...]:
        """What a user must know of how the pixels are shown."""
        dataset = self.header.dataset
        notes = photometric_notes(dataset)
        if self.is_colour:
            return notes + icc_notes(dataset)
        notes += self.transform(0).notes
        return notes if self.has_one_unit() else (*notes, "its frames have different units")

    def has_one_unit(self) -> bool:
        """Whether values of all frames are in the same unit."""
        if self._one_unit is None:
            with decoding(self.header.path):
                units = {self.transform(frame).unit for frame in self._examples()}
            self._one_unit = len(units) == 1
        return self._one_unit

    def _examples(self) -> list[int]:
        """A frame for each combination of elements that a unit may come from."""
        dataset = self.header.dataset
        seen: dict[tuple[bool, str, bool, str], int] = {}
        if any(differs_by_frame(dataset, keyword) for keyword in _UNIT_GROUPS):
            for frame in range(self.reader.frame_count):
                rescale, world = (functional_group(dataset, frame, name) for name in _UNIT_GROUPS)
                stated = "" if rescale is None else text(rescale, "RescaleType")
                unit = "" if world is None else unit_of(world)
                seen.setdefault((rescale is None, stated, world is None, unit), frame)
        return list(seen.values()) or [0]

    def facts(self) -> dict[str, Json]:
        """How stored values become modality values, in words."""
        if self.is_colour:
            return {}
        transform = self.transform(0)
        facts: dict[str, Json] = {"values": transform.in_words()}
        if transform.unused_map:
            facts["unused_real_world_map"] = transform.unused_map
        return facts

    def stored(self, frame: int) -> np.ndarray:
        """Values of the stored bits, (h, w), before any transform; read-only.

        Raises
        ------
        MediaError
        """
        with decoding(self.header.path):
            kept = keep_stored_bits(self._decoded(frame)[0], self.header)
        kept.setflags(write=False)
        return kept

    def values(self, frame: int) -> np.ma.MaskedArray:
        """Modality values, masked float32 (h, w); padding is masked.

        Raises
        ------
        MediaError
        """
        transform = self.transform(frame)
        stored = self.stored(frame)
        with decoding(self.header.path):
            return transform.modality_values(stored, self._decoded(frame)[0])

    def grey(
        self,
        frame: int,
        window: Window | None,
        automatic: Callable[[np.ma.MaskedArray], Window],
        provenance: MutableMapping[str, Json],
    ) -> np.ndarray:
        """uint8 (h, w), or (h, w, 3) where a supplemental palette colours some values.

        window : in place of the file's; automatic : gives one where neither is there
        """
        values, transform = self.values(frame), self.transform(frame)
        chosen = window or (transform.windows[0] if transform.windows else automatic(values))
        provenance["modality"] = transform.to_json()
        provenance["voi"] = {
            "function": chosen.function,
            "center": chosen.center,
            "width": chosen.width,
            "explanation": chosen.explanation,
        }
        provenance["inverted"] = transform.inverted
        if transform.presentation is not None:
            provenance["presentation"] = transform.presentation.explanation or "Presentation LUT"
        with decoding(self.header.path):
            shown = voi.render_window(
                values, chosen, inverted=transform.inverted, presentation=transform.presentation
            )
            return self._coloured(frame, shown, provenance) if self._supplemental else shown

    def colour(self, frame: int, provenance: MutableMapping[str, Json]) -> np.ndarray:
        """uint8 RGB (h, w, 3), in sRGB where the object has a profile.

        Raises
        ------
        MediaError
        """
        header = self.header
        values, photometric = self._decoded(frame)
        with decoding(header.path):
            stated = photometric_of(header.dataset)
            provenance["photometric"] = stated
            values = keep_stored_bits(values, header)
            if stated == PALETTE:
                palette = self._own_palette()
                provenance["palette"] = "segmented" if palette.segmented else "plain"
                shown = palette.apply(values)
            else:
                shown = rgb_of(values, photometric, stored_bits(header.dataset), header.path)
            return to_srgb(shown, icc_profile(header.dataset, frame), provenance)

    def _coloured(
        self, frame: int, shown: np.ndarray, provenance: MutableMapping[str, Json]
    ) -> np.ndarray:
        """Grey and, from the first value of the supplemental palette on, its colours."""
        stored, palette = self.stored(frame), self._own_palette()
        provenance["palette"] = "supplemental"
        pixels = np.repeat(shown[:, :, None], 3, axis=2)
        place = stored >= palette.first
        colours = palette.apply(stored[place][:, None])[:, 0]
        profile = icc_profile(self.header.dataset, frame)
        if colours.size:
            pixels[place] = to_srgb(colours[None], profile, provenance)[0]
        return pixels

    def _own_palette(self) -> Palette:
        if self._palette is None:
            self._palette = palette_of(self.header, is_signed(self.header.dataset))
        return self._palette

    def _decoded(self, frame: int) -> tuple[np.ndarray, str]:
        """The last frame is kept: its picture and its values are asked for one after the other."""
        if self._last is None or self._last[0] != frame:
            self._last = None
            values, photometric = self.reader.read(frame)
            values.setflags(write=False)
            self._last = (frame, values, photometric)
        return self._last[1:]
