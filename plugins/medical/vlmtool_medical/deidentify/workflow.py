"""The workflow `medical deidentify IN OUT`: clean, write, prove, report; all or nothing."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlmtool_core.api import (
    Document,
    ErrorInfo,
    Finding,
    MediaError,
    MediaKind,
    MediaNotFoundError,
    Parameter,
    ParameterKind,
    ProgressMeter,
    StorageError,
    UsageError,
    Workflow,
    WorkflowContext,
    WorkflowResult,
    WorkflowSample,
)
from vlmtool_medical.deidentify.cleaning import DUMMY, Cleaner
from vlmtool_medical.deidentify.files import (
    NotDicomError,
    files_under,
    pixel_digest,
    read_object,
    write_object,
)
from vlmtool_medical.deidentify.identity import Identity, load_identity
from vlmtool_medical.deidentify.profile import load_profile
from vlmtool_medical.deidentify.proof import Leak, search, terms_of
from vlmtool_medical.deidentify.report import ReportWriter
from vlmtool_medical.deidentify.review import WORKFLOW, findings_for

log = logging.getLogger(__name__)

IMAGES, REPORT = "images", "report"
SAMPLE_FILES = ("CT_small.dcm", "MR_small.dcm", "examples_ybr_color.dcm")


@dataclass
class Run:
    """What one run has met so far. names : of patients, searched for in every file"""

    written: dict[str, dict[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    pseudonyms: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    failures: list[ErrorInfo] = field(default_factory=list)
    foreign: list[Path] = field(default_factory=list)
    leaks: list[Leak] = field(default_factory=list)


def deidentify_workflow() -> Workflow:
    return Workflow(
        id="deidentify",
        domain="medical",
        title="De-identify DICOM",
        summary="Copy DICOM pictures without what identifies the patient (PS3.15 basic profile), "
        "report every change, and search the copies for every removed value.",
        accepts=(MediaKind.DICOM,),
        run=run,
        inputs_name="IN",
        many_inputs=False,
        sample=_sample,
        parameters=(
            Parameter(
                "output",
                ParameterKind.OUTPUT_FOLDER,
                "Output folder",
                "New folder for the cleaned pictures (images/) and the report (report/)",
                required=True,
                positional=True,
            ),
            Parameter(
                "keep_characteristics",
                ParameterKind.SWITCH,
                "Keep patient characteristics",
                "Keep sex, age (at most 90 years), size, weight, ethnic group, smoking and "
                "pregnancy status (option 113108)",
                default=False,
            ),
            Parameter(
                "key_file",
                ParameterKind.OUTPUT_FILE,
                "Key file",
                "Keep the secret here, outside the output folder, so that later runs give the "
                "same UIDs, pseudonyms and date shifts; whoever has it can link the copies to "
                "known patients",
            ),
        ),
    )


def _sample(folder: Path) -> WorkflowSample:
    """A CT and an MR slice and an ultrasound clip that come with pydicom."""
    from pydicom.data import get_testdata_file

    source = folder / "dicom"
    source.mkdir(parents=True, exist_ok=True)
    for name in SAMPLE_FILES:
        path = get_testdata_file(name, download=False)
        if path is not None:
            shutil.copy(str(path), source / name)
    return WorkflowSample((source,), {"output": folder / "deidentified"})


def run(context: WorkflowContext) -> WorkflowResult:
    """De-identify a file or folder into a new folder.

    Raises
    ------
    UsageError : the folders lie in each other, or the output is already there
    MediaNotFoundError : there is no input
    StorageError : the output cannot be written
    CancelledError : nothing is left behind
    """
    source = context.inputs[0].absolute()
    target = Path(context.values.get("output") or context.output_dir).absolute()
    key_file = context.values.get("key_file")
    check_places(source, target, Path(key_file).absolute() if key_file else None)
    identity = load_identity(Path(key_file) if key_file else None)
    partial = target.parent / f".{target.name}.partial-{os.getpid()}"
    try:
        state = _run_into(partial, source, context, identity)
        if target.is_dir():
            target.rmdir()
        partial.rename(target)
    except OSError as error:
        raise StorageError(error.strerror or str(error), path=target) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _result(state, target)


def check_places(source: Path, target: Path, key_file: Path | None) -> None:
    """Refuse places that would overwrite or mix originals and copies.

    Raises
    ------
    UsageError, MediaNotFoundError
    """
    if not source.exists():
        raise MediaNotFoundError("no such file or folder", path=source)
    real_source, real_target = source.resolve(), target.resolve()
    if real_target == real_source or real_target.is_relative_to(real_source):
        raise UsageError(
            "the output folder is, or lies inside, the input",
            path=target,
            field="output",
            remedy="Choose a folder elsewhere: originals are never touched.",
        )
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UsageError(
            "the output folder is already there",
            path=target,
            field="output",
            remedy="Choose a new folder; nothing is overwritten.",
        )
    if key_file is not None and key_file.resolve().is_relative_to(real_target):
        raise UsageError(
            "the key file would lie inside the output folder",
            path=key_file,
            field="key-file",
            remedy="Keep it elsewhere: it links the copies to the patients.",
        )


def _run_into(folder: Path, source: Path, context: WorkflowContext, identity: Identity) -> Run:
    state = Run()
    cleaner = Cleaner(
        load_profile(),
        identity,
        keep_characteristics=bool(context.values.get("keep_characteristics")),
    )
    files = files_under(source)
    meter = ProgressMeter(context.progress, 2 * len(files))
    with ReportWriter(folder / REPORT, identity) as report:
        for file in files:
            context.cancel.check()
            _clean_file(file, folder, cleaner, identity, report, state)
            meter.step(message="cleaning")
        for name in list(state.written):
            context.cancel.check()
            _prove(folder, name, state)
            meter.step(message="proving")
        meter.done = 2 * len(files)
        meter.flush()
        gone = {leak.file for leak in state.leaks}
        state.findings = [f for f in state.findings if f.path not in gone]
        report.finish(_facts(state, context), [_as_row(finding) for finding in state.findings])
    return state


def _clean_file(
    file: Path,
    folder: Path,
    cleaner: Cleaner,
    identity: Identity,
    report: ReportWriter,
    state: Run,
) -> None:
    try:
        dataset = read_object(file)
        patient = _patient_key(dataset)
        _remember_patient(dataset, state)
        name = _new_name(dataset, patient, identity, state)
        pixels = pixel_digest(dataset)
        findings = findings_for(dataset, name)
        cleaned = cleaner.clean(dataset, patient)
        write_object(dataset, folder / name)
    except NotDicomError:
        state.foreign.append(file)
        return
    except MediaError as error:
        if error.path is None:
            error.path = str(file)
        state.failures.append(ErrorInfo.from_exception(error))
        return
    state.written[name] = {**terms_of(cleaned.changes, cleaned.kept), "": pixels}
    state.findings += findings
    report.totals.add(cleaned.changes)
    report.add(name, cleaned.changes, pixels)


def _patient_key(dataset: Any) -> str:
    """What makes two files one patient's: the number, else name and birth date, else the study."""
    number = str(dataset.get("PatientID", "") or "").strip()
    if number:
        return f"id:{number}"
    person = f"{dataset.get('PatientName', '')}|{dataset.get('PatientBirthDate', '')}"
    return f"name:{person}" if person != "|" else f"study:{dataset.get('StudyInstanceUID', '')}"


