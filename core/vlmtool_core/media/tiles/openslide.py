"""Slides of scanners whose formats only OpenSlide reads, where it is installed (extra `slides`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.base import MediaInfo
from vlmtool_core.media.pictures.colour import profile_notes, to_srgb
from vlmtool_core.media.pictures.images import decoding
from vlmtool_core.media.pixels import rgb
from vlmtool_core.media.tiles.source import TiledSource
from vlmtool_core.records import Json, MediaKind

# Those of Aperio, and plain pyramids, are read by tifffile; DICOM by the reader of DICOM.
VENDORS = frozenset(
    {"hamamatsu", "leica", "mirax", "philips", "sakura", "trestle", "ventana", "zeiss"}
)
# What the files are called; a slide is known by its content where OpenSlide is there to look.
SUFFIXES = frozenset({".ndpi", ".scn", ".bif", ".mrxs"})
REMEDY = "Install it with: pip install 'vlmtool[slides]'"


class OpenSlideLevels:
    """The levels of a slide that OpenSlide has opened."""

    random = True

    def __init__(self, path: Path) -> None:
        import openslide

        self._path = path
        with decoding(path):
            self.slide = openslide.OpenSlide(path)
            profile = self.slide.color_profile
        self._icc = None if profile is None else profile.tobytes()

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]:
        return tuple((int(width), int(height)) for width, height in self.slide.level_dimensions)

    @property
    def decoder(self) -> str:
        import openslide

        return f"OpenSlide {openslide.__library_version__}"

    @property
    def notes(self) -> tuple[str, ...]:
        return profile_notes(self._icc, "RGB")

    def read(self, level: int, x: int, y: int, width: int, height: int) -> np.ndarray:
        """See `TileReader.read`. What the scanner left out is white."""
        factor = float(self.slide.level_downsamples[level])
        with decoding(self._path):
            corner = (round(x * factor), round(y * factor))
            part = self.slide.read_region(corner, level, (width, height))
            alpha = np.asarray(part)[:, :, 3:]
            colours = part.convert("RGB")
            if self._icc is not None:
                colours.info["icc_profile"] = self._icc
            shown = np.asarray(to_srgb(colours, {}))
            return rgb(np.concatenate([shown, alpha], axis=2))

    def quick(self, side: int) -> np.ndarray | None:  # noqa: ARG002
        """None: the levels of the file serve."""
        return None

    def close(self) -> None:
        self.slide.close()


def open_slide(path: Path) -> TiledSource | None:
    """The slide, None where the file is none of those formats.

    Raises
    ------
    UnsupportedMediaError : it is called like one, and OpenSlide is not installed
    MediaError : it is damaged
    """
    try:
        import openslide
    except (ImportError, OSError) as error:
        if path.suffix.lower() in SUFFIXES:
            raise UnsupportedMediaError(
                "slides of this scanner are read by OpenSlide, which is not installed",
                path=path,
                remedy=REMEDY,
            ) from error
        return None
    with decoding(path):
        vendor = openslide.OpenSlide.detect_format(path)
    if vendor not in VENDORS:
        return None
    return slide_source(path, OpenSlideLevels(path), str(vendor))


def slide_source(path: Path, levels: OpenSlideLevels, vendor: str) -> TiledSource:
    """The source of an opened slide."""
    width, height = levels.sizes[0]
    facts: dict[str, Json] = {
        "format": f"slide ({vendor})",
        "levels_in_file": len(levels.sizes),
        **_spacing(levels.slide.properties),
    }
    info = MediaInfo(path, MediaKind.IMAGE, width, height, warnings=levels.notes, facts=facts)
    return TiledSource(info, levels)


def _spacing(properties: Any) -> dict[str, Json]:
    """Millimetres per pixel (down, across) as the scanner says."""
    try:
        down, across = (float(properties[f"openslide.mpp-{axis}"]) / 1000 for axis in "yx")
    except (KeyError, ValueError):
        return {}
    return {"pixel_mm": [down, across]}
