"""`education grade`: all sheets, one after the other; a bad one is listed and the rest goes on."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.api import (
    Document,
    ErrorInfo,
    Finding,
    FormatError,
    MediaKind,
    ProgressMeter,
    StorageError,
    UsageError,
    VlmtoolError,
    WorkflowContext,
    WorkflowResult,
    open_media,
    scan,
    sha256_of,
)
from vlmtool_education import marks
from vlmtool_education.annotate import write_annotated
from vlmtool_education.grading import bubble_finding, grade
from vlmtool_education.keys import Key, read_key
from vlmtool_education.marks import SheetResult, sheet_name
from vlmtool_education.reading import Thresholds
from vlmtool_education.sheets import SheetReader
from vlmtool_education.template import Template, read_template

VERSION = "0.1.0"
METHOD = f"vlmtool-education grade {VERSION}"
MAXIMUM_PAGES = 2000
IDENTITY = re.compile(r"roll|student|candidate|matric|(^|_)id($|_|\d)", re.IGNORECASE)


@dataclass(frozen=True)
class Job:
    """What a run needs to know of its call."""

    template: Template
    key: Key | None
    reader: SheetReader
    review_blank: bool
    pictures: Path | None


@dataclass(frozen=True)
class Found:
    """A file to read, or the reason why it cannot be one."""

    name: str
    path: Path
    error: ErrorInfo | None = None


def run(context: WorkflowContext) -> WorkflowResult:
    """Grade `context.inputs`; see `workflow.PARAMETERS` for the values.

    Raises
    ------
    FormatError : template, key or marker picture cannot be used.
    UsageError : the thresholds contradict each other, or there is no picture at all.
    StorageError : the table cannot be written.
    """
    job, out = _job(context)
    found = _find(context, job)
    if not found:
        raise UsageError("there are no pictures in what was given", field="SHEETS")
    meter = ProgressMeter(context.progress, len(found))
    results: list[SheetResult] = []
    workers = max(1, min(4, os.cpu_count() or 1))
    with ThreadPoolExecutor(workers, thread_name_prefix="grade") as pool:
        futures = [pool.submit(_grade_file, job, item, context) for item in found]
        try:
            for item, future in zip(found, futures, strict=True):
                sheets = future.result()
                results += sheets
                meter.step(failed=any(s.error is not None for s in sheets), message=item.name)
        finally:
            for future in futures:
                future.cancel()
    results = _flag_duplicates(results)
    marks.write_marks(out, results, job.template, job.key, METHOD)
    statistics = out.with_name(f"{out.stem}-statistics.json")
    marks.write_statistics(statistics, results, job.key, METHOD)
    return _result(job, results, out, statistics)


def _job(context: WorkflowContext) -> tuple[Job, Path]:
    values = context.values
    template = read_template(values["template"])
    key = read_key(values["key"]) if values.get("key") else None
    if key is not None:
        key.check_against(name for name, _ in template.outputs)
    faint, mark, sure = (values[name] / 100 for name in ("faint", "mark", "sure"))
    if not faint < mark < sure:
        raise UsageError("expected faint < mark < sure", field="mark")
    reader = SheetReader(template, Thresholds(faint, mark, sure), minimum_fit=values["minimum_fit"])
    out: Path = values.get("out") or context.output_dir / "marks.csv"
    pictures: Path | None = values.get("review_dir") or out.with_name(f"{out.stem}-sheets")
    if not values["pictures"]:
        pictures = None
    return Job(template, key, reader, values["review_blank"], pictures), out


def _find(context: WorkflowContext, job: Job) -> list[Found]:
    """Every picture given, less the template's own marker and what an earlier run drew."""
    own = {job.template.marker.path.resolve()} if job.template.marker else set()
    drawn = job.pictures.resolve() if job.pictures else None
    found, seen = [], set()
    for root in context.inputs:
        for item in scan([root], cancel=context.cancel):
            path = item.path.resolve()
            if path in own or path in seen or (drawn is not None and drawn in path.parents):
                continue
            seen.add(path)
            error = item.error
            if error is None and item.kind is not MediaKind.IMAGE:
                what = ErrorInfo("media-unsupported", "is no picture", "Give pictures of sheets.")
                error = dataclasses.replace(what, path=str(item.path))
            found.append(Found(item.name, item.path, error))
    counts = Counter(item.name for item in found)
    return [
        item if counts[item.name] == 1 else dataclasses.replace(item, name=item.path.as_posix())
        for item in found
    ]


def _grade_file(job: Job, item: Found, context: WorkflowContext) -> list[SheetResult]:
    context.cancel.check()
    sha256 = ""
    try:
        if item.error is None or item.path.is_file():
            sha256 = sha256_of(item.path)
        if item.error is None:
            return list(_grade_pages(job, item, sha256, context))
        error = item.error
    except (VlmtoolError, OSError) as problem:
        context.cancel.check()
        if isinstance(problem, StorageError | FormatError):
            raise
        error = ErrorInfo.from_exception(problem)
    return [SheetResult(item.name, item.path, 0, sha256, error=_located(error, item.path))]


