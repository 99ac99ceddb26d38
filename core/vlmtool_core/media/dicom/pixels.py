"""Decodes one frame of a DICOM object at a time, with the decoder pinned per transfer syntax."""

from __future__ import annotations

import struct
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vlmtool_core.errors import DamagedMediaError, UnsupportedMediaError
from vlmtool_core.media.budget import check_frames, check_memory, check_pixels
from vlmtool_core.media.dicom.header import (
    DEFLATED,
    EXPLICIT_BE,
    EXPLICIT_LE,
    IMPLICIT_LE,
    Header,
    number,
    require_pixels,
)
from vlmtool_core.media.pictures.images import decoding

_JPEG = "1.2.840.10008.1.2.4"
JPEG_EXTENDED = f"{_JPEG}.51"
# First choice first; the first that decodes an object's first frame decodes all of it.
DECODERS: dict[str, tuple[str, ...]] = {
    IMPLICIT_LE: ("",),
    EXPLICIT_LE: ("",),
    EXPLICIT_BE: ("",),
    DEFLATED: ("",),
    f"{_JPEG}.50": ("pillow", "gdcm"),
    JPEG_EXTENDED: ("pillow", "gdcm"),
    f"{_JPEG}.57": ("gdcm",),
    f"{_JPEG}.70": ("gdcm",),
    f"{_JPEG}.80": ("pyjpegls", "gdcm"),
    f"{_JPEG}.81": ("pyjpegls", "gdcm"),
    f"{_JPEG}.90": ("pylibjpeg", "gdcm"),
    f"{_JPEG}.91": ("pylibjpeg", "gdcm"),
    f"{_JPEG}.201": ("pylibjpeg",),
    f"{_JPEG}.202": ("pylibjpeg",),
    f"{_JPEG}.203": ("pylibjpeg",),
    "1.2.840.10008.1.2.5": ("pylibjpeg", "pydicom"),
}
_DISTRIBUTIONS = {
    "": "pydicom",
    "pydicom": "pydicom",
    "pillow": "pillow",
    "gdcm": "python-gdcm",
    "pyjpegls": "pyjpegls",
}


