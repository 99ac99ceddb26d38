"""Where a run's items are worked on: in this process, in several, or on several machines."""

from vlmtool_core.batch.executors.base import Executor, Work
from vlmtool_core.batch.executors.choosing import executor_for
from vlmtool_core.batch.executors.local import LocalExecutor

__all__ = ["Executor", "LocalExecutor", "Work", "executor_for"]
