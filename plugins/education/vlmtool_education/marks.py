"""The table of marks and the statistics per question, as files."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vlmtool_core.api import ErrorInfo, write_atomically
from vlmtool_education.grading import GradedSheet
from vlmtool_education.keys import Key
from vlmtool_education.sheets import SheetReading
from vlmtool_education.template import Template

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class SheetResult:
    """One picture: graded, or failed with its reason.

    name : path relative to what was given; frame : page of a file of several
    notes : what a person must look at beside the answers (a duplicate, a lost marker)
    """

    name: str
    path: Path
    frame: int
    sha256: str
    reading: SheetReading | None = None
    graded: GradedSheet | None = None
    error: ErrorInfo | None = None
    notes: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        if self.graded is None:
            return "failed"
        open_ = self.graded.to_review or self.notes
        return "provisional" if open_ else "read"


def write_marks(
    path: Path, results: Sequence[SheetResult], template: Template, key: Key | None, method: str
) -> None:
    """CSV with one row per sheet, UTF-8 with BOM, failed sheets included.

    A column per answer, with a key also its points; `total` is provisional while `review` names
    questions. Cells that a spreadsheet would run as a formula get a leading apostrophe.
    """
    names = [name for name, _ in template.outputs]
    scored = [name for name in names if key is not None and name in key.questions]
    header = ["file", "sha256", *names, *(f"{name} points" for name in scored)]
    header += ["total", "max", "status", "review", "confidence", "placed_by", "fit", "residual_px"]
    header += ["method", "error"]
    text = io.StringIO()
    writer = csv.DictWriter(text, header, restval="", lineterminator="\r\n")
    writer.writeheader()
    for result in results:
        row = _row(result, key) | {"method": method}
        writer.writerow({column: guarded(value) for column, value in row.items()})
    write_atomically(path, text.getvalue().encode("utf-8-sig"))


def _row(result: SheetResult, key: Key | None) -> dict[str, str]:
    row = {"file": sheet_name(result), "sha256": result.sha256, "status": result.status}
    row["review"] = "; ".join(result.notes)
    if result.error is not None:
        row["error"] = result.error.message
        row["review"] = "; ".join(("the whole sheet", *result.notes))
    if result.graded is None or result.reading is None:
        return row
    for answer in result.graded.answers:
        row[answer.name] = answer.text
        if answer.verdict is not None:
            row[f"{answer.name} points"] = plain(answer.verdict.points)
    reviews = [f"{a.name} ({a.state.value})" for a in result.graded.to_review]
    row["review"] = "; ".join([*reviews, *result.notes])
    if key is not None and result.graded.total is not None:
        row["total"], row["max"] = plain(result.graded.total), plain(key.maximum)
    row["confidence"] = f"{min(a.confidence for a in result.graded.answers):.2f}"
    row["placed_by"] = result.reading.placement.method
    row["fit"] = f"{result.reading.fit.score:.2f}"
    row["residual_px"] = f"{result.reading.fit.residual:.1f}"
    return row


def sheet_name(result: SheetResult) -> str:
    return f"{result.name}#{result.frame + 1}" if result.frame else result.name


def guarded(value: str) -> str:
    """The text so that no spreadsheet takes it for a formula; numbers stay numbers."""
    if not value.startswith(FORMULA_STARTS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def plain(points: Fraction) -> str:
    """At most four decimals, none that are not needed."""
    text = f"{float(points):.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def write_statistics(
    path: Path, results: Sequence[SheetResult], key: Key | None, method: str
) -> None:
    """JSON: per question how often each answer was read, how many were right, and how well the
    question goes with the rest of the paper (point-biserial correlation, null when undefined)."""
    graded = [r.graded for r in results if r.graded is not None]
    columns = [answer.name for answer in graded[0].answers] if graded else []
    questions = {}
    for index, name in enumerate(columns):
        answers = [g.answers[index] for g in graded]
        entry: dict[str, object] = {
            "answers": dict(sorted(Counter(a.text or "blank" for a in answers).items())),
            "to_review": sum(bool(a.review) for a in answers),
        }
        if key is not None and name in key.questions:
            right = [a.verdict is not None and a.verdict.outcome == "correct" for a in answers]
            rest = [
                float((g.total or 0) - (a.verdict.points if a.verdict else 0))
                for g, a in zip(graded, answers, strict=True)
            ]
            entry["correct"] = sum(right)
            entry["share_correct"] = round(sum(right) / len(right), 4)
            entry["discrimination"] = _correlation([float(r) for r in right], rest)
        questions[name] = entry
    document = {
        "method": method,
        "sheets": len(results),
        "failed": sum(r.graded is None for r in results),
        "provisional": any(r.status != "read" for r in results),
        "questions": questions,
    }
    data = json.dumps(document, ensure_ascii=False, indent=2)
    write_atomically(path, data.encode())


def _correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    import numpy as np

    if len(first) < 3 or len(set(first)) < 2 or len(set(second)) < 2:
        return None
    return round(float(np.corrcoef(first, second)[0, 1]), 4)
