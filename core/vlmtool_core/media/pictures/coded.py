"""Stills that Pillow cuts to 8 bits or cannot read: deep PNG, JPEG, JPEG 2000, PGM; JPEG XL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.media.budget import check_file, check_memory, check_pixels
from vlmtool_core.media.pictures.coded_headers import CodedHeader, read_coded
from vlmtool_core.media.pictures.colour import profile_notes, to_srgb
from vlmtool_core.media.pictures.deep import GreyPage, GreyPages
from vlmtool_core.media.pictures.images import decoding, open_pillow, orientation_of
from vlmtool_core.media.pixels import full_range, orient, rgb, shrink
from vlmtool_core.records import Frame, Json, MediaKind

# A JPEG's frame header comes behind its EXIF block, colour profile and thumbnail.
HEAD_BYTES = 1 << 20
_END = b"\xff\xd9"
_LOSSLESS = (0xC3, 0xC7, 0xCB, 0xCF)


def coded_header(path: Path) -> CodedHeader | None:
    """The header of a still that `CodedSource` reads; None when Pillow reads all of it."""
    with decoding(path), path.open("rb") as file:
        header = read_coded(file.read(HEAD_BYTES))
    if header is None:
        return None
    if header.format == "JPEG":
        return header if header.bits != 8 or header.process in _LOSSLESS else None
    if header.format == "JXL":
        return header
    return header if header.bits > 8 and header.channels <= 4 else None


class CodedSource(GreyPages):
    """One still, decoded by imagecodecs; a grey one of more than 8 bits keeps its values.

    Raises
    ------
    MediaError : the header asks for too much
    """

    def __init__(self, path: Path, header: CodedHeader) -> None:
        check_file(path)
        check_pixels(path, header.width, header.height)
        self._header = header
        self._texts: dict[Any, Any] = {}
        self._orientation = 1
        notes: tuple[str, ...] = ()
        if header.format in ("PNG", "JPEG2000"):
            notes = self._read_texts(path)
        width, height = header.width, header.height
        if (header.orientation in (5, 6, 7, 8)) != (self._orientation in (5, 6, 7, 8)):
            width, height = height, width
        facts: dict[str, Json] = {"format": header.format, "channels": header.channels}
        if header.format != "JXL":
            facts["bits"] = header.bits
        self._info = MediaInfo(
            path,
            MediaKind.IMAGE,
            width,
            height,
            warnings=notes,
            facts=facts,
            has_values=header.channels <= 2 and header.bits > 8,
        )

    def _read_texts(self, path: Path) -> tuple[str, ...]:
        with open_pillow(path) as image, decoding(path):
            self._orientation, notes = orientation_of(image)
            self._texts = dict(image.info)
        if self._header.channels <= 2:
            return notes
        return (*notes, *profile_notes(self._texts.get("icc_profile"), "RGB"))

    def _decode(self) -> np.ndarray:
        """(h, w) or (h, w, c) as stored, not yet oriented."""
        header = self._header
        check_memory(self.path, header.width * header.height * (header.channels * 4 + 8))
        with decoding(self.path):
            data = self.path.read_bytes()
            values = _decoded(data, header)
        if header.format == "JXL":
            values = values[0] if values.ndim == 4 else values  # the first of an animation
            size = (self._info.height, self._info.width)
        else:
            size = (header.height, header.width)
        if values.shape[:2] != size:
            raise DamagedMediaError(
                f"{values.shape[1]} x {values.shape[0]} pixels were decoded, "
                f"the header says {size[1]} x {size[0]}",
                path=self.path,
            )
        return values

    def _grey_page(self, index: int) -> GreyPage | None:  # noqa: ARG002
        if not self._info.has_values:
            return None
        values = self._decode()
        mask = None
        clear = self._texts.get("transparency")
        if values.ndim == 3:
            mask = values[:, :, 1] == 0
            values = values[:, :, 0]
        elif isinstance(clear, int):
            mask = values == clear
        values = orient(values, self._orientation)
        return GreyPage(values, None if mask is None else orient(mask, self._orientation))

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        """See `MediaSource.frame`; `window` applies to grey pictures."""
        self._check_index(index)
        provenance: dict[str, Json] = {"decoder": _decoder(), "format": self._header.format}
        if self._orientation != 1:
            provenance["orientation"] = self._orientation
        if self._info.has_values:
            pixels = rgb(self._shown_grey(self._values_page(index), window, provenance))
        else:
            pixels = self._colour(provenance)
        shown = np.ascontiguousarray(shrink(pixels, max_side))
        size = (self._info.width, self._info.height)
        if (shown.shape[1], shown.shape[0]) == size:
            return Frame(shown, index, None, provenance)
        provenance["resized"] = [int(shown.shape[1]), int(shown.shape[0])]
        return Frame(shown, index, None, provenance, size)

    def _colour(self, provenance: dict[str, Json]) -> np.ndarray:
        values = self._decode()
        bits = self._header.bits
        if self._header.format == "JXL":
            bits = 8 * values.dtype.itemsize
        if bits > 8:
            provenance["scaling"] = {"rule": "full range", "bits": bits}
        pixels = full_range(values, bits)
        if pixels.ndim == 3 and pixels.shape[2] in (2, 4):
            provenance["alpha"] = "over white"
        return orient(with_colour(pixels, self._texts, provenance), self._orientation)


def with_colour(
    pixels: np.ndarray, texts: dict[Any, Any], provenance: dict[str, Json]
) -> np.ndarray:
    """uint8 (h, w[, 1 to 4]) as sRGB (h, w, 3) over white, by the profile in `texts`."""
    from PIL import Image

    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    alpha = pixels[:, :, -1:] if pixels.ndim == 3 and pixels.shape[2] in (2, 4) else None
    if alpha is not None:
        pixels = pixels[:, :, :-1]
    squeezed = pixels[:, :, 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    said = {k: v for k, v in texts.items() if k in ("icc_profile", "gamma", "srgb")}
    colours = squeezed
    if said:
        image = Image.fromarray(np.ascontiguousarray(squeezed))
        image.info.update(said)
        colours = np.asarray(to_srgb(image, provenance))
    elif alpha is not None and colours.ndim == 2:
        colours = colours[:, :, None]
    return rgb(colours if alpha is None else np.concatenate([colours, alpha], axis=2))


def _decoder() -> str:
    import imagecodecs

    return f"imagecodecs {imagecodecs.__version__}"


def _decoded(data: bytes, header: CodedHeader) -> np.ndarray:
    import imagecodecs

    if header.format == "PPM":
        kind = np.dtype(">u2")
        needed = header.width * header.height * kind.itemsize
        pixels = data[header.offset : header.offset + needed]
        if len(pixels) < needed:
            raise ValueError(f"{len(pixels)} of {needed} bytes of pixels are there")
        values = np.frombuffer(pixels, kind).astype(np.uint16)
        return values.reshape(header.height, header.width)
    # Their decoders fill up what is missing and say nothing.
    if header.format in ("JPEG", "JPEG2000") and _END not in data[header.offset :]:
        raise ValueError("the file is truncated: its pixels have no end")
    decoders = {
        "PNG": imagecodecs.png_decode,
        "JPEG": imagecodecs.jpeg8_decode,
        "JPEG2000": imagecodecs.jpeg2k_decode,
        "JXL": imagecodecs.jpegxl_decode,
    }
    return np.asarray(decoders[header.format](data))
