"""Decodes the bytes of one encapsulated frame by a given decoder, at the header's size only."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from vlmtool_core.media.dicom.coded_colour import coded_photometric
from vlmtool_core.media.dicom.syntaxes import RLE, Decoder

_YBR_KINDS = ("YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420")
# Markers of JPEG and JPEG-LS that hold the size: SOF0 to SOF15 without DHT, JPG and DAC; SOF55.
_SIZES = frozenset({*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC})
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD9)})
# Width by height, as the size of a JPEG XL stream may be told.
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """The Image Pixel module of an object (PS3.3 C.7.6.3), as far as decoding needs it."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    signed: bool
    photometric: str
    planar: int = 0
    keyword: str = "PixelData"
    vr: str = "OW"

    def pydicom_options(self) -> dict[str, Any]:
        """The arguments that pydicom's decoders take."""
        options: dict[str, Any] = {
            "rows": self.rows,
            "columns": self.columns,
            "samples_per_pixel": self.samples,
            "photometric_interpretation": self.photometric,
            "bits_allocated": self.bits_allocated,
            "bits_stored": self.bits_stored,
            "number_of_frames": 1,
            "pixel_keyword": self.keyword,
            "pixel_vr": self.vr,
            "pixel_representation": int(self.signed),
            # Done by `bits`, which heeds the high bit and keeps padding outside of them.
            "correct_unused_bits": False,
        }
        if self.samples > 1:
            options["planar_configuration"] = self.planar
        return options


def decode(
    decoder: Decoder, syntax: str, data: bytes, shape: PixelFormat
) -> tuple[np.ndarray, str]:
    """Stored values (h, w) or (h, w, samples) of a frame, and the photometric they have then.

    Raises
    ------
    ValueError : the data contradict the header, or are damaged
    """
    _check_size(data, shape)
    # CharLS, in both of its wrappings, searches for an end that is not there, and goes on.
    if syntax.endswith((".4.80", ".4.81")) and not data.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
        raise ValueError("the JPEG-LS stream of the frame breaks off")
    if decoder is Decoder.ZLIB:
        return as_rgb(_inflated(data, shape), shape)
    if decoder is Decoder.IMAGECODECS:
        return _by_imagecodecs(syntax, data, shape)
    return _by_pydicom(decoder, syntax, data, shape)


def _by_pydicom(
    decoder: Decoder, syntax: str, data: bytes, shape: PixelFormat
) -> tuple[np.ndarray, str]:
    from pydicom.pixels.decoders.base import get_decoder

    plugin = "pylibjpeg" if decoder.startswith("pylibjpeg") else str(decoder)
    options = shape.pydicom_options()
    if shape.samples > 1 and syntax != RLE:
        # Code streams order their samples themselves (PS3.3 C.7.6.3.1.3).
        photometric = coded_photometric(
            syntax, data, shape.photometric, converts=decoder is Decoder.PILLOW
        )
        options |= {"planar_configuration": 0, "photometric_interpretation": photometric}
    values, facts = get_decoder(syntax).as_array(
        _encapsulated(data), index=0, decoding_plugin=plugin, **options
    )
    return values, str(facts.get("photometric_interpretation", ""))


def _encapsulated(data: bytes) -> bytes:
    """One frame as pydicom expects it: an empty offset table, one item, the delimiter."""
    data += b"\0" * (len(data) % 2)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(data)) + data
    return struct.pack("<HHI", 0xFFFE, 0xE000, 0) + item + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def _by_imagecodecs(syntax: str, data: bytes, shape: PixelFormat) -> tuple[np.ndarray, str]:
    import imagecodecs

    number = int(syntax.rpartition(".")[2])
    photometric = shape.photometric
    if number in (110, 111, 112):
        values = imagecodecs.jpegxl_decode(data, numthreads=1)
    else:
        # libjpeg would fill up with grey what is missing.
        if not data.rstrip(b"\0\xff").endswith(b"\xff\xd9"):
            raise ValueError("the JPEG stream of the frame breaks off")
        # libjpeg guesses the colour space by markers that DICOM's streams often lack.
        coded = None
        if shape.samples > 1:
            coded = _jpeg_space(coded_photometric(syntax, data, photometric))
        values = imagecodecs.jpeg8_decode(data, colorspace=coded, outcolorspace=coded and "rgb")
    if shape.samples > 1:
        photometric = "RGB"
    return _of_allocated(values, shape), photometric


def _jpeg_space(photometric: str) -> str:
    return "ycbcr" if photometric in _YBR_KINDS else "rgb"


def _of_allocated(values: np.ndarray, shape: PixelFormat) -> np.ndarray:
    """The values in the type that the header allocates; codecs know no sign, so it is put back."""
    bits = shape.bits_allocated
    if values.dtype.kind not in "iu" or bits not in (8, 16, 32):
        raise ValueError(f"{values.dtype} values where {bits} bits are allocated")
    if values.dtype.itemsize * 8 > bits:
        raise ValueError(f"{values.dtype.itemsize * 8}-bit values where {bits} are allocated")
    if not shape.signed:
        return values.astype(f"u{bits // 8}", copy=False)
    if values.dtype.kind == "i":
        return values.astype(f"i{bits // 8}", copy=False)
    shift = bits - shape.bits_stored
    wide = values.astype(f"u{bits // 8}") << np.array(shift, f"u{bits // 8}")
    signed: np.ndarray = wide.view(f"i{bits // 8}") >> shift
    return signed


