"""The results of a triage as data: one record per video and span, and the JSON table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vlmtool_core.api import Box, ErrorInfo, Finding, Region
from vlmtool_security.outputs import FORMAT
from vlmtool_security.pictures import clock
from vlmtool_security.scanning import LONGEST_BLIND_S, Scan, ScanSettings
from vlmtool_security.spans import Span, light_changes
from vlmtool_security.tags import Tags

FORMAT_VERSION = 1


@dataclass
class SpanReport:
    """One event: the span, what it shows, and its pictures (paths relative to the folder)."""

    span: Span
    number: int
    score: float
    peak_frame: int
    tags: Tags = field(default_factory=Tags)
    sheet: str = ""
    thumbnail: bytes = b""

    def to_json(self) -> dict[str, Any]:
        span, box = self.span, self.span.box
        return {
            "number": self.number,
            "start_s": round(span.start_s, 3),
            "end_s": round(span.end_s, 3),
            "duration_s": round(span.duration_s, 3),
            "start": clock(span.start_s),
            "end": clock(span.end_s),
            "peak_s": round(span.peak_s, 3),
            "peak_frame": self.peak_frame,
            "box_xyxy": None if box is None else [round(value, 1) for value in box],
            "changed_area": round(span.strength, 4),
            "score": round(self.score, 4),
            "tags": [{"label": s.label, "score": s.score} for s in self.tags.scores],
            "tags_error": self.tags.error,
            "sheet": self.sheet,
        }


@dataclass
class VideoReport:
    """One video: its facts, what was looked at, and its events.

    scan_s : seconds the look through the video took; elapsed_s : with pictures and names
    """

    path: Path
    sha256: str
    size_bytes: int
    facts: dict[str, Any]
    scan: Scan
    scan_s: float = 0.0
    elapsed_s: float = 0.0
    warnings: list[str] = field(default_factory=list)
    spans: list[SpanReport] = field(default_factory=list)
    overview: str = ""

    @property
    def duration_s(self) -> float:
        return float(self.facts["duration_s"] or 0.0)

    @property
    def first_s(self) -> float:
        return float(self.facts["first_time_s"])

    @property
    def moving_s(self) -> float:
        """Seconds of the video that lie within events."""
        return sum(report.span.duration_s for report in self.spans)

    @property
    def speed(self) -> float:
        """How many times faster than real time the video was looked through."""
        return self.duration_s / self.scan_s if self.scan_s else 0.0

    def to_json(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            "name": self.path.name,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            **self.facts,
            "scan": "every frame" if self.scan.full else "key frames, then closely around hits",
            "looked_closely_at_s": [[round(a, 3), round(b, 3)] for a, b in self.scan.windows],
            "frames_asked_for": self.scan.asked,
            "frames_decoded": self.scan.delivered,
            "complete": self.scan.complete,
            "reached_s": round(self.scan.reached_s, 3),
            "warnings": self.warnings,
            "light_changes_s": [round(t, 3) for t in light_changes(self.scan.samples)],
            "scan_s": round(self.scan_s, 3),
            "elapsed_s": round(self.elapsed_s, 3),
            "times_real_time": round(self.speed, 1),
            "overview": self.overview,
            "spans": [span.to_json() for span in self.spans],
        }

    def findings(self, model: str) -> list[Finding]:
        """The events for the review queue, and one finding when the file is damaged."""
        found = [self._finding(span, model) for span in self.spans]
        if self.warnings:
            end = self.first_s + self.duration_s
            found.append(
                Finding(
                    "damage",
                    f"{self.path.name}: {'; '.join(self.warnings)}",
                    str(self.path),
                    time_span_s=(self.scan.reached_s, max(end, self.scan.reached_s)),
                    data={"warnings": self.warnings, "sha256": self.sha256},
                )
            )
        return found

    def _finding(self, report: SpanReport, model: str) -> Finding:
        span, top = report.span, report.tags.top
        label = top.label if top else ""
        return Finding(
            "movement",
            f"Movement {clock(span.start_s)} to {clock(span.end_s)}",
            str(self.path),
            score=report.score,
            label=label,
            frame=report.peak_frame,
            time_span_s=(span.start_s, span.end_s),
            box=None if span.box is None else Box(*span.box, label or "movement"),
            data={
                "peak_s": span.peak_s,
                "changed_area": span.strength,
                "tags": [[s.label, s.score] for s in report.tags.scores],
                "tags_model": model if report.tags.scores else "",
                "sheet": report.sheet,
                "sha256": self.sha256,
            },
        )


def table(
    videos: Sequence[VideoReport],
    failures: Sequence[ErrorInfo],
    settings: ScanSettings,
    regions: Sequence[Region],
    *,
    version: str,
    sensitivity: str,
    model: dict[str, str] | None,
    complete: bool,
) -> bytes:
    """The JSON table, UTF-8; times in seconds of file time, boxes in source pixels."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "program": f"vlmtool-security {version}",
        "created_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "complete": complete,
        "settings": {
            "sensitivity": sensitivity,
            "min_duration_s": settings.min_duration_s,
            "merge_gap_s": settings.merge_gap_s,
            "sample_s": settings.sample_s,
            "scan": "full" if settings.full else "auto",
            "longest_gap_between_key_frames_s": LONGEST_BLIND_S,
            "gate": asdict(settings.gate),
        },
        "regions": [
            {"role": r.role, "shape": r.shape, "points": [list(p) for p in r.points]}
            for r in regions
        ],
        "tags_model": model,
        "videos": [video.to_json() for video in videos],
        "failures": [
            {"path": f.path, "code": f.code, "message": f.message, "remedy": f.remedy}
            for f in failures
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode()
