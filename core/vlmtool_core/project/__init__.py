"""The facade that the window, the command line and plugins drive."""

from vlmtool_core.project.facade import Project
from vlmtool_core.project.records import AddReport, ProjectInfo
from vlmtool_core.store.records import (
    AnnotationRecord,
    HistoryEntry,
    ItemQuery,
    ItemRecord,
    PredictionRecord,
    RunRecord,
)

__all__ = [
    "AddReport",
    "AnnotationRecord",
    "HistoryEntry",
    "ItemQuery",
    "ItemRecord",
    "PredictionRecord",
    "Project",
    "ProjectInfo",
    "RunRecord",
]