def _inflated(data: bytes, shape: PixelFormat) -> np.ndarray:
    """A frame of Deflated Image Frame Compression (PS3.5 A.4.13), inflated to its size at most."""
    bits = shape.rows * shape.columns * shape.samples * shape.bits_allocated
    size = -(-bits // 8)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        # A byte more than the frame needs, to tell a frame that is longer (and padded to even).
        raw = inflater.decompress(data, size + 2)
    except zlib.error as error:
        raise ValueError(f"a deflated frame cannot be inflated: {error}") from error
    if len(raw) < size or len(raw) > size + 1:
        more = "more than " if len(raw) > size + 1 else ""
        raise ValueError(f"a frame inflates to {more}{len(raw)} bytes, its header says {size}")
    return native_frame(raw[:size], shape)


def native_frame(raw: bytes, shape: PixelFormat, order: str = "<") -> np.ndarray:
    """Values of a frame whose bytes are given; `raw` begins with the frame's first bit.

    Raises
    ------
    ValueError : the bits allocated are none that native frames have
    """
    size = shape.rows * shape.columns * shape.samples
    if shape.bits_allocated == 1:
        values = np.unpackbits(np.frombuffer(raw, np.uint8), bitorder="little")[:size]
    elif shape.bits_allocated in (8, 16, 32, 64):
        kind = f"{order}{'i' if shape.signed else 'u'}{shape.bits_allocated // 8}"
        values = np.frombuffer(raw, kind, size)
    else:
        raise ValueError(f"{shape.bits_allocated} bits allocated")
    if shape.samples == 1:
        return values.reshape(shape.rows, shape.columns)
    if shape.planar == 1:
        planes = values.reshape(shape.samples, shape.rows, shape.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return values.reshape(shape.rows, shape.columns, shape.samples)


def as_rgb(values: np.ndarray, shape: PixelFormat) -> tuple[np.ndarray, str]:
    """Colour values that no decoder has converted yet; grey and RGB as they are."""
    from pydicom.pixels.processing import convert_color_space

    if shape.samples != 3 or not shape.photometric.startswith("YBR_FULL"):
        return values, shape.photometric
    return convert_color_space(values, shape.photometric, "RGB"), "RGB"


def _check_size(data: bytes, shape: PixelFormat) -> None:
    """Refuse a code stream of another size before its decoder allocates what it asks for."""
    pixels = jpegxl_pixels(data)
    if pixels is not None and pixels != shape.rows * shape.columns:
        raise ValueError(
            f"the code stream holds {pixels} pixels, the header says {shape.columns} x {shape.rows}"
        )
    found = code_stream_size(data)
    if found is not None and found != (shape.rows, shape.columns):
        raise ValueError(
            f"the code stream holds {found[1]} x {found[0]} pixels, "
            f"the header says {shape.columns} x {shape.rows}"
        )
    samples = code_stream_samples(data)
    if samples is not None and samples != shape.samples:
        # OpenJPEG's binding ends the whole process over such a frame.
        raise ValueError(
            f"the code stream holds {samples} samples per pixel, the header says {shape.samples}"
        )


def code_stream_size(data: bytes) -> tuple[int, int] | None:
    """(rows, columns) that a JPEG, JPEG-LS or JPEG 2000 stream states; None when it is neither."""
    found = _code_stream(data)
    return None if found is None else found[:2]


def code_stream_samples(data: bytes) -> int | None:
    """Samples per pixel that such a stream states; None when it is neither."""
    found = _code_stream(data)
    return None if found is None else found[2]


def _code_stream(data: bytes) -> tuple[int, int, int] | None:
    """(rows, columns, samples) of a JPEG, JPEG-LS or JPEG 2000 stream."""
    if data.startswith(b"\xff\x4f\xff\x51") and len(data) >= 42:
        right, bottom, left, top = struct.unpack_from(">IIII", data, 8)
        return bottom - top, right - left, int(struct.unpack_from(">H", data, 40)[0])
    if not data.startswith(b"\xff\xd8"):
        return None
    place = 2
    while place + 10 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker == 0xFF or marker in _STANDALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _SIZES:
            rows, columns, samples = struct.unpack_from(">HHB", data, place + 5)
            # Without rows (DNL), their number comes later.
            return (rows, columns, samples) if rows else None
        if marker == 0xDA:
            return None
        place += 2 + int(struct.unpack_from(">H", data, place + 2)[0])
    return None


def jpegxl_pixels(data: bytes) -> int | None:
    """Pixels that a JPEG XL stream states (ISO/IEC 18181-1 D.2); None when it is none."""
    start = _jpegxl_start(data)
    if start is None:
        return None
    bits = int.from_bytes(data[start : start + 12], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side(small: int) -> int:
        return 8 * (take(5) + 1) if small else take((9, 13, 18, 30)[take(2)]) + 1

    small = take(1)
    height = side(small)
    ratio = take(3)
    if not ratio:
        return height * side(small)
    across, down = _RATIOS[ratio - 1]
    return height * (height * across // down)


def _jpegxl_start(data: bytes) -> int | None:
    """Where the size of a JPEG XL stream begins, bare or in its boxes."""
    if data.startswith(b"\xff\x0a"):
        return 2
    if not data.startswith(b"\x00\x00\x00\x0cJXL "):
        return None
    place = 12
    while place + 16 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, place)
        if kind in (b"jxlc", b"jxlp"):
            inner = place + 8 + (4 if kind == b"jxlp" else 0)
            return inner + 2 if data[inner : inner + 2] == b"\xff\x0a" else None
        if length < 8:
            return None
        place += length
    return None
