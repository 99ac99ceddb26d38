"""What the values of a TIFF page mean: grey, colour, palette, ink, CIELab (TIFF 6.0)."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media.pictures.colour import to_srgb
from vlmtool_core.media.pictures.deep import GreyPage
from vlmtool_core.media.pixels import full_range, orient, percentile_window, rgb
from vlmtool_core.records import Json

ORIENTATION = 0x0112
ICC_PROFILE = 34675
NO_DATA = 42113
OLD_JPEG = 6
JPEGS = (6, 7, 33007)
GREYS = ("MINISBLACK", "MINISWHITE")
# 12-bit cameras and microscopes write their colours into 16 bits as they are.
_NARROW_BITS = 12
_ASSOCIATED, _UNASSOCIATED = 1, 2


def photometric_of(page: Any) -> str:
    return str(getattr(page.photometric, "name", page.photometric))


def orientation_of_page(page: Any) -> int:
    tag = page.tags.get(ORIENTATION)
    value = int(tag.value) if tag is not None and isinstance(tag.value, int) else 1
    return value if 1 <= value <= 8 else 1


def profile_of(page: Any) -> bytes | None:
    tag = page.tags.get(ICC_PROFILE)
    return tag.value if tag is not None and isinstance(tag.value, bytes) else None


def is_deep_grey(page: Any) -> bool:
    """Whether the page has grey values that do not fit into 8 bits."""
    if photometric_of(page) not in GREYS or page.dtype is None:
        return False
    deep = page.bitspersample > 8 or page.dtype.kind not in "ub"
    return bool(deep and (page.samplesperpixel - alpha_samples(page) == 1))


def alpha_samples(page: Any) -> int:
    return 1 if alpha_kind(page) else 0


def alpha_kind(page: Any) -> int:
    """1 where colours are already multiplied with alpha, 2 where not, 0 without alpha."""
    extra = [int(kind) for kind in page.extrasamples or ()]
    return extra[0] if extra and extra[0] in (_ASSOCIATED, _UNASSOCIATED) else 0


def refuse_what_cannot_be(page: Any) -> None:
    """Say why a page cannot be decoded at all.

    Raises
    ------
    UnsupportedMediaError, DamagedMediaError
    """
    if page.compression == OLD_JPEG:
        raise UnsupportedMediaError(
            "the page is coded as old-style JPEG (compression 6), which no two programs read alike",
            remedy="Save it as PNG or uncompressed TIFF in the program that made it.",
        )
    end = page.parent.filehandle.size
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        if count and offset + count > end:
            raise DamagedMediaError(
                f"the file is truncated: it ends {offset + count - end} bytes before its pixels do"
            )


def page_values(page: Any) -> np.ndarray:
    """(h, w, samples) as stored, not yet oriented.

    Raises
    ------
    UnsupportedMediaError, DamagedMediaError, ValueError : it cannot be decoded
    """
    refuse_what_cannot_be(page)
    values = page.asarray()
    if page.axes.startswith("S"):  # planes one after another
        values = np.moveaxis(values, 0, -1)
    if values.size % (page.imagelength * page.imagewidth):
        raise ValueError(f"a page of axes {page.axes} is no picture")
    reshaped: np.ndarray = values.reshape(page.imagelength, page.imagewidth, -1)
    return reshaped


def grey_page(page: Any, values: np.ndarray) -> GreyPage:
    """The oriented values of a deep grey page; no-data and transparent pixels are masked."""
    orientation = orientation_of_page(page)
    mask = values[:, :, 1] == 0 if alpha_kind(page) else None
    stored = values[:, :, 0]
    tag = page.tags.get(NO_DATA)
    if tag is not None:
        missing = stored == np.float64(page.nodata)
        mask = missing if mask is None else mask | missing
    if mask is not None:
        mask = orient(mask, orientation)
    stored = np.ascontiguousarray(orient(stored, orientation))
    return GreyPage(stored, mask, photometric_of(page) == "MINISWHITE")


def page_rgb(page: Any, values: np.ndarray, provenance: MutableMapping[str, Json]) -> np.ndarray:
    """uint8 sRGB (h, w, 3) of a page that is no deep grey one, not yet oriented.

    values : (h, w, samples) of all of the page or of a part of it
    """
    kind = photometric_of(page)
    if kind == "PALETTE":
        values = palette_colours(page)[values[:, :, 0]]
        return _profiled(values, "RGB", page, provenance)
    samples = {"SEPARATED": 4, "RGB": 3, "YCBCR": 3, "CIELAB": 3, "ICCLAB": 3}.get(kind, 1)
    if values.shape[2] < samples:
        raise ValueError(f"{values.shape[2]} samples per pixel cannot be {kind}")
    if kind not in ("SEPARATED", "RGB", "YCBCR", "CIELAB", "ICCLAB", *GREYS):
        provenance["channels"] = "first"
    main = _eight_bits(page, values[:, :, :samples], provenance)
    if kind in ("CIELAB", "ICCLAB"):
        if kind == "ICCLAB":  # Pillow takes a* and b* as signed, as CIELab has them
            main = main ^ np.array([0, 128, 128], np.uint8)
        return _profiled(main, "LAB", page, provenance)
    if kind == "SEPARATED":
        return _profiled(main, "CMYK", page, provenance)
    if kind == "MINISWHITE":
        provenance["inverted"] = True
        main = np.subtract(255, main, dtype=np.uint8)
    colours = _profiled(main, "RGB" if samples == 3 else "L", page, provenance)
    alpha = alpha_kind(page)
    if not alpha or values.shape[2] <= samples:
        return colours
    provenance["alpha"] = "over white"
    cover = full_range(values[:, :, samples : samples + 1], _bits(page))
    if alpha == _UNASSOCIATED:
        return rgb(np.concatenate([colours, cover], axis=2))
    lit = colours.astype(np.uint16) + (255 - cover)
    return np.minimum(lit, 255).astype(np.uint8)


def palette_colours(page: Any) -> np.ndarray:
    """uint8 (n, 3) of the page's palette; entries of 16 bits, or of 8 where a writer erred."""
    palette = page.colormap
    if palette is None or palette.ndim != 2 or palette.shape[0] != 3:
        raise ValueError("the palette is missing")
    narrow = palette.max() <= 255
    colours = palette if narrow else full_range(palette, 16)
    whole = np.zeros((2**16 if page.bitspersample > 8 else 256, 3), np.uint8)
    whole[: palette.shape[1]] = colours.T
    return whole


