"""What the engine host is asked for: models, runs, training, workflows, and the starter."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject, Signal

from vlmtool_core.records import ErrorInfo, Region
from vlmtool_desktop.bridge import Bridge, as_progress
from vlmtool_desktop.installed import Installed, packs_from_json, read_plugins
from vlmtool_desktop.job_list import Job
from vlmtool_desktop.session import Session

if TYPE_CHECKING:
    from vlmtool_core.hooks.workflow import Workflow
    from vlmtool_core.project import Project
    from vlmtool_core.training.records import ModelVersion
    from vlmtool_desktop.dialogs.run_dialog import RunRequest

# How often the window reads results again while a run is under way.
REFRESH_S = 1.5


class EngineController(QObject):
    """Starts jobs for the open project; results that belong to another project are only listed."""

    installed_changed = Signal()
    results_changed = Signal()
    said = Signal(str)
    train_progressed = Signal(object, object)
    train_done = Signal(object)
    train_failed = Signal(object)
    versions_read = Signal(object)
    workflow_done = Signal(str, object)

    def __init__(self, session: Session, bridge: Bridge, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._bridge = bridge
        self._refreshed_at = 0.0
        self.installed = Installed()
        self.versions: tuple[ModelVersion, ...] = ()
        self.workflows: tuple[Workflow, ...] = ()
        self.training: Job | None = None
        session.project_changed.connect(self.read_versions)

    # What is installed -----------------------------------------------------------------------

    def look(self) -> None:
        """Ask which packs, plugins and device there are."""

        def models(value: Any) -> None:
            packs, device = packs_from_json(value), _device_text(value)
            self.installed = replace(self.installed, packs=packs, device=device)
            self.installed_changed.emit()

        self._bridge.request(
            "models", {}, title=self.tr("Models"), done=models, quiet=True, topic="models"
        )
        self._bridge.thumbnail(read_plugins, self._take_plugins)
        self._bridge.thumbnail(_read_workflows, self._take_workflows)

    def _take_plugins(self, plugins: Any) -> None:
        self.installed = replace(self.installed, plugins=plugins)
        self.installed_changed.emit()

    def _take_workflows(self, workflows: tuple[Workflow, ...]) -> None:
        self.workflows = workflows
        self.installed_changed.emit()

    def pull_starter(self) -> None:
        """Bring the starter packs."""
        self._bridge.request(
            "pull",
            {"ids": ["starter"]},
            title=self.tr("Get the starter models"),
            done=lambda _value: self.look(),
        )

    # Running ---------------------------------------------------------------------------------

    def _root(self) -> str:
        return str(self._session.project.root) if self._session.project else ""

    def _is_open(self, root: str) -> bool:
        return bool(root) and self._root() == root

    def _changed(self, root: str) -> None:
        if self._is_open(root):
            self.results_changed.emit()

    def run(self, request: RunRequest) -> Job:
        """Run a model over items; what it finds appears while it runs."""
        root = self._root()
        params: dict[str, Any] = {"project": root, "spec": request.spec.to_json()}
        if request.item_ids is not None:
            params["item_ids"] = list(request.item_ids)
        params["retry_failed"] = request.retry_failed

        def progressed(_value: Any) -> None:
            if time.monotonic() - self._refreshed_at > REFRESH_S:
                self._refreshed_at = time.monotonic()
                self._changed(root)

        def done(result: Any) -> None:
            self._changed(root)
            self.said.emit(self._run_text(result))

        def failed(error: ErrorInfo) -> None:
            self._changed(root)
            if error.code != "cancelled":
                self._bridge.failed.emit(error)

        count = 1 if request.item_ids and len(request.item_ids) == 1 else None
        where = self.tr("one item") if count else self.tr("many items")
        title = self.tr("{task}: {where}").format(
            task=str(request.spec.task).capitalize(), where=where
        )
        return self._bridge.request(
            "run", params, title=title, done=done, failed=failed, progressed=progressed
        )

    def _run_text(self, result: Mapping[str, Any]) -> str:
        words = [self.tr("{n} done").format(n=result.get("done", 0))]
        for key, text in (
            ("empty", self.tr("{n} with nothing found")),
            ("failed", self.tr("{n} failed")),
            ("skipped", self.tr("{n} were done before")),
        ):
            if result.get(key):
                words.append(text.format(n=result[key]))
        return ", ".join(words)

    def predict(self, item_id: int, frame: int, spec: Mapping[str, Any]) -> Job:
        """Ask a model about the frame in the viewer."""
        root = self._root()
        params = {"project": root, "item_id": item_id, "frame": frame, "spec": dict(spec)}
        title = self.tr("{task}: this frame").format(task=str(spec["task"]).capitalize())
        topic = f"predict:{root}:{item_id}:{frame}:{spec['task']}"
        return self._bridge.request(
            "predict", params, title=title, done=lambda _value: self._changed(root), topic=topic
        )

    # Learning --------------------------------------------------------------------------------

    def train(self, settings: Mapping[str, Any]) -> None:
        """Train on the project's labels; one training at a time."""
        if self.training is not None and self.training.running:
            return
        root = self._root()

        def progressed(value: Any) -> None:
            points = value.get("curve", ()) if isinstance(value, Mapping) else ()
            self.train_progressed.emit(as_progress(value), points)

        def done(report: Any) -> None:
            self._changed(root)
            self.read_versions()
            self.train_done.emit(report)

        job = self._bridge.request(
            "train",
            {"project": root, "settings": dict(settings)},
            title=self.tr("Train"),
            done=done,
            failed=self.train_failed.emit,
            progressed=progressed,
        )
        self.training = job

    def cancel_training(self) -> None:
        if self.training is not None:
            self._bridge.cancel(self.training)

    def read_versions(self) -> None:
        """Read the model versions of the project."""
        if self._session.project is None:
            self._bridge.drop("versions")
            self._take_versions(())
        else:
            self._bridge.project(_versions, self._take_versions, lane="versions")

    def _take_versions(self, versions: tuple[ModelVersion, ...]) -> None:
        self.versions = versions
        self.versions_read.emit(versions)

    def use_version(self, number: int) -> None:
        """Make a version the active one, because the user says so."""
        self._activate(lambda project: project.use_version(number, force=True))

    def rollback(self) -> None:
        self._activate(lambda project: project.rollback())

    def _activate(self, work: Callable[[Project], Any]) -> None:
        self._bridge.project(work, lambda _value: self.read_versions())

    @property
    def active_version(self) -> str:
        """ "v3", or "" while the plain pack is in use."""
        return next((v.label for v in self.versions if v.active), "")

    # Workflows -------------------------------------------------------------------------------

    def run_workflow(
        self,
        workflow: Workflow,
        inputs: Sequence[Path],
        values: Mapping[str, Any],
        regions: Sequence[Region],
    ) -> Job:
        """Run a plugin's workflow; its findings land in the open project's review queue."""
        root = self._root()
        params: dict[str, Any] = {
            "key": workflow.key,
            "inputs": [str(path) for path in inputs],
            "values": dict(values),
            "regions": [
                {"role": r.role, "shape": r.shape, "points": [list(p) for p in r.points]}
                for r in regions
            ],
        }
        if root:
            params["project"] = root

        def done(result: Any) -> None:
            self._changed(root)
            self.workflow_done.emit(workflow.title, result)

        return self._bridge.request("workflow", params, title=workflow.title, done=done)


def _versions(project: Project) -> tuple[ModelVersion, ...]:
    return tuple(project.versions())


def _read_workflows() -> tuple[Workflow, ...]:
    from vlmtool_core.hooks.manager import plugin_manager

    return plugin_manager().workflows()


def _device_text(value: Mapping[str, Any]) -> str:
    device = value.get("device") or {}
    name, reason = str(device.get("name", "")), str(device.get("reason", ""))
    return f"{name} ({reason})" if reason else name
