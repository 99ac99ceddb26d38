"""Content identity and the thumbnail cache."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlmtool_core.errors import DamagedMediaError, MediaNotFoundError
from vlmtool_core.media.hashing import sha256_of, sha256_of_item
from vlmtool_core.media.thumbnails import thumbnail, thumbnail_path


def noise(path: Path, seed: int = 0, size: int = 400) -> Path:
    data = np.random.default_rng(seed).integers(0, 255, (size, size * 2, 3), dtype=np.uint8)
    Image.fromarray(data).save(path)
    return path


def test_hash_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "大.bin"
    path.write_bytes(b"abc" * 1_000_000)
    assert sha256_of(path) == hashlib.sha256(b"abc" * 1_000_000).hexdigest()
    with pytest.raises(MediaNotFoundError):
        sha256_of(tmp_path / "missing")


def test_a_series_is_the_set_of_its_slices(tmp_path: Path) -> None:
    files = []
    for number in range(3):
        files.append(tmp_path / f"{number}")
        files[-1].write_bytes(bytes([number]))
    whole = sha256_of_item(tmp_path, files)
    assert whole == sha256_of_item(tmp_path, files[::-1])
    assert whole != sha256_of_item(tmp_path, files[:2])
    assert sha256_of_item(files[0]) == sha256_of(files[0])


def test_thumbnails_are_made_once_per_content(tmp_path: Path, home: Path) -> None:
    path = noise(tmp_path / "a.png")
    sha256 = sha256_of(path)
    target = thumbnail(path, (), sha256, side=128)
    assert target.is_relative_to(home / "cache" / "thumbnails")
    with Image.open(target) as image:
        assert image.size == (128, 64)
    before = target.stat().st_mtime_ns
    path.unlink()
    assert thumbnail(path, (), sha256, side=128) == target
    assert target.stat().st_mtime_ns == before
    assert thumbnail_path(sha256, side=64) != target


def test_many_threads_make_the_same_thumbnail(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.png")
    sha256 = sha256_of(path)
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(thumbnail(path, (), sha256))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(made) == {thumbnail_path(sha256)}
    assert len(made) == 8
    with Image.open(made[0]) as image:
        image.load()
    assert [p.name for p in made[0].parent.iterdir()] == [made[0].name]


def test_a_broken_picture_leaves_no_thumbnail(tmp_path: Path) -> None:
    path = noise(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:1000])
    sha256 = sha256_of(path)
    with pytest.raises(DamagedMediaError):
        thumbnail(path, (), sha256)
    assert not thumbnail_path(sha256).exists()
