"""Where things live on this machine, and how a file is written whole or not at all.

`VLMTOOL_HOME` moves every folder of the program into one place.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from platformdirs import PlatformDirs

from vlmtool_core.errors import StorageError

HOME_VARIABLE = "VLMTOOL_HOME"


def _folder(name: str, platform_folder: str) -> Path:
    home = os.environ.get(HOME_VARIABLE)
    return Path(home).absolute() / name if home else Path(platform_folder)


def _platform() -> PlatformDirs:
    return PlatformDirs("vlmtool", appauthor=False)


def models_dir() -> Path:
    """The model store: `models/<id>/<version>/`."""
    return _folder("models", str(Path(_platform().user_data_dir) / "models"))


def cache_dir() -> Path:
    """Thumbnails, text embeddings and other things that can be made again."""
    return _folder("cache", _platform().user_cache_dir)


def config_dir() -> Path:
    """`settings.toml` and the list of recent projects."""
    return _folder("config", _platform().user_config_dir)


def log_dir() -> Path:
    """Log files of the program and of the engine host."""
    return _folder("logs", _platform().user_log_dir)


def write_atomically(path: Path, data: bytes) -> None:
    """Write `data` to a temporary file beside `path`, fsync it, then rename it into place.

    Raises
    ------
    StorageError : the disk is full or read-only; `path` is then as it was before.
    """
    stream_atomically(path, (data,))


def stream_atomically(path: Path, parts: Iterable[bytes]) -> None:
    """As `write_atomically`, for what is too large to hold: the parts are written as they come.

    An error raised by `parts` leaves `path` as it was, too.

    Raises
    ------
    StorageError
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes private files; a result is as readable as any other new file.
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)
        temporary.replace(path)
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
