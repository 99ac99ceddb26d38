"""Tells what a file is from its first bytes; the extension only decides what is foreign."""

from __future__ import annotations

import struct
from enum import StrEnum
from pathlib import Path

from vlmtool_core.errors import MediaNotFoundError

HEAD_BYTES = 1024

IMAGE_EXTENSIONS = frozenset(
    [
        ".png",
        ".apng",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".mpo",
        ".tif",
        ".tiff",
        ".btf",
        ".webp",
        ".bmp",
        ".dib",
        ".gif",
        ".jp2",
        ".j2k",
        ".j2c",
        ".jpx",
        ".jxl",
        ".heic",
        ".heif",
        ".hif",
        ".pgm",
        ".ppm",
        ".pbm",
        ".pnm",
        ".pfm",
        ".avif",
        ".svs",
        ".ndpi",
        ".scn",
        ".bif",
        ".mrxs",
        ".pdf",
    ]
)
DICOM_EXTENSIONS = frozenset([".dcm", ".dicom", ".dic", ".ima"])
VIDEO_EXTENSIONS = frozenset(
    [
        ".mp4",
        ".m4v",
        ".mov",
        ".qt",
        ".mkv",
        ".webm",
        ".avi",
        ".wmv",
        ".asf",
        ".flv",
        ".mpg",
        ".mpeg",
        ".mpe",
        ".vob",
        ".ts",
        ".mts",
        ".m2ts",
        ".3gp",
        ".3g2",
        ".ogv",
        ".dav",
        ".h264",
        ".h265",
        ".hevc",
        ".264",
        ".265",
        ".mjpeg",
        ".mjpg",
        ".y4m",
        ".mxf",
    ]
)
VOLUME_EXTENSIONS = frozenset([".nii"])
MEDIA_EXTENSIONS = IMAGE_EXTENSIONS | DICOM_EXTENSIONS | VIDEO_EXTENSIONS | VOLUME_EXTENSIONS
# Of these, the last suffix alone says nothing.
COMPOUND_EXTENSIONS = (".nii.gz",)


class Signature(StrEnum):
    """What opens the file."""

    PICTURE = "picture"
    TIFF = "tiff"
    PDF = "pdf"
    DICOM = "dicom"
    VIDEO = "video"
    NIFTI = "nifti"
    ARCHIVE = "archive"  # of files that are opened one by one
    DICOMDIR = "dicomdir"
    NONE = "none"


_PICTURES = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8\xff",
    b"GIF87a",
    b"GIF89a",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
    b"\xff\x4f\xff\x51",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n",
    b"\xff\x0a",  # JPEG XL without a container
)
_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")  # the second one holds nothing
# Media Storage SOP Class UID (0002,0002): Media Storage Directory Storage.
_DIRECTORY_CLASS = b"\x02\x00\x02\x00UI\x14\x001.2.840.10008.1.3.10"
_TIFFS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_VIDEOS = (
    b"\x1a\x45\xdf\xa3",  # Matroska, WebM
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",  # ASF
    b"FLV\x01",
    b"\x00\x00\x01\xba",  # MPEG program stream
    b"\x00\x00\x01\xb3",  # MPEG video
    b"OggS",
    b"DHAV",
    b"IMKH",
    b"YUV4MPEG2 ",
    b"\x06\x0e\x2b\x34\x02\x05\x01\x01\x0d\x01\x02",  # MXF
)
_QUICKTIME_ATOMS = (b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot")
_PICTURE_BRANDS = b"avif avis heic heix heim heis hevc hevx hevm hevs mif1 msf1".split()
_OTHER_BRANDS = (b"crx ", b"M4A ", b"M4B ")
_NIFTI_SIZES = (b"\x5c\x01\0\0", b"\0\0\x01\x5c", b"\x1c\x02\0\0", b"\0\0\x02\x1c")
_BMP_HEADER_SIZES = (12, 40, 52, 56, 64, 108, 124)
_VRS = (
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN "
    b"UR US UT UV"
).split()


def read_head(path: Path) -> bytes:
    """The first bytes of a file.

    Raises
    ------
    MediaNotFoundError
    """
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error


def sniff(head: bytes) -> Signature:
    """What the first bytes say; `NONE` when they fit nothing known."""
    if head[128:132] == b"DICM":
        return Signature.DICOMDIR if _DIRECTORY_CLASS in head else Signature.DICOM
    if _is_picture(head):
        return Signature.PICTURE
    if head.startswith(_TIFFS):
        return Signature.TIFF
    if b"%PDF-" in head:  # some writers put a header of their own in front
        return Signature.PDF
    if head.startswith(_ARCHIVES):
        return Signature.ARCHIVE
    if _is_video(head):
        return Signature.VIDEO
    if _is_nifti(head):
        return Signature.NIFTI
    if _is_bare_dicom(head):
        return Signature.DICOM
    return Signature.NONE


def _is_nifti(head: bytes) -> bool:
    """The magic of NIfTI-1 or -2, also behind gzip."""
    if head[:2] != b"\x1f\x8b" and head[:4] not in _NIFTI_SIZES:
        return False
    from vlmtool_core.media.volumes.nifti_magic import inflated_head, nifti_version

    return nifti_version(inflated_head(head)) > 0


def _is_picture(head: bytes) -> bool:
    if head.startswith(_PICTURES):
        return True
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    if head[:2] == b"BM" and len(head) >= 18:
        return bool(struct.unpack_from("<I", head, 14)[0] in _BMP_HEADER_SIZES)
    if head[4:8] == b"ftyp" and head[8:12] in _PICTURE_BRANDS:
        return True
    return (
        head[:1] == b"P" and head[1:2] in b"123456fF" and head[2:3] in (b" ", b"\n", b"\r", b"\t")
    )


def _is_video(head: bytes) -> bool:
    if head.startswith(_VIDEOS):
        return True
    if head[:4] == b"RIFF" and head[8:12] in (b"AVI ", b"AVIX"):
        return True
    if head[4:8] == b"ftyp":
        return head[8:12] not in _OTHER_BRANDS
    if head[4:8] in _QUICKTIME_ATOMS:
        return True
    # Transport streams repeat their sync byte every 188 bytes (192 with a time code in front).
    for start, step in ((0, 188), (4, 192), (0, 204)):
        if len(head) > start + 3 * step and all(head[start + i * step] == 0x47 for i in range(4)):
            return True
    return head.startswith((b"\x00\x00\x00\x01\x67", b"\x00\x00\x00\x01\x40\x01"))


def _is_bare_dicom(head: bytes) -> bool:
    """A data set without preamble: a first element of group 2 or 8 with a plausible length."""
    for order in "<>":
        if len(head) < 16:
            return False
        group, element, length = struct.unpack_from(f"{order}HHI", head)
        if group not in (0x0002, 0x0008) or element > 0x0100:
            continue
        if head[4:6] in _VRS or length <= 256:
            return True
    return False