class PixelReader:
    """Frames of one object as stored values; keeps the file open until `close`.

    rows, columns, frame_count, samples, bits_stored : of the header, checked against the limits

    Raises
    ------
    DamagedMediaError : the header lacks or contradicts what decoding needs
    UnsupportedMediaError : there is no pixel data, or nothing decodes its transfer syntax
    BudgetExceededError
    """

    def __init__(self, header: Header) -> None:
        require_pixels(header)
        self._header = header
        self._stream: BinaryIO | None = None
        self._plugin: str | None = None
        self._fragments: list[tuple[int, int]] | None = None
        self.rows = self._required("Rows")
        self.columns = self._required("Columns")
        self.samples = int(number(header.dataset, "SamplesPerPixel") or 1)
        self.bits_allocated = self._required("BitsAllocated")
        self.bits_stored = int(number(header.dataset, "BitsStored") or self.bits_allocated)
        self.frame_count = max(1, int(number(header.dataset, "NumberOfFrames") or 1))
        self._check()

    @property
    def path(self) -> Path:
        return self._header.path

    def _required(self, keyword: str) -> int:
        value = number(self._header.dataset, keyword)
        if value is None or value <= 0:
            raise DamagedMediaError(f"the header lacks {keyword}", path=self.path, field=keyword)
        return int(value)

    def _check(self) -> None:
        check_pixels(self.path, self.columns, self.rows)
        check_frames(self.path, self.frame_count)
        if self._header.transfer_syntax not in DECODERS:
            name = transfer_syntax_name(self._header.transfer_syntax)
            raise UnsupportedMediaError(
                f"no decoder here for the transfer syntax {name}",
                path=self.path,
                remedy="Export it from the archive as Explicit VR Little Endian.",
            )
        if DECODERS[self._header.transfer_syntax] == ("",):
            self._check_native_length()

    def _check_native_length(self) -> None:
        header = self._header
        if header.length is None:
            raise DamagedMediaError(
                "compressed pixel data under an uncompressed transfer syntax", path=self.path
            )
        bits = self.rows * self.columns * self.samples * self.bits_allocated * self.frame_count
        subsampled = text_of(header, "PhotometricInterpretation") == "YBR_FULL_422"
        expected = -(-bits // 8) * 2 // 3 if subsampled else -(-bits // 8)
        with header.opener() as stream:
            present = stream.seek(0, 2) - header.offset
        actual = min(header.length, present)
        if actual < expected:
            raise DamagedMediaError(
                f"truncated: the header asks for {expected} bytes of pixel data, "
                f"there are {actual}",
                path=self.path,
                field="PixelData",
            )

    def read(self, index: int) -> tuple[np.ndarray, str]:
        """Stored values (h, w) or RGB (h, w, 3), and the photometric interpretation they have.

        Raises
        ------
        DamagedMediaError, UnsupportedMediaError, BudgetExceededError
        """
        bytes_each = max(1, self.bits_allocated // 8)
        check_memory(self.path, self.rows * self.columns * self.samples * bytes_each * 4)
        if self._header.transfer_syntax == JPEG_EXTENDED and self.bits_stored > 8:
            return self._decode_deep_jpeg(index)
        if self._plugin is not None:
            return self._decode(index, self._plugin)
        choices = DECODERS[self._header.transfer_syntax]
        for plugin in choices[:-1]:
            try:
                result = self._decode(index, plugin)
            except DamagedMediaError:
                continue
            self._plugin = plugin
            return result
        result = self._decode(index, choices[-1])
        self._plugin = choices[-1]
        return result

    def read_allocated(self, index: int) -> np.ndarray | None:
        """uint (rows, columns) with every allocated bit as it is in the file; None where that
        cannot be told: compressed, in colour, or not of 8, 16 or 32 bits.
        """
        header = self._header
        if header.length is None or self.samples > 1 or self.bits_allocated not in (8, 16, 32):
            return None
        order = ">" if header.transfer_syntax == EXPLICIT_BE else "<"
        kind = np.dtype(f"{order}u{self.bits_allocated // 8}")
        size = self.rows * self.columns * kind.itemsize
        with header.opener() as stream:
            stream.seek(header.offset + index * size)
            data = stream.read(size)
        return np.frombuffer(data, kind).reshape(self.rows, self.columns)

    @property
    def decoder(self) -> str:
        """Name and version of the decoder that is in use."""
        plugin = self._plugin or ""
        distribution = _DISTRIBUTIONS.get(plugin)
        if plugin == "pylibjpeg":
            rle = self._header.transfer_syntax.endswith(".1.2.5")
            distribution = "pylibjpeg-rle" if rle else "pylibjpeg-openjpeg"
        name = distribution or "pydicom"
        return f"{name} {version(name)}"

    def _decode(self, index: int, plugin: str) -> tuple[np.ndarray, str]:
        from pydicom.pixels.decoders.base import get_decoder

        decoder = get_decoder(self._header.transfer_syntax)
        with decoding(self.path):
            source, index, options = self._source(index)
            values, facts = decoder.as_array(source, index=index, decoding_plugin=plugin, **options)
        expected = (self.rows, self.columns)
        if values.shape[:2] != expected or values.ndim not in (2, 3):
            raise DamagedMediaError(
                f"the pixel data decode to {values.shape}, the header says {expected}",
                path=self.path,
            )
        return values, str(facts.get("photometric_interpretation", ""))

    def _decode_deep_jpeg(self, index: int) -> tuple[np.ndarray, str]:
        from vlmtool_core.media.dicom.deep_jpeg import read_deep_jpeg

        self._plugin = "gdcm"
        check_memory(self.path, self.rows * self.columns * 4 * self.frame_count)
        with decoding(self.path):
            values = read_deep_jpeg(self.path, index, self.rows, self.columns)
        return values, text_of(self._header, "PhotometricInterpretation")

    def _options(self) -> dict[str, Any]:
        """What pydicom's decoders need to know of the Image Pixel module."""
        dataset = self._header.dataset
        options: dict[str, Any] = {
            "rows": self.rows,
            "columns": self.columns,
            "samples_per_pixel": self.samples,
            "photometric_interpretation": text_of(self._header, "PhotometricInterpretation"),
            "bits_allocated": self.bits_allocated,
            "bits_stored": self.bits_stored,
            "number_of_frames": self.frame_count,
            "pixel_keyword": self._header.keyword,
            "pixel_vr": self._header.vr,
            "pixel_representation": int(number(dataset, "PixelRepresentation") or 0),
        }
        if self.samples > 1:
            options["planar_configuration"] = int(number(dataset, "PlanarConfiguration") or 0)
        if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
            options["extended_offsets"] = (
                dataset.ExtendedOffsetTable,
                dataset.ExtendedOffsetTableLengths,
            )
        return options

    def _source(self, index: int) -> tuple[BinaryIO | bytes, int, dict[str, Any]]:
        """The stream at its pixel data; for one of many encapsulated frames, that frame alone."""
        options = self._options()
        if self._stream is None:
            self._stream = self._header.opener()
        if self._header.length is None and self.frame_count > 1:
            if self._fragments is None:
                self._fragments = _one_fragment_per_frame(
                    self._stream, self._header.offset, self.frame_count
                )
            if self._fragments:
                options.pop("extended_offsets", None)
                options["number_of_frames"] = 1
                return _encapsulate(self._stream, *self._fragments[index]), 0, options
        self._stream.seek(self._header.offset)
        return self._stream, index, options

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _one_fragment_per_frame(
    stream: BinaryIO, offset: int, frame_count: int
) -> list[tuple[int, int]]:
    """(offset, length) of each frame's only fragment; empty when frames have several."""
    stream.seek(offset)
    items: list[tuple[int, int]] = []
    while True:
        head = stream.read(8)
        if len(head) < 8:
            break
        group, element, length = struct.unpack("<HHI", head)
        if (group, element) != (0xFFFE, 0xE000) or length == 0xFFFFFFFF:
            break
        items.append((stream.tell(), length))
        stream.seek(length, 1)
    frames = items[1:]  # the first item is the offset table
    return frames if len(frames) == frame_count else []


def _encapsulate(stream: BinaryIO, offset: int, length: int) -> bytes:
    stream.seek(offset)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, length) + stream.read(length)
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def text_of(header: Header, keyword: str) -> str:
    return str(header.dataset.get(keyword, "") or "").strip()


def transfer_syntax_name(uid: str) -> str:
    from pydicom.uid import UID

    name = UID(uid).name
    return f"{name} ({uid})" if name != uid else uid
