"""Writes DICOM objects with pixel data that the test has encoded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pydicom
from media_dicoms import write_dicom
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info

END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def write_coded(
    path: Path,
    like: np.ndarray,
    syntax: str,
    frames: Sequence[bytes],
    *,
    bits_stored: int | None = None,
    fragments: int = 1,
    bot: bool = True,
    extended: bool = False,
    body: bytes | None = None,
    **elements: Any,
) -> Path:
    """An object described by the array `like`, its frames as they come from an encoder.

    body : the encapsulated pixel data themselves, in place of `frames`
    """
    write_dicom(path, like)
    dataset = pydicom.dcmread(path)
    if extended:
        data, offsets, lengths = encapsulate_extended(list(frames))
        data += END
        dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths = offsets, lengths
    elif body is None:
        data = encapsulate(list(frames), fragments_per_frame=fragments, has_bot=bot) + END
    else:
        data = body
    dataset.PixelData = data
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    if bits_stored is not None:
        dataset.BitsStored, dataset.HighBit = bits_stored, bits_stored - 1
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    save_under(path, dataset, syntax)
    return path


def save_under(path: Path, dataset: pydicom.Dataset, syntax: str) -> None:
    """Save explicit little endian under a transfer syntax that pydicom may not know, or refuse."""
    preamble = bytes(128) + b"DICM"
    meta = dataset.file_meta
    meta.TransferSyntaxUID = syntax
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_file_meta_info(buffer, meta, enforce_standard=True)
    pixels = dataset["PixelData"] if dataset.get("PixelData") is not None else None
    write_dataset(buffer, dataset[:0x7FE00008])
    if pixels is not None:
        open_ended = pixels.is_undefined_length
        length = 0xFFFFFFFF if open_ended else len(pixels.value)
        buffer.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, length))
        buffer.write(pixels.value)
    path.write_bytes(preamble + buffer.getvalue())


def items(parts: Sequence[bytes], offsets: Sequence[int] = (), *, end: bool = True) -> bytes:
    """Encapsulated pixel data, item by item, with whatever offset table is asked for."""
    table = struct.pack(f"<{len(offsets)}I", *offsets)
    body = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part for part in (table, *parts)
    )
    return body + (END if end else b"")


def even(data: bytes) -> bytes:
    return data + b"\0" * (len(data) % 2)


def picture(bits: int, *, seed: int = 0, rows: int = 48, columns: int = 40) -> np.ndarray:
    """A ramp with noise that uses all bits; never square, so that no transposition hides."""
    ramp = np.add.outer(np.arange(rows) * 3, np.arange(columns) * 2).astype(float)
    noise = np.random.default_rng(seed).random(ramp.shape)
    top = 2**bits - 1
    values = np.rint(ramp / ramp.max() * top * 0.9 + noise * top * 0.1)
    values[0, 0], values[-1, -1] = 0, top
    return values.astype(np.uint8 if bits <= 8 else np.uint16)


def htj2k(values: np.ndarray) -> bytes:
    return imagecodecs.htj2k_encode(values, reversible=True)


def jpegxl(values: np.ndarray, bits: int) -> bytes:
    return imagecodecs.jpegxl_encode(values, lossless=True, bitspersample=bits)


LOSSLESS = {
    "57": lambda a, bits: imagecodecs.jpeg8_encode(
        a, lossless=True, predictor=4, bitspersample=bits
    ),
    "70": lambda a, bits: imagecodecs.jpeg8_encode(
        a, lossless=True, predictor=1, bitspersample=bits
    ),
    "80": lambda a, _: imagecodecs.jpegls_encode(a),
    "90": lambda a, _: imagecodecs.jpeg2k_encode(a, level=0, codecformat="j2k", reversible=True),
    "110": jpegxl,
    "112": jpegxl,
    "201": lambda a, _: htj2k(a),
    "202": lambda a, _: htj2k(a),
    "203": lambda a, _: htj2k(a),
}
