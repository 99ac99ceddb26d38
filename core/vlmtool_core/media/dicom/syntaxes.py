"""Every transfer syntax of DICOM: how its pixels are coded, what decodes them, or why nothing does.

The decoders of a syntax are tried in the order given here on the first frame of an object; the one
that decodes it decodes all of the object. None of them gives out grey for what is missing of a
frame: libjpeg-turbo and OpenJPH (imagecodecs) do, so they stand behind no stricter decoder here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from vlmtool_core.errors import UnsupportedMediaError
from vlmtool_core.media.dicom.header import DEFLATED, EXPLICIT_BE, EXPLICIT_LE, IMPLICIT_LE

_JPEG = "1.2.840.10008.1.2.4"
JPEG_EXTENDED = f"{_JPEG}.51"
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAMES = "1.2.840.10008.1.2.8.1"
_EXPORT = "Export it from the archive as Explicit VR Little Endian."


class Coding(StrEnum):
    """How the pixels of an object lie in its file."""

    NATIVE = "native"
    FRAMES = "frames"
    VIDEO = "video"


class Decoder(StrEnum):
    """What decodes a frame: a plugin of pydicom by its name there, or a library of its own."""

    NATIVE = ""
    PYDICOM = "pydicom"
    PILLOW = "pillow"
    GDCM = "gdcm"
    OPENJPEG = "pylibjpeg-openjpeg"
    PYLIBJPEG_RLE = "pylibjpeg-rle"
    PYJPEGLS = "pyjpegls"
    IMAGECODECS = "imagecodecs"
    ZLIB = "zlib"
    FFMPEG = "av"


@dataclass(frozen=True, slots=True)
class Syntax:
    """decoders : first choice first; deep : those for more than 8 bits, where they differ."""

    coding: Coding
    decoders: tuple[Decoder, ...]
    deep: tuple[Decoder, ...] = ()

    def choices(self, bits_stored: int) -> tuple[Decoder, ...]:
        return self.deep if self.deep and bits_stored > 8 else self.decoders


_NATIVE = Syntax(Coding.NATIVE, (Decoder.NATIVE,))
_LOSSLESS_JPEG = Syntax(Coding.FRAMES, (Decoder.GDCM,))
_JPEG_LS = Syntax(Coding.FRAMES, (Decoder.PYJPEGLS, Decoder.GDCM))
_JPEG_2000 = Syntax(Coding.FRAMES, (Decoder.OPENJPEG, Decoder.GDCM))
_HTJ2K = Syntax(Coding.FRAMES, (Decoder.OPENJPEG,))
_JPEG_XL = Syntax(Coding.FRAMES, (Decoder.IMAGECODECS,))
_VIDEO = Syntax(Coding.VIDEO, (Decoder.FFMPEG,))

SYNTAXES: Mapping[str, Syntax] = {
    IMPLICIT_LE: _NATIVE,
    EXPLICIT_LE: _NATIVE,
    EXPLICIT_BE: _NATIVE,
    DEFLATED: _NATIVE,
    f"{_JPEG}.50": Syntax(Coding.FRAMES, (Decoder.PILLOW, Decoder.GDCM)),
    # Neither Pillow nor pydicom's use of GDCM reads more than 8 bits of it.
    JPEG_EXTENDED: Syntax(
        Coding.FRAMES, (Decoder.PILLOW, Decoder.GDCM), deep=(Decoder.IMAGECODECS,)
    ),
    f"{_JPEG}.57": _LOSSLESS_JPEG,
    f"{_JPEG}.70": _LOSSLESS_JPEG,
    f"{_JPEG}.80": _JPEG_LS,
    f"{_JPEG}.81": _JPEG_LS,
    f"{_JPEG}.90": _JPEG_2000,
    f"{_JPEG}.91": _JPEG_2000,
    **{f"{_JPEG}.{number}": _VIDEO for number in range(100, 109)},
    **{f"{_JPEG}.{number}.1": _VIDEO for number in range(100, 107)},
    f"{_JPEG}.110": _JPEG_XL,
    f"{_JPEG}.111": _JPEG_XL,
    f"{_JPEG}.112": _JPEG_XL,
    f"{_JPEG}.201": _HTJ2K,
    f"{_JPEG}.202": _HTJ2K,
    f"{_JPEG}.203": _HTJ2K,
    RLE: Syntax(Coding.FRAMES, (Decoder.PYLIBJPEG_RLE, Decoder.PYDICOM)),
    DEFLATED_FRAMES: Syntax(Coding.FRAMES, (Decoder.ZLIB,)),
}

_MULTI_COMPONENT = (
    "JPEG 2000 part 2 couples its components in a way that no decoder here undoes",
    "Export it from the archive as JPEG 2000 (part 1) or Explicit VR Little Endian.",
)
_REFERENCED = (
    "its pixels are not in the file: it names a server to ask for them (JPIP), and this program "
    "asks no server",
    "Retrieve it from the archive with its pixels, as Explicit VR Little Endian.",
)
_LIVE = ("it belongs to a live video stream (SMPTE ST 2110) and holds no pixels", "Record it.")
_REFUSED: Mapping[str, tuple[str, str]] = {
    f"{_JPEG}.92": _MULTI_COMPONENT,
    f"{_JPEG}.93": _MULTI_COMPONENT,
    f"{_JPEG}.94": _REFERENCED,
    f"{_JPEG}.95": _REFERENCED,
    f"{_JPEG}.204": _REFERENCED,
    f"{_JPEG}.205": _REFERENCED,
    "1.2.840.10008.1.2.7.1": _LIVE,
    "1.2.840.10008.1.2.7.2": _LIVE,
    "1.2.840.10008.1.2.7.3": _LIVE,
    "1.2.840.113619.5.2": (
        "GE's private syntax mixes little endian elements with big endian pixels",
        _EXPORT,
    ),
}
# JPEG processes that the standard retired before anyone used them (PS3.5 of 2001).
_RETIRED_JPEG = frozenset(f"{_JPEG}.{number}" for number in (*range(52, 57), *range(58, 67)))
_LOSSY_JPEG = frozenset((f"{_JPEG}.50", JPEG_EXTENDED, f"{_JPEG}.111"))
# Names that are younger than the dictionary of pydicom 3.0.
_YOUNG: Mapping[str, str] = {
    DEFLATED_FRAMES: "Deflated Image Frame Compression",
    f"{_JPEG}.110": "JPEG XL Lossless",
    f"{_JPEG}.111": "JPEG XL JPEG Recompression",
    f"{_JPEG}.112": "JPEG XL",
}
_DICOM_UIDS = "1.2.840.10008."


def syntax_of(uid: str, path: Path) -> Syntax:
    """How objects of a transfer syntax are decoded.

    Raises
    ------
    UnsupportedMediaError : nothing here decodes it; says why
    """
    syntax = SYNTAXES.get(uid)
    if syntax is not None:
        return syntax
    name = syntax_name(uid)
    if uid in _REFUSED:
        reason, remedy = _REFUSED[uid]
        raise UnsupportedMediaError(f"{name}: {reason}", path=path, remedy=remedy)
    if uid in _RETIRED_JPEG:
        reason = f"{name} was retired from the standard, and no decoder here reads it"
    elif uid.startswith(_DICOM_UIDS):
        reason = f"no decoder here for the transfer syntax {name}"
    else:
        reason = f"{name} is a private transfer syntax of a maker, and no decoder here knows it"
    raise UnsupportedMediaError(reason, path=path, field="TransferSyntaxUID", remedy=_EXPORT)


def is_always_lossy(uid: str) -> bool:
    """Whether a coding cannot keep pixels as they were, whatever its parameters."""
    syntax = SYNTAXES.get(uid)
    return uid in _LOSSY_JPEG or (syntax is not None and syntax.coding is Coding.VIDEO)


def syntax_name(uid: str) -> str:
    """The name of the standard with the UID behind it; the UID alone where it has none."""
    from pydicom.uid import UID

    name = _YOUNG.get(uid) or UID(uid).name
    return f"{name} ({uid})" if name != uid else uid


def decoder_version(decoder: Decoder) -> str:
    """Name and version of the library behind a decoder."""
    if decoder is Decoder.ZLIB:
        import zlib

        return f"zlib {zlib.ZLIB_RUNTIME_VERSION}"
    names = {Decoder.NATIVE: "pydicom", Decoder.GDCM: "python-gdcm"}
    name = names.get(decoder, str(decoder))
    return f"{name} {version(name)}"