def _grade_pages(
    job: Job, item: Found, sha256: str, context: WorkflowContext
) -> Iterator[SheetResult]:
    with open_media(item.path) as source:
        count = min(source.info.frame_count or 1, MAXIMUM_PAGES)
        for index in range(count):
            context.cancel.check()
            base = SheetResult(item.name, item.path, index, sha256)
            try:
                pixels = source.frame(index).pixels
                reading = job.reader.read(pixels)
            except StorageError:
                raise
            except VlmtoolError as problem:
                context.cancel.check()
                error = _located(ErrorInfo.from_exception(problem), item.path)
                yield dataclasses.replace(base, error=error)
                continue
            graded = grade(reading, job.template, job.key, review_blank=job.review_blank)
            result = dataclasses.replace(base, reading=reading, graded=graded, notes=reading.doubts)
            if job.pictures is not None:
                target = picture_path(job.pictures, result)
                write_annotated(target, pixels, reading, graded, job.key)
            yield result


def _located(error: ErrorInfo, path: Path) -> ErrorInfo:
    return error if error.path else dataclasses.replace(error, path=str(path))


def picture_path(folder: Path, result: SheetResult) -> Path:
    """A file name that no other sheet has, also when names differ only in folder or ending."""
    unique = f"{result.path.resolve()}#{result.frame}".encode("utf-8", "surrogateescape")
    safe = re.sub(r"[^\w.-]+", "_", sheet_name(result))[-80:]
    return folder / f"{safe}-{hashlib.sha256(unique).hexdigest()[:8]}.jpg"


def _flag_duplicates(results: Sequence[SheetResult]) -> list[SheetResult]:
    """Notes on equal files and on identities that stand on several sheets."""
    notes: list[list[str]] = [list(result.notes) for result in results]
    files: dict[tuple[str, int], list[int]] = {}
    people: dict[tuple[str, ...], list[int]] = {}
    for index, result in enumerate(results):
        if result.sha256:
            files.setdefault((result.sha256, result.frame), []).append(index)
        identity = _identity(result)
        if identity:
            people.setdefault(identity, []).append(index)
    for same, what in [
        *((group, "the same file as") for group in files.values()),
        *((group, f"{' '.join(who)} stands also on") for who, group in people.items()),
    ]:
        for index in same if len(same) > 1 else ():
            others = [sheet_name(results[other]) for other in same if other != index]
            notes[index].append(f"{what} {', '.join(others[:3])}")
    return [
        dataclasses.replace(result, notes=tuple(note))
        for result, note in zip(results, notes, strict=True)
    ]


def _identity(result: SheetResult) -> tuple[str, ...]:
    if result.graded is None:
        return ()
    return tuple(
        f"{answer.name} {answer.text}"
        for answer in result.graded.answers
        if answer.verdict is None and answer.text and IDENTITY.search(answer.name)
    )


def _findings(job: Job, result: SheetResult) -> Iterator[Finding]:
    path = str(result.path)
    # Failed sheets and duplicates are decisions, too: they stand in the same queue.
    reasons = [*result.notes, *([result.error.message] if result.error else [])]
    for reason in reasons:
        yield Finding(
            kind="sheet",
            title=reason,
            path=path,
            frame=result.frame,
            label="failed" if result.error else "check",
            model=METHOD,
            data={"sha256": result.sha256},
        )
    if result.graded is None or result.reading is None:
        return
    for answer in result.graded.to_review:
        yield bubble_finding(answer, result.reading, job.key, path, result.frame, METHOD)


def _result(job: Job, results: list[SheetResult], out: Path, statistics: Path) -> WorkflowResult:
    findings = tuple(finding for result in results for finding in _findings(job, result))
    failures = tuple(result.error for result in results if result.error is not None)
    to_check = sum(len(r.graded.to_review) for r in results if r.graded is not None)
    parts = [
        f"{len(results) - len(failures)} of {len(results)} sheets read",
        f"{to_check} answers and {len(findings) - to_check} sheets to review",
    ]
    warnings = [*job.template.warnings, *(job.key.warnings if job.key else ())]
    if job.template.turns_onto_itself():
        warnings.append(
            "the template looks the same upside down, so a sheet on its head cannot be told"
        )
    summary = "; ".join(parts) + "".join(f". Note: {warning}" for warning in warnings)
    documents = [
        Document(out, "Marks (suggested; a person decides)", "table"),
        Document(statistics, "Statistics per question", "json"),
    ]
    if job.pictures is not None:
        documents += [
            Document(picture_path(job.pictures, r), f"Sheet {sheet_name(r)}", "picture")
            for r in results
            if r.graded is not None
        ]
    columns = ("sheet", "status", "total", "max", "to review", "fit")
    rows = tuple(_table_row(job, result) for result in results)
    return WorkflowResult(summary, findings, tuple(documents), columns, rows, failures)


def _table_row(job: Job, result: SheetResult) -> tuple[str, ...]:
    if result.graded is None or result.reading is None:
        return (sheet_name(result), result.status, "", "", "the whole sheet", "")
    total = "" if result.graded.total is None else marks.plain(result.graded.total)
    maximum = marks.plain(job.key.maximum) if job.key else ""
    review = ", ".join(answer.name for answer in result.graded.to_review) or "-"
    fit = f"{result.reading.fit.score:.2f}"
    return (sheet_name(result), result.status, total, maximum, review, fit)