def _remember_patient(dataset: Any, state: Run) -> None:
    for keyword in ("PatientID", "PatientName"):
        value = str(dataset.get(keyword, "") or "").strip()
        if len(value) > 3 and value.upper() != DUMMY:
            state.names.setdefault(value, keyword)


def _new_name(dataset: Any, patient: str, identity: Identity, state: Run) -> str:
    """`images/<pseudonym>/<series>/<number>-<instance>.dcm`, made of stand-ins only."""
    pseudonym = identity.pseudonym(patient)
    state.pseudonyms.add(pseudonym)
    series = identity.name("series", str(dataset.get("SeriesInstanceUID", "")))
    instance = identity.name("instance", str(dataset.get("SOPInstanceUID", "")))
    try:
        number = int(dataset.get("InstanceNumber", 0) or 0)
    except (TypeError, ValueError):
        number = 0
    stem = f"{IMAGES}/{pseudonym}/{series}/{number:05d}-{instance}"
    name, copy = f"{stem}.dcm", 1
    while name in state.written:
        copy += 1
        name = f"{stem}-{copy}.dcm"
    return name


def _prove(folder: Path, name: str, state: Run) -> None:
    """Search a written file; what still holds a removed value is deleted and reported."""
    import pydicom

    terms = dict(state.written[name])
    pixels = terms.pop("")
    path = folder / name
    for value, keyword in state.names.items():
        terms.setdefault(value, keyword)
    leaks = search(path, name, terms, state.pseudonyms)
    changed = pixel_digest(pydicom.dcmread(path)) != pixels
    if not leaks and not changed:
        return
    path.unlink()
    state.leaks += leaks or [Leak(name, "pixel data", "PixelData")]
    places = "; ".join(sorted({f"{leak.removed_from} in {leak.place}" for leak in leaks}))
    log.error("proof failed for %s: %s", name, places or "pixel data changed")
    state.failures.append(
        ErrorInfo(
            "proof-failed",
            f"a removed value is still there ({places})" if leaks else "the pixel data changed",
            "The copy was deleted. Look at the attributes named, clean the original by hand, "
            "and run again.",
            name,
        )
    )


