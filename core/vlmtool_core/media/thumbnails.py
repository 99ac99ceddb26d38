"""Small pictures of items, kept by content hash in the cache folder."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from vlmtool_core import paths
from vlmtool_core.media.opening import open_media
from vlmtool_core.paths import write_atomically

if TYPE_CHECKING:
    import numpy as np

# Raised when decoding changes, so that old thumbnails are made again.
REVISION = 2


def thumbnail_path(sha256: str, *, side: int = 256, frame: int = 0) -> Path:
    """Where the thumbnail of this content lies, or will lie."""
    folder = paths.cache_dir() / "thumbnails" / sha256[:2]
    return folder / f"{sha256}-{frame}-{side}-r{REVISION}.webp"


def thumbnail(
    path: Path, files: Sequence[Path], sha256: str, *, side: int = 256, frame: int = 0
) -> Path:
    """A WebP file whose longer side has at most `side` pixels; made when it is not there yet.

    Safe from several threads and processes: the file appears whole or not at all.

    Raises
    ------
    MediaError : the item cannot be decoded
    StorageError : the cache cannot be written
    """
    target = thumbnail_path(sha256, side=side, frame=frame)
    if target.exists():
        return target
    with open_media(path, files) as source:
        pixels = source.frame(frame, max_side=side).pixels
    return keep_thumbnail(pixels, target)


def keep_thumbnail(pixels: np.ndarray, target: Path) -> Path:
    """Write uint8 RGB pixels (h, w, 3) as WebP where `thumbnail_path` says.

    Raises
    ------
    StorageError : the cache cannot be written
    """
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", quality=80, method=2)
    write_atomically(target, buffer.getvalue())
    return target
