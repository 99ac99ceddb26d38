"""What is wrong with a recording, and where: places of file time that a person must know."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from vlmtool_core.media.video.decode import DecodeReport
from vlmtool_core.media.video.index import FrameIndex
from vlmtool_core.records import Json


class DamageKind(StrEnum):
    """CORRUPT : decoded with errors; MISSING : not decoded; ERROR : a packet broke the decoder;
    CUT : the file ends too early; GAP : no frame for a long time, which need not be damage."""

    CORRUPT = "corrupt"
    MISSING = "missing"
    ERROR = "error"
    CUT = "cut"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class Damage:
    """A place of a video: seconds of file time, and how many frames it has there."""

    kind: DamageKind
    start_s: float
    end_s: float
    frames: int = 0

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "kind": self.kind.value}


@dataclass(frozen=True, slots=True)
class DamageReport:
    """What decoding all of a video met.

    expected, delivered : frames that its packets promise, and that were decoded
    corrupt : frames among them that the decoder marked as broken
    errors : packets that broke the decoder
    places : all of it by time
    """

    expected: int
    delivered: int
    corrupt: int = 0
    errors: int = 0
    places: tuple[Damage, ...] = ()

    @property
    def damaged(self) -> bool:
        return bool(self.corrupt or self.errors or self.delivered < self.expected)

    def to_json(self) -> dict[str, Json]:
        return {**asdict(self), "places": [place.to_json() for place in self.places]}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """The report that `to_json` wrote; KeyError, TypeError or ValueError where it is none."""
        places = tuple(
            Damage(
                DamageKind(place["kind"]),
                float(place["start_s"]),
                float(place["end_s"]),
                int(place["frames"]),
            )
            for place in values["places"]
        )
        numbers = {key: int(values[key]) for key in ("expected", "delivered", "corrupt", "errors")}
        return cls(**numbers, places=places)


def summed_up(report: DecodeReport, index: FrameIndex) -> DamageReport:
    """The report of a pass over all frames."""
    missing = sorted(set(range(len(index))).difference(report.seen))
    places = [
        *_spans(DamageKind.CORRUPT, report.corrupt, index),
        *_spans(DamageKind.MISSING, missing, index),
        *(Damage(DamageKind.ERROR, at, at) for at in report.error_times if at is not None),
        *gaps(index),
    ]
    places.sort(key=lambda place: (place.start_s, place.kind))
    return DamageReport(
        report.expected,
        report.delivered,
        len(report.corrupt),
        len(report.error_times),
        tuple(places),
    )


def gaps(index: FrameIndex) -> list[Damage]:
    """Where much more time passes between two frames than usual."""
    return [
        Damage(DamageKind.GAP, index.seconds(before), index.seconds(before + 1))
        for before in index.gaps()
    ]


def _spans(kind: DamageKind, frames: Sequence[int], index: FrameIndex) -> list[Damage]:
    """Neighbouring frames together; a span lasts until the frame after it."""
    found: list[Damage] = []
    for first, last in _runs(frames):
        end = min(last + 1, len(index) - 1)
        count = last - first + 1
        found.append(Damage(kind, index.seconds(first), index.seconds(end), count))
    return found


def _runs(numbers: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def described(places: Iterable[Damage]) -> tuple[str, ...]:
    """A line for each kind of damage, for a person."""
    by_kind: dict[DamageKind, list[Damage]] = {}
    for place in places:
        by_kind.setdefault(place.kind, []).append(place)
    return tuple(_line(kind, found) for kind, found in sorted(by_kind.items()))


_WORDS = {
    DamageKind.CORRUPT: "damaged: {frames} frames are decoded with errors",
    DamageKind.MISSING: "damaged: {frames} frames cannot be decoded",
    DamageKind.ERROR: "damaged: {count} times the decoder met data it cannot read",
    DamageKind.CUT: "truncated: the pictures end {length:.1f} s early",
    DamageKind.GAP: "no frames for up to {length:.1f} s",
}
_MOST_TIMES = 3


def _line(kind: DamageKind, places: Sequence[Damage]) -> str:
    text = _WORDS[kind].format(
        frames=sum(place.frames for place in places),
        count=len(places),
        length=max(place.end_s - place.start_s for place in places),
    )
    times = ", ".join(f"{place.start_s:.2f} s" for place in places[:_MOST_TIMES])
    more = len(places) - _MOST_TIMES
    return f"{text}, at {times}" + (f" and {more} more places" if more > 0 else "")
