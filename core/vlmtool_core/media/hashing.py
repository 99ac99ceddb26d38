"""Content identity: SHA-256 of files, streamed, and of series as a whole."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from vlmtool_core.errors import MediaNotFoundError
from vlmtool_core.media.archives import located


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits.

    Raises
    ------
    MediaNotFoundError : it is not there or cannot be read
    MediaError : the archive that it lies in cannot be trusted
    """
    try:
        with located(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise MediaNotFoundError(error.strerror or str(error), path=path) from error


def sha256_of_item(path: Path, files: Sequence[Path] = ()) -> str:
    """Identity of an item: of its file, or of the set of its slices whatever their order.

    Raises
    ------
    MediaNotFoundError
    """
    if not files:
        return sha256_of(path)
    digests = sorted(sha256_of(file) for file in files)
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
