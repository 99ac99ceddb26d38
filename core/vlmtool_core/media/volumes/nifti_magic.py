"""Tells a NIfTI header by its magic, also behind gzip."""

from __future__ import annotations

import zlib
from pathlib import Path

from vlmtool_core.errors import MediaNotFoundError

GZIP = b"\x1f\x8b"
HEADER_BYTES = 540

_NIFTI1 = (b"n+1\0", b"ni1\0")
_NIFTI2 = (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")


def inflated_head(head: bytes) -> bytes:
    """The first bytes behind gzip, as many as a header has; `head` itself if it is no gzip."""
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEADER_BYTES)
    except zlib.error:
        return b""


def nifti_version(head: bytes) -> int:
    """1 or 2 for the first bytes of a NIfTI header, else 0. `head` is not compressed."""
    length = _length(head)
    if length == 348 and head[344:348] in _NIFTI1:
        return 1
    return 2 if length == 540 and head[4:12] in _NIFTI2 else 0


def _length(head: bytes) -> int:
    """sizeof_hdr, in either order of bytes."""
    lengths = int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")
    return next((length for length in lengths if length in (348, 540)), 0)


def header_file(path: Path) -> Path:
    """The .hdr of a pair when its .img is given; else the path itself."""
    name = path.name.lower()
    for image, header in ((".img", ".hdr"), (".img.gz", ".hdr"), (".img.gz", ".hdr.gz")):
        candidate = path.with_name(path.name[: -len(image)] + header)
        if name.endswith(image) and candidate.is_file():
            return candidate
    return path


def is_half_of_pair(path: Path) -> bool:
    """Whether the file is the .img of a NIfTI pair: its voxels alone have no signature."""
    header = header_file(path)
    return header != path and nifti_version(inflated_head(first_bytes(header))) > 0


def first_bytes(path: Path) -> bytes:
    """Enough to know the header, still compressed.

    Raises
    ------
    MediaNotFoundError
    """
    try:
        with path.open("rb") as file:
            return file.read(2 * HEADER_BYTES)
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error
