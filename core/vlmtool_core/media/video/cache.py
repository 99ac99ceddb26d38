"""What reading a whole video found out, kept on disk: the frame index and the damage report.

Kept under a hash of the content: of the size and of samples all over the file, since reading two
hours of video to hash them takes longer than reading their packets; with the time of the last
change, so that a file changed between the samples is read anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from zipfile import BadZipFile

from vlmtool_core import paths
from vlmtool_core.errors import StorageError
from vlmtool_core.media.video.damage import DamageReport
from vlmtool_core.media.video.index import FrameIndex
from vlmtool_core.paths import write_atomically

log = logging.getLogger(__name__)

# Raised when an index is made otherwise, so that old ones are made again.
REVISION = 1
_SAMPLES = 24
_SAMPLE_BYTES = 1 << 16


def content_key(path: Path) -> str:
    """64 hexadecimal digits that stand for the content of a file.

    Raises
    ------
    OSError
    """
    import av

    facts = path.stat()
    versions = "-".join(str(part) for part in av.library_versions["libavformat"])
    start = f"{REVISION} {versions} {facts.st_size} {facts.st_mtime_ns} "
    digest = hashlib.sha256(start.encode())
    with path.open("rb") as file:
        for number in range(_SAMPLES):
            last = max(0, facts.st_size - _SAMPLE_BYTES)
            file.seek(last * number // (_SAMPLES - 1))
            digest.update(file.read(_SAMPLE_BYTES))
    return digest.hexdigest()


def _file(key: str, suffix: str) -> Path:
    return paths.cache_dir() / "videos" / key[:2] / f"{key}.{suffix}"


def kept_index(key: str) -> FrameIndex | None:
    """The index of that content; None when none is kept, or what is kept cannot be read."""
    import numpy as np

    try:
        with np.load(_file(key, "npz"), allow_pickle=False) as kept:
            pts, keys, seeks, places = (
                kept[name].tolist() for name in ("pts", "keys", "seeks", "positions")
            )
            top, bottom, exact, jumps = (int(value) for value in kept["facts"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        log.warning("a kept index cannot be read and is made anew: %s", error)
        return None
    return FrameIndex(pts, keys, seeks, Fraction(top, bottom), bool(exact), jumps, places)


def keep_index(key: str, index: FrameIndex) -> None:
    """Keep it for the next time; a full disk costs that time only."""
    import numpy as np

    base = index.time_base
    facts = (base.numerator, base.denominator, int(index.exact), index.clock_jumps)
    buffer = BytesIO()
    np.savez_compressed(
        buffer,
        pts=np.array(index.pts, np.int64),
        keys=np.array(index.keyframes, np.int64),
        seeks=np.array(index.seek_points, np.int64),
        positions=np.array(index.positions, np.int64),
        facts=np.array(facts, np.int64),
    )
    _write(_file(key, "npz"), buffer.getvalue())


def kept_report(key: str) -> DamageReport | None:
    """What a pass over that content met; None when there was none."""
    try:
        return DamageReport.from_json(json.loads(_file(key, "json").read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("a kept damage report cannot be read: %s", error)
        return None


def keep_report(key: str, report: DamageReport) -> None:
    """Keep it for the next time."""
    _write(_file(key, "json"), json.dumps(report.to_json()).encode())


def _write(file: Path, data: bytes) -> None:
    try:
        write_atomically(file, data)
    except StorageError as error:
        log.warning("what was found out of a video is not kept: %s", error)