def _bits(page: Any) -> int:
    return int(page.bitspersample)


def _eight_bits(page: Any, values: np.ndarray, provenance: MutableMapping[str, Json]) -> np.ndarray:
    bits = _bits(page)
    if values.dtype.kind in "ub" and bits <= 8:
        return full_range(values, bits)
    if values.dtype.kind == "u" and bits <= 16:
        used = int(values.max(initial=0)).bit_length()
        bits = max(8, used) if bits == 16 and used <= _NARROW_BITS else bits
        provenance["scaling"] = {"rule": "full range", "bits": bits}
        return full_range(values, bits)
    if values.dtype.kind == "f" and np.nanmax(values, initial=0) <= 1:
        provenance["scaling"] = {"rule": "full range", "bits": "float"}
        return full_range(values, 8)
    window = percentile_window(values)
    provenance["scaling"] = {
        "rule": window.explanation,
        "low": window.center - window.width / 2,
        "high": window.center + window.width / 2,
    }
    return GreyPage(values).shown(window)


def _profiled(
    pixels: np.ndarray, mode: str, page: Any, provenance: MutableMapping[str, Json]
) -> np.ndarray:
    from PIL import Image

    if profile_of(page) is None and mode in ("L", "RGB"):
        return rgb(pixels)
    pixels = pixels[:, :, 0] if mode == "L" else pixels
    size = (pixels.shape[1], pixels.shape[0])
    image = Image.frombytes(mode, size, np.ascontiguousarray(pixels).tobytes())
    profile = profile_of(page)
    if profile is not None:
        image.info["icc_profile"] = profile
    return np.asarray(to_srgb(image, provenance))
