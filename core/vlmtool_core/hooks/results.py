"""What a workflow gave, as JSON: for `--json` and for the engine host."""

from __future__ import annotations

import dataclasses
from typing import Any

from vlmtool_core.hooks.workflow import Workflow, WorkflowResult
from vlmtool_core.records import Finding


def workflow_result_to_json(workflow: Workflow, result: WorkflowResult) -> dict[str, Any]:
    """The result as what json.dumps takes; also what the engine host sends."""
    return {
        "workflow": workflow.key,
        "version": workflow.version,
        "summary": result.summary,
        "findings": [finding_to_json(finding) for finding in result.findings],
        "documents": [
            {"path": str(d.path), "title": d.title, "kind": d.kind} for d in result.documents
        ],
        "columns": list(result.columns),
        "rows": [list(row) for row in result.rows],
        "failures": [dataclasses.asdict(failure) for failure in result.failures],
    }


def finding_to_json(finding: Finding) -> dict[str, Any]:
    """One finding; times in seconds of file time, the box in source pixels."""
    box = finding.box
    return {
        "id": finding.id,
        "item_id": finding.item_id,
        "kind": finding.kind,
        "title": finding.title,
        "path": finding.path,
        "label": finding.label,
        "score": finding.score,
        "frame": finding.frame,
        "time_span_s": None if finding.time_span_s is None else list(finding.time_span_s),
        "box": None if box is None else {"bbox": list(box.xyxy), "label": box.label},
        "status": finding.status.value,
        "model": finding.model,
        "data": dict(finding.data),
    }
