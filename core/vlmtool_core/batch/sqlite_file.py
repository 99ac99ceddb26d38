"""Small SQLite files for things that can be made again: run ledgers, hashes, features."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from vlmtool_core.errors import StorageError

BUSY_TIMEOUT_S = 20.0

log = logging.getLogger(__name__)


def open_cache(file: Path, tables: str) -> sqlite3.Connection:
    """Open `file` and make its tables; a damaged file is put aside and begun anew.

    Transactions are the caller's: statements commit by themselves outside BEGIN and COMMIT.

    Raises
    ------
    StorageError : the folder cannot be written to.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return _open(file, tables)
    except sqlite3.OperationalError as error:
        raise StorageError(str(error), path=file) from error
    except sqlite3.DatabaseError as error:
        aside = file.with_suffix(".damaged")
        log.warning("%s is damaged (%s); put aside as %s", file, error, aside.name)
        file.replace(aside)
        for suffix in ("-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)
        return _open(file, tables)
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=file) from error


def _open(file: Path, tables: str) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.executescript(tables)
    except sqlite3.Error:
        connection.close()
        raise
    return connection