def _facts(state: Run, context: WorkflowContext) -> dict[str, Any]:
    return {
        "standard": load_profile().standard,
        "intended use": "Research. A person checks the result before it is given away.",
        "files written": len(state.written) - len({leak.file for leak in state.leaks}),
        "files that are not DICOM, not copied": len(state.foreign),
        "files that failed, not copied": len(state.failures),
        "proof": "failed" if state.leaks else "passed",
        "values searched for": sum(len(terms) - 1 for terms in state.written.values()),
        "patient characteristics": (
            "kept" if context.values.get("keep_characteristics") else "removed"
        ),
        "pixel data": "kept byte for byte; text and faces in them are not removed",
    }


def _as_row(finding: Finding) -> dict[str, Any]:
    return {"kind": finding.kind, "file": finding.path, "reason": finding.data["reason"]}


def _result(state: Run, target: Path) -> WorkflowResult:
    leaked = {leak.file for leak in state.leaks}
    written = len(state.written) - len(leaked)
    look = len({finding.path for finding in state.findings})
    proof = f"FAILED for {len(leaked)} files" if leaked else "passed"
    summary = (
        f"{written} files de-identified, {len(state.foreign)} not DICOM (not copied), "
        f"{len(state.failures)} failed. Proof {proof}. {look} pictures to look at."
    )
    reports = target / REPORT
    foreign = [
        Finding("not-dicom", "Not DICOM: not copied", str(path), model=WORKFLOW)
        for path in state.foreign
    ]
    findings = [
        Finding(f.kind, f.title, str(target / f.path), model=f.model, data=f.data)
        for f in state.findings
    ]
    rows = [("de-identified", str(written)), ("failed", str(len(state.failures)))]
    rows += [("not DICOM", str(path)) for path in state.foreign]
    return WorkflowResult(
        summary,
        findings=(*findings, *foreign),
        documents=(
            Document(reports / "report.html", "Report", "report"),
            Document(reports / "report.csv", "Every change", "table"),
            Document(reports / "report.json", "Every change, for programs", "data"),
        ),
        columns=("What", "Files"),
        rows=tuple(rows),
        failures=tuple(state.failures),
    )
