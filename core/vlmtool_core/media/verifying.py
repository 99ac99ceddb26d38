"""Decodes everything of an item once, to say whether it is whole and what is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vlmtool_core.errors import MediaError, UnsupportedMediaError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.media.base import Discovered, MediaSource
from vlmtool_core.media.opening import open_media
from vlmtool_core.records import ErrorInfo, Json, MediaKind

# Rows that are enough to have a video decoded; the decoder itself always decodes all of them.
_LUMA_ROWS = 16


@dataclass(frozen=True, slots=True)
class Verification:
    """What decoding all of an item met.

    expected, delivered, corrupt : frames that it promises, that were decoded, and those among
        them that the decoder marked as broken
    warnings : what a user must know of it although it decodes (lossy, uneven spacing, ...)
    problems : why frames are missing, at most one per frame
    """

    name: str
    kind: MediaKind | None
    expected: int = 0
    delivered: int = 0
    corrupt: int = 0
    warnings: tuple[str, ...] = ()
    problems: tuple[ErrorInfo, ...] = ()

    @property
    def verdict(self) -> str:
        """ "whole", "damaged", or "unsupported": nothing here decodes it, so nobody can tell."""
        if any(problem.code == UnsupportedMediaError.code for problem in self.problems):
            return "unsupported"
        return "damaged" if self._damaged else "whole"

    @property
    def _damaged(self) -> bool:
        return bool(self.problems or self.corrupt or self.delivered < self.expected)

    def to_json(self) -> Mapping[str, Json]:
        from vlmtool_core.json_codec import error_to_json

        return {
            "item": self.name,
            "kind": self.kind and self.kind.value,
            "verdict": self.verdict,
            "frames_expected": self.expected,
            "frames_delivered": self.delivered,
            "frames_corrupt": self.corrupt,
            "warnings": list(self.warnings),
            "problems": [error_to_json(problem) for problem in self.problems],
        }


def verify(item: Discovered, cancel: CancelToken | None = None) -> Verification:
    """Decode every frame of a discovered item. Damage is reported, not raised.

    Raises
    ------
    CancelledError
    """
    cancel = cancel or CancelToken()
    if item.error is not None:
        return Verification(item.name, item.kind, problems=(item.error,))
    try:
        with open_media(item.path, item.files) as source:
            if source.info.kind is MediaKind.VIDEO:
                return _of_video(item, source, cancel)
            return _of_frames(item, source, cancel)
    except MediaError as error:
        return Verification(item.name, item.kind, problems=(ErrorInfo.from_exception(error),))


def _of_frames(item: Discovered, source: MediaSource, cancel: CancelToken) -> Verification:
    expected = source.info.frame_count or 0
    problems: list[ErrorInfo] = []
    for index in range(expected):
        cancel.check()
        try:
            source.frame(index)
        except MediaError as error:
            problems.append(ErrorInfo.from_exception(error))
    delivered = expected - len(problems)
    found = (item.name, item.kind, expected, delivered, 0)
    return Verification(*found, source.info.warnings, tuple(problems))


def _of_video(item: Discovered, source: MediaSource, cancel: CancelToken) -> Verification:
    from vlmtool_core.media.video.source import VideoSource

    if not isinstance(source, VideoSource):  # a plugin's reader
        return _of_frames(item, source, cancel)
    for _ in source.luma(_LUMA_ROWS):
        cancel.check()
    report, info = source.report, source.info
    assert report is not None
    stated = int(info.facts.get("frames_stated") or 0)
    expected = max(report.expected, stated)
    return Verification(
        item.name, item.kind, expected, report.delivered, report.corrupt, info.warnings
    )
