"""What a run came to."""

from __future__ import annotations

from dataclasses import dataclass, field

from vlmtool_core.records import ErrorInfo, Json


@dataclass(frozen=True, slots=True)
class RunReport:
    """Counts in frames. ok + empty + failed is the whole table, also what was there before.

    done : frames that this call ran; skipped : frames that an earlier call had finished
    failures : every failed frame of the table as (item, reason), in the order of the items
    run_id : the project's run, None on a bare folder
    """

    done: int = 0
    ok: int = 0
    empty: int = 0
    failed: int = 0
    skipped: int = 0
    cancelled: bool = False
    failures: list[tuple[str, ErrorInfo]] = field(default_factory=list)
    run_id: int | None = None

    def to_json(self) -> dict[str, Json]:
        return {
            "done": self.done,
            "ok": self.ok,
            "empty": self.empty,
            "failed": self.failed,
            "skipped": self.skipped,
            "cancelled": self.cancelled,
            "run_id": self.run_id,
            "failures": [
                {"item": item, "code": e.code, "message": e.message, "remedy": e.remedy}
                for item, e in self.failures
            ],
        }
