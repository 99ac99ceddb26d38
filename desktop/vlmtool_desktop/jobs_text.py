"""How far a job is, in words."""

from __future__ import annotations

from PySide6.QtCore import QCoreApplication

from vlmtool_core.jobs import Progress
from vlmtool_desktop.discretion import discretion


def duration(seconds: float) -> str:
    """`< 1 s`, `45 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 1:
        return "< 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def progress_text(progress: Progress) -> str:
    """Count, rate, time left and failures, as far as they are known."""
    if not progress.done and not progress.elapsed_s:
        return discretion().value(progress.message) or QCoreApplication.translate("jobs", "waiting")
    total = f" / {progress.total:,}" if progress.total else ""
    parts = [f"{progress.done:,}{total}"]
    if progress.rate:
        parts.append(f"{progress.rate:.1f}/s")
    if progress.remaining_s is not None and progress.remaining_s >= 1:
        parts.append(f"{duration(progress.remaining_s)} left")
    if progress.failed:
        parts.append(f"{progress.failed} failed")
    if message := discretion().value(progress.message):
        parts.append(message)
    return " · ".join(parts)
