"""Run a model over many items: decoded ahead, in batches, and resumable after a kill."""

from vlmtool_core.batch.ledger import Finished, FolderLedger, Ledger
from vlmtool_core.batch.project_ledger import ProjectLedger
from vlmtool_core.batch.report import RunReport
from vlmtool_core.batch.runner import run_items
from vlmtool_core.batch.spec import RunSpec

__all__ = [
    "Finished",
    "FolderLedger",
    "Ledger",
    "ProjectLedger",
    "RunReport",
    "RunSpec",
    "run_items",
]
