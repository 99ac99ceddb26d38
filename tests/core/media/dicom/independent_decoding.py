"""Decodes DICOM pixels a second time, without the program: numpy on raw bytes, other plugins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut

IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
NATIVE = (IMPLICIT, "1.2.840.10008.1.2.1", BIG_ENDIAN, "1.2.840.10008.1.2.1.99")
JPEG = "1.2.840.10008.1.2.4"
# None of these is the decoder that the program uses for the syntax.
OTHER_PLUGIN = {
    f"{JPEG}.50": "gdcm",
    f"{JPEG}.80": "gdcm",
    f"{JPEG}.81": "gdcm",
    f"{JPEG}.90": "pillow",
    f"{JPEG}.91": "pillow",
    "1.2.840.10008.1.2.5": "pydicom",
}

TEXT_GBR = "1.3.6.1.4.35045.258255395321547846922642016970312704221"


def read(path: Path) -> Any:
    dataset = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        syntax = IMPLICIT if implicit else NATIVE[1] if little else BIG_ENDIAN
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def is_grey(dataset: Any) -> bool:
    return str(dataset.PhotometricInterpretation).startswith("MONOCHROME")


def frames_of(dataset: Any, indices: Sequence[int]) -> list[np.ndarray]:
    """Stored values of grey frames, uint8 RGB (or float RGB in [0, 255]) of coloured ones."""
    if dataset.file_meta.TransferSyntaxUID in NATIVE:
        raw = [_native(dataset, index) for index in indices]
    else:
        raw = [_coded(dataset, index) for index in indices]
    if is_grey(dataset):
        return raw
    return [_coloured(dataset, frame) for frame in raw]


def _native(dataset: Any, index: int) -> np.ndarray:
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    samples, bits = int(dataset.SamplesPerPixel), int(dataset.BitsAllocated)
    count = rows * columns * samples
    data = bytes(dataset.PixelData)
    if bits == 1:
        flags = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return flags[index * count : (index + 1) * count].reshape(rows, columns)
    big = dataset.file_meta.TransferSyntaxUID == BIG_ENDIAN
    if bits == 8 and big and dataset["PixelData"].VR == "OW":
        data = np.frombuffer(data, ">u2").astype("<u2").tobytes()
    if dataset.PhotometricInterpretation == "YBR_FULL_422":
        return _of_pairs(data, count * 2 // 3, index).reshape(rows, columns, 3)
    signed = int(dataset.PixelRepresentation)
    kind = f"{'>' if big else '<'}{'i' if signed else 'u'}{bits // 8}"
    values = np.frombuffer(data, kind, count, index * count * bits // 8)
    stored = int(dataset.BitsStored)
    if stored < bits:
        values = values.astype(np.int64) % 2**stored
        if signed:
            values = np.where(values >= 2 ** (stored - 1), values - 2**stored, values)
    if samples == 1:
        return values.reshape(rows, columns)
    if int(dataset.PlanarConfiguration):
        return values.reshape(samples, rows, columns).transpose(1, 2, 0)
    return values.reshape(rows, columns, samples)


def _of_pairs(data: bytes, size: int, index: int) -> np.ndarray:
    fours = np.frombuffer(data, np.uint8, size, index * size).reshape(-1, 4)
    pixels = [fours[:, [0, 2, 3]], fours[:, [1, 2, 3]]]
    return np.stack(pixels, axis=1).reshape(-1, 3)


def _coded(dataset: Any, index: int) -> np.ndarray:
    syntax = str(dataset.file_meta.TransferSyntaxUID)
    if syntax not in OTHER_PLUGIN:
        return _by_imagecodecs(dataset, index, syntax)
    # Pillow reads no stream of this one that begins with a file header.
    text = dataset.get("SOPInstanceUID") == TEXT_GBR
    plugin = "gdcm" if text else OTHER_PLUGIN[syntax]
    values, _ = get_decoder(syntax).as_array(
        dataset, index=index, raw=False, decoding_plugin=plugin
    )
    return np.asarray(values)


def _by_imagecodecs(dataset: Any, index: int, syntax: str) -> np.ndarray:
    import imagecodecs

    data = get_frame(
        dataset.PixelData, index, number_of_frames=int(dataset.get("NumberOfFrames", 1))
    )
    if syntax == f"{JPEG}.70":
        return np.asarray(imagecodecs.ljpeg_decode(data)).astype(np.int64)
    raise ValueError(f"{syntax}: no second decoder")


def deep_jpeg_by_gdcm(path: Path, rows: int, columns: int) -> np.ndarray:
    """12-bit JPEG, which the program decodes by imagecodecs."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    data = reader.GetImage().GetBuffer().encode("utf-8", "surrogateescape")
    return np.frombuffer(data, np.uint16, rows * columns).reshape(rows, columns)


def _coloured(dataset: Any, frame: np.ndarray) -> np.ndarray:
    kind = str(dataset.PhotometricInterpretation)
    if kind == "PALETTE COLOR":
        return _of_palette(dataset, frame)
    if kind.startswith("YBR_FULL") and dataset.file_meta.TransferSyntaxUID in NATIVE:
        y, cb, cr = (frame[..., n].astype(float) for n in range(3))
        cb, cr = cb - 128, cr - 128
        rgb = [y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb]
        return np.clip(np.stack(rgb, axis=-1), 0, 255)
    return frame * (255.0 / (2 ** int(dataset.BitsStored) - 1))


def _of_palette(dataset: Any, frame: np.ndarray) -> np.ndarray:
    """The palettes of the known files have entries of 16 bits."""
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        return apply_color_lut(frame.astype(np.uint16), dataset) * (255 / 65535)
    word = ">u2" if dataset.file_meta.TransferSyntaxUID == BIG_ENDIAN else "<u2"
    planes = []
    for colour in ("Red", "Green", "Blue"):
        count, first, _ = dataset[f"{colour}PaletteColorLookupTableDescriptor"].value
        entries = np.frombuffer(dataset[f"{colour}PaletteColorLookupTableData"].value, word, count)
        planes.append(entries[np.clip(frame.astype(int) - first, 0, count - 1)])
    return np.stack(planes, axis=-1) * (255 / 65535)
