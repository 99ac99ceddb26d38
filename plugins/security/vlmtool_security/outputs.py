"""Where a triage writes: new names only, nothing is ever overwritten."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

from vlmtool_core.api import StorageError, UsageError, write_atomically

FORMAT = "vlmtool-security-triage"
TABLE, TIMELINE = "triage.json", "timeline.html"
_UNSAFE = re.compile(r"[^\w.-]+")


class Outputs:
    """The files of one run in the report folder; a second run on the same videos adds `-2`.

    Raises
    ------
    UsageError : the folder holds the report of other videos.
    StorageError : it cannot be made or written to.
    """

    def __init__(self, folder: Path, videos: Sequence[tuple[Path, str]]) -> None:
        self.folder = folder
        _check_writable(folder)
        self._videos = self._video_folders(videos)
        run = 1
        while any(place.exists() for place in self._places(run)):
            run += 1
        if run > 1:
            self._check_same_videos({sha256 for _, sha256 in videos})
        self._run = run

    @staticmethod
    def _video_folders(videos: Sequence[tuple[Path, str]]) -> list[str]:
        """A folder name per video: base name and hash, so that equal base names stay apart."""
        names: list[str] = []
        for path, sha256 in videos:
            stem = _UNSAFE.sub("_", path.stem)[:40].strip("._") or "video"
            name, copy = f"{stem}-{sha256[:8]}", 1
            while name in names:
                copy += 1
                name = f"{stem}-{sha256[:8]}-copy{copy}"
            names.append(name)
        return names

    def _places(self, run: int) -> list[Path]:
        return [self.folder / _numbered(name, run) for name in (TABLE, TIMELINE, *self._videos)]

    def _check_same_videos(self, hashes: set[str]) -> None:
        reports = sorted(self.folder.glob(f"{Path(TABLE).stem}*.json"))
        if any(_hashes_of(report) == hashes for report in reports):
            return
        for name in (TABLE, TIMELINE):
            if (self.folder / name).exists():
                raise UsageError(
                    f"holds a {name} of other videos, and nothing is overwritten",
                    path=self.folder,
                    field="out",
                    remedy="Choose another folder with --out.",
                )

    @property
    def table(self) -> Path:
        return self.folder / _numbered(TABLE, self._run)

    @property
    def timeline(self) -> Path:
        return self.folder / _numbered(TIMELINE, self._run)

    def picture(self, video: int, name: str) -> Path:
        """The place of a picture of the video with this number."""
        return self.folder / _numbered(self._videos[video], self._run) / name

    def relative(self, path: Path) -> str:
        """The path as it is written into the reports."""
        return path.relative_to(self.folder).as_posix()

    def write(self, path: Path, data: bytes) -> str:
        """Write a file whole and return its path relative to the folder."""
        write_atomically(path, data)
        return self.relative(path)


def _check_writable(folder: Path) -> None:
    """Fail before hours of footage are looked at, not after."""
    place = folder.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK):
        raise StorageError("cannot be written to", path=place)


def _numbered(name: str, run: int) -> str:
    if run == 1:
        return name
    stem, dot, suffix = name.rpartition(".")
    if name in (TABLE, TIMELINE):
        return f"{stem}-{run}{dot}{suffix}"
    return f"{name}-run{run}"


def _hashes_of(report: Path) -> set[str] | None:
    try:
        document = json.loads(report.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            return None
        return {video["sha256"] for video in document["videos"]}
    except (OSError, ValueError, KeyError, TypeError):
        # Not a report of ours: then it is a file of somebody else's.
        return None
