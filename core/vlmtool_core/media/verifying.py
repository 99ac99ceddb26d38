"""Decodes everything of an item once, to say whether it is whole and what is damaged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlmtool_core.errors import MediaError, UnsupportedMediaError
from vlmtool_core.jobs import CancelToken
from vlmtool_core.media.base import Discovered, MediaSource
from vlmtool_core.media.opening import open_media
from vlmtool_core.media.video.damage import Damage, DamageKind
from vlmtool_core.records import ErrorInfo, Json, MediaKind


@dataclass(frozen=True, slots=True)
class Verification:
    """What decoding all of an item met.

    expected, delivered, corrupt : frames that it promises, that were decoded, and those among
        them that the decoder marked as broken
    warnings : what a user must know of it although it decodes (lossy, uneven spacing, ...)
    problems : why frames are missing, at most one per frame
    errors : data in between that broke the decoder of a video
    damage : places in time of a video that are not as recorded
    """

    name: str
    kind: MediaKind | None
    expected: int = 0
    delivered: int = 0
    corrupt: int = 0
    warnings: tuple[str, ...] = ()
    problems: tuple[ErrorInfo, ...] = ()
    errors: int = 0
    damage: tuple[Damage, ...] = ()

    @property
    def verdict(self) -> str:
        """ "whole", "damaged", or "unsupported": nothing here decodes it, so nobody can tell."""
        if any(problem.code == UnsupportedMediaError.code for problem in self.problems):
            return "unsupported"
        return "damaged" if self._damaged else "whole"

    @property
    def _damaged(self) -> bool:
        broken = self.problems or self.corrupt or self.errors
        cut = any(place.kind is not DamageKind.GAP for place in self.damage)
        return bool(broken or cut or self.delivered < self.expected)

    def to_json(self) -> Mapping[str, Json]:
        from vlmtool_core.json_codec import error_to_json

        return {
            "item": self.name,
            "kind": self.kind and self.kind.value,
            "verdict": self.verdict,
            "frames_expected": self.expected,
            "frames_delivered": self.delivered,
            "frames_corrupt": self.corrupt,
            "decode_errors": self.errors,
            "damage": [place.to_json() for place in self.damage],
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
            if source.info.facts.get("tiled"):
                return _of_tiles(item, source, cancel)
            return _of_frames(item, source, cancel)
    except MediaError as error:
        return Verification(item.name, item.kind, problems=(ErrorInfo.from_exception(error),))


def _of_frames(item: Discovered, source: MediaSource, cancel: CancelToken) -> Verification:
    expected = source.info.frame_count or 0
    problems: list[ErrorInfo] = []
    corrupt = 0
    for index in range(expected):
        cancel.check()
        try:
            corrupt += bool(source.frame(index).provenance.get("corrupt"))
        except MediaError as error:
            problems.append(ErrorInfo.from_exception(error))
    delivered = expected - len(problems)
    found = (item.name, item.kind, expected, delivered, corrupt)
    return Verification(*found, source.info.warnings, tuple(problems))


def _of_tiles(item: Discovered, source: Any, cancel: CancelToken) -> Verification:
    """All of a huge picture, part by part; its parts are not counted, the first bad one is told."""
    problems: list[ErrorInfo] = []
    try:
        for _ in source.check():
            cancel.check()
    except MediaError as error:
        problems.append(ErrorInfo.from_exception(error))
    found = (item.name, item.kind, 1, 0 if problems else 1, 0)
    return Verification(*found, source.info.warnings, tuple(problems))


def _of_video(item: Discovered, source: MediaSource, cancel: CancelToken) -> Verification:
    check = getattr(source, "check", None)
    if check is None:  # a plugin's reader
        return _of_frames(item, source, cancel)
    for _ in check():
        cancel.check()
    video: Any = source
    report, info = video.report, source.info
    stated = int(info.facts.get("frames_stated") or 0)
    return Verification(
        item.name,
        item.kind,
        max(report.expected, stated),
        report.delivered,
        report.corrupt,
        info.warnings,
        errors=report.errors,
        damage=video.damage(),
    )
