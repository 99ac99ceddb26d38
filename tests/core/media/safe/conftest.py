"""Lets tests and workers alike import the hostile reader that lies beside them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vlmtool_core.media import readers
from vlmtool_core.media.safe.pool import pool
from vlmtool_core.settings import Settings, save_settings

HERE = str(Path(__file__).parent)
sys.path.insert(0, HERE)


@pytest.fixture
def hostile(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], Path]]:
    """Makes a file that does the named deed to whoever decodes it; with tight limits."""
    import hostile_reader

    monkeypatch.setenv("PYTHONPATH", HERE, prepend=os.pathsep)
    monkeypatch.delenv("VLMTOOL_DECODE", raising=False)
    save_settings(Settings(decode_memory_mb=256, decode_seconds=2))
    pool().close()
    hostile_reader.connect()

    def make(deed: str) -> Path:
        path = tmp_path / f"{deed}.hostile"
        path.write_bytes(hostile_reader.MAGIC + deed.encode())
        return path

    yield make
    readers.use(None)
    pool().close()
