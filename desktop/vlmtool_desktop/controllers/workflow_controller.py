"""The workflows menu, their forms, regions drawn in the viewer, and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject
from PySide6.QtWidgets import QMenu

from vlmtool_core.records import Region
from vlmtool_desktop.canvas.tools import RegionTool
from vlmtool_desktop.dialogs.workflow_dialog import WorkflowDialog, WorkflowResultDialog

if TYPE_CHECKING:
    from vlmtool_core.hooks.workflow import RegionSpec, Workflow
    from vlmtool_desktop.main_window import MainWindow


class WorkflowController(QObject):
    """One form at a time; drawing a region hides the form until the region is drawn."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self._region: RegionSpec | None = None
        self.dialog: WorkflowDialog | None = None
        self.menu = QMenu(self.tr("&Workflows"), window)
        bar = window.menuBar()
        bar.insertMenu(bar.actions()[-1], self.menu)
        window.engine.installed_changed.connect(self._fill_menu)
        window.engine.workflow_done.connect(self._show_result)
        window.viewer.canvas.region_drawn.connect(self._region_drawn)
        window.viewer.region_cancelled.connect(self._end_region)
        self._fill_menu()

    def _fill_menu(self) -> None:
        self.menu.clear()
        for workflow in self._window.engine.workflows:
            title = f"{workflow.domain.capitalize()}: {workflow.title}"
            action = self.menu.addAction(f"{title}…")
            action.setToolTip(workflow.summary)
            action.triggered.connect(lambda _checked=False, one=workflow: self.open(one))
        if self.menu.isEmpty():
            self.menu.addAction(self.tr("No plugin with a workflow is installed")).setEnabled(False)

    def open(self, workflow: Workflow) -> WorkflowDialog:
        """Show the form, with the current item as its first input."""
        if self.dialog is not None:
            self.dialog.close()
        inputs = self._window.commands.current_input(workflow.accepts)
        dialog = WorkflowDialog(workflow, inputs, self._window)
        dialog.help_requested.connect(self._window.commands.show_help)
        dialog.run_requested.connect(
            lambda inputs, values, regions: self._run(workflow, inputs, values, regions)
        )
        dialog.region_wanted.connect(self._ask_region)
        self.dialog = dialog
        dialog.show()
        return dialog

    def _run(self, workflow: Workflow, inputs: Any, values: Any, regions: Any) -> None:
        self._window.engine.run_workflow(workflow, inputs, values, regions)
        self._window.show_tab(self._window.jobs)

    # Regions ---------------------------------------------------------------------------------

    def _ask_region(self, spec: RegionSpec) -> None:
        if self.dialog is None or not self._window.viewer.canvas.has_picture:
            self._window.status.say(self.tr("Open the picture or video in the viewer first."))
            return
        self._region = spec
        self.dialog.hide()
        ways = {
            "box": self.tr("drag from corner to corner"),
            "line": self.tr("click both ends"),
            "polygon": self.tr("click the corners, then press Enter or double-click"),
        }
        hint = f"{spec.help} – {ways[spec.shape]}."
        self._window.viewer.ask_region(RegionTool(spec.shape), hint)

    def _region_drawn(self, points: tuple[tuple[float, float], ...]) -> None:
        if self._region is not None and self.dialog is not None:
            self.dialog.add_region(Region(self._region.role, self._region.shape, points))
        self._end_region()

    def _end_region(self) -> None:
        self._region = None
        self._window.viewer.end_region()
        if self.dialog is not None:
            self.dialog.show()

    # Results ---------------------------------------------------------------------------------

    def _show_result(self, title: str, result: Any) -> None:
        WorkflowResultDialog(title, result, self._window).show()
        self._window.review.reload()
