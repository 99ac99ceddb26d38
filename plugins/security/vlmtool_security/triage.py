"""Runs the triage: each video is hashed, looked through, pictured and named, then reported."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from vlmtool_core.api import (
    CancelledError,
    Document,
    ErrorInfo,
    MediaKind,
    ProgressMeter,
    UnsupportedMediaError,
    VlmtoolError,
    WorkflowContext,
    WorkflowResult,
    located,
    open_media,
    scan,
    sha256_of,
)
from vlmtool_security import __version__, plugin_info
from vlmtool_security.illustrate import illustrate
from vlmtool_security.motion import SENSITIVITY
from vlmtool_security.outputs import Outputs
from vlmtool_security.report import SpanReport, VideoReport, table
from vlmtool_security.scanning import Footage, ScanSettings, scan_footage
from vlmtool_security.tags import Tagger
from vlmtool_security.timeline import timeline
from vlmtool_security.workflow import described

log = logging.getLogger(__name__)


@dataclass
class _Candidate:
    """A file that is to be looked at, hashed before anything opens it."""

    path: Path
    sha256: str
    size_bytes: int
    duration_s: float


class _Run:
    """The state of one run of the workflow."""

    def __init__(self, context: WorkflowContext) -> None:
        values = context.values
        self.context = context
        self.settings = ScanSettings(
            gate=SENSITIVITY[values["sensitivity"]],
            min_duration_s=values["min_duration_s"],
            merge_gap_s=values["merge_gap_s"],
            sample_s=values["sample_s"],
            full=values["scan"] == "full",
        )
        self.failures: list[ErrorInfo] = []
        self.videos: list[VideoReport] = []
        self.complete = True
        labels = described(values["labels"])
        self.tagger = Tagger(context.engine(), labels) if values["tags"] else None

    @property
    def model(self) -> str:
        return self.tagger.model if self.tagger else ""

    def fail(self, path: Path, error: BaseException) -> None:
        info = ErrorInfo.from_exception(error)
        if info.path is None:
            info = ErrorInfo(info.code, info.message, info.remedy, str(path), info.field)
        self.failures.append(info)


def run(context: WorkflowContext) -> WorkflowResult:
    """The workflow `security.triage`.

    Raises
    ------
    UsageError : the report folder holds the report of other videos.
    MissingPackError : names are asked for and the model is not installed.
    CancelledError : it was stopped before the first video was looked at.
    """
    state = _Run(context)
    candidates = _candidates(state)
    outputs = Outputs(context.output_dir, [(c.path, c.sha256) for c in candidates])
    meter = ProgressMeter(context.progress, max(1, sum(_units(c) for c in candidates)))
    for number, candidate in enumerate(candidates):
        if context.cancel.cancelled:
            break
        _guarded(state, candidate.path, _look, state, candidate, number, outputs, meter)
    looked_at = len(state.videos) + len(state.failures)
    state.complete = not context.cancel.cancelled and all(v.scan.complete for v in state.videos)
    if not state.complete and not state.videos:
        raise CancelledError("stopped before the first video was looked at")
    log.info("looked at %d of %d videos", looked_at, len(candidates))
    return _result(state, _write(state, outputs))


def _guarded(state: _Run, path: Path, work: Callable[..., object], *arguments: Any) -> None:
    """One bad video is a listed failure; the others go on."""
    try:
        work(*arguments)
    except CancelledError:
        raise
    except VlmtoolError as error:
        if error.exit_code in (2, 3):
            raise  # a wrong call or something missing concerns every video
        state.fail(path, error)
    except Exception as error:
        log.exception("triage of %s broke", path)
        state.fail(path, error)


def _candidates(state: _Run) -> list[_Candidate]:
    found: list[_Candidate] = []
    for path in state.context.inputs:
        for video in _videos_in(state, path) if path.is_dir() else [path]:
            state.context.cancel.check()
            _guarded(state, video, _admit, found, video)
    return found


def _videos_in(state: _Run, folder: Path) -> list[Path]:
    videos = []
    for entry in scan([folder], cancel=state.context.cancel):
        if entry.kind is MediaKind.VIDEO:
            videos.append(entry.path)
        elif entry.error is not None:
            state.failures.append(entry.error)
    return videos


def _admit(found: list[_Candidate], path: Path) -> None:
    sha256 = sha256_of(path)
    with open_media(path) as source:
        info = source.info
        if info.kind is not MediaKind.VIDEO:
            raise UnsupportedMediaError(
                f"is no video ({info.kind.value})", path=path, remedy="Give video files."
            )
        found.append(_Candidate(path, sha256, located(path).stat().st_size, info.duration_s or 0.0))


def _units(candidate: _Candidate) -> int:
    """Progress is counted in seconds of footage, at least one per video."""
    return max(1, round(candidate.duration_s))


def _look(
    state: _Run, candidate: _Candidate, number: int, outputs: Outputs, meter: ProgressMeter
) -> None:
    started = time.monotonic()
    done = 0

    def advance(time_s: float) -> None:
        nonlocal done
        reached = min(_units(candidate) - 1, int(time_s - first_s))
        if reached > done:
            meter.step(reached - done, message=candidate.path.name)
            done = reached

    try:
        with open_media(candidate.path) as source:
            footage = cast(Footage, source)
            times = footage.times()
            first_s = times[0]
            found = scan_footage(
                footage,
                state.settings,
                state.context.regions,
                advance=advance,
                cancel=state.context.cancel,
            )
            report = VideoReport(
                candidate.path, candidate.sha256, candidate.size_bytes, _facts(footage), found
            )
            report.scan_s = time.monotonic() - started
            report.spans = _span_reports(report, times, state.settings.gate.enter)
            illustrate(report, footage, number, outputs, state.tagger)
            report.warnings = _warnings(footage, report)
    finally:
        meter.step(_units(candidate) - done, message=candidate.path.name)
    report.elapsed_s = time.monotonic() - started
    state.videos.append(report)


def _span_reports(report: VideoReport, times: Sequence[float], enter: float) -> list[SpanReport]:
    from bisect import bisect_right

    return [
        SpanReport(
            span,
            number,
            # 0.5 at the threshold, towards 1 the more of the picture changes.
            score=span.strength / (span.strength + enter),
            peak_frame=max(0, bisect_right(times, span.peak_s + 1e-6) - 1),
        )
        for number, span in enumerate(report.scan.spans, 1)
    ]


def _facts(footage: Footage) -> dict[str, Any]:
    info, times = footage.info, footage.times()
    return {
        "width": info.width,
        "height": info.height,
        "codec": str(info.facts.get("codec", "")),
        "container": str(info.facts.get("format", "")),
        "rate": info.rate,
        "duration_s": info.duration_s,
        "frames_stated": info.facts.get("frames_stated"),
        "frames_present": len(times),
        "key_frames": len(footage.index.keyframes),
        "first_time_s": round(times[0], 6),
        "last_time_s": round(times[-1], 6),
        "rotation_deg": info.facts.get("rotation_deg", 0),
    }


def _warnings(footage: Footage, report: VideoReport) -> list[str]:
    warnings = list(footage.info.warnings)
    if report.scan.missing and not any("cannot be decoded" in w for w in warnings):
        scan_ = report.scan
        warnings.append(f"damaged: {scan_.missing} of {scan_.asked} frames cannot be decoded")
    return warnings


def _write(state: _Run, outputs: Outputs) -> tuple[Document, ...]:
    model = None
    if state.tagger is not None:
        model = {"model": state.tagger.model, "fingerprint": state.tagger.fingerprint}
    data = table(
        state.videos,
        state.failures,
        state.settings,
        state.context.regions,
        version=__version__,
        sensitivity=state.context.values["sensitivity"],
        model=model,
        complete=state.complete,
    )
    page = timeline(
        state.videos,
        state.failures,
        version=__version__,
        model=state.model,
        intended_use=plugin_info().intended_use,
        complete=state.complete,
    )
    outputs.write(outputs.table, data)
    outputs.write(outputs.timeline, page)
    sheets = [
        Document(outputs.folder / span.sheet, f"{video.path.name} event {span.number}", "picture")
        for video in state.videos
        for span in video.spans
        if span.sheet
    ]
    return (
        Document(outputs.timeline, "Timeline", "report"),
        Document(outputs.table, "Table", "table"),
        *sheets,
    )


def _result(state: _Run, documents: tuple[Document, ...]) -> WorkflowResult:
    events = sum(len(video.spans) for video in state.videos)
    footage_s = sum(video.duration_s for video in state.videos)
    moving_s = sum(video.moving_s for video in state.videos)
    elapsed_s = sum(video.elapsed_s for video in state.videos)
    summary = (
        f"{events} events in {len(state.videos)} videos: {moving_s:.0f} of {footage_s:.0f} s "
        f"to look at, found in {elapsed_s:.1f} s."
    )
    if not state.complete:
        summary = f"Stopped before the end. {summary}"
    return WorkflowResult(
        summary,
        findings=tuple(f for video in state.videos for f in video.findings(state.model)),
        documents=documents,
        columns=("video", "length s", "events", "moving s", "x real time", "warnings"),
        rows=tuple(
            (
                video.path.name,
                f"{video.duration_s:.1f}",
                str(len(video.spans)),
                f"{video.moving_s:.1f}",
                f"{video.speed:.0f}",
                "; ".join(video.warnings),
            )
            for video in state.videos
        ),
        failures=tuple(state.failures),
    )
