"""Keeps the dialog of models in step with the engine host."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import QObject

from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.bridge import as_progress
from vlmtool_desktop.dialogs.models_dialog import ModelsDialog
from vlmtool_desktop.job_list import Job
from vlmtool_desktop.model_list import size_text

if TYPE_CHECKING:
    from vlmtool_desktop.main_window import MainWindow


class ModelsController(QObject):
    """Makes the dialog on first use; one request at a time."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.dialog: ModelsDialog | None = None
        self.job: Job | None = None

    def open(self) -> ModelsDialog:
        """Show the dialog with what is installed and what suits this machine."""
        if self.dialog is None:
            self.dialog = self._make()
        self.refresh()
        self.dialog.show()
        self.dialog.raise_()
        return self.dialog

    def take_bundle(self, path: str) -> None:
        """Import a bundle that was dropped on the window."""
        self.open().take_bundle(path)

    def _make(self) -> ModelsDialog:
        dialog = ModelsDialog(self._window)
        dialog.pull_requested.connect(self._pull)
        dialog.verify_requested.connect(self._verify)
        dialog.remove_requested.connect(self._remove)
        dialog.export_requested.connect(self._export)
        dialog.import_requested.connect(self._import)
        dialog.cancel_requested.connect(self._cancel)
        return dialog

    def refresh(self) -> None:
        """Ask the host for the list again."""
        dialog = self.dialog
        if dialog is not None:
            self._window.bridge.request(
                "catalogue",
                {},
                title=self.tr("Models"),
                done=dialog.set_catalogue,
                failed=dialog.fail,
                quiet=True,
            )

    def _pull(self, ids: list[str], accepted: bool) -> None:
        def said(value: Mapping[str, Any]) -> str:
            names = ", ".join(f"{one['id']} {one['version']}" for one in value["installed"])
            return self.tr("Ready: {names}").format(names=names)

        title = self.tr("Get {names}").format(names=", ".join(ids))
        self._ask("pull", {"ids": ids, "accept_licence": accepted}, title, said)

    def _verify(self, ids: list[str]) -> None:
        def said(value: Mapping[str, Any]) -> str:
            broken = [str(one["error"]["message"]) for one in value["broken"]]
            if broken:
                words = self.tr("Remove and get again: {what}")
                return words.format(what="; ".join(broken))
            return self.tr("Whole: {names}").format(names=", ".join(value["whole"]))

        self._ask("verify_packs", {"ids": ids}, self.tr("Check models"), said)

    def _remove(self, ids: list[str]) -> None:
        def said(value: Mapping[str, Any]) -> str:
            return self.tr("{size} are free again").format(size=size_text(value["freed_bytes"]))

        self._ask("remove_packs", {"ids": ids}, self.tr("Remove models"), said)

    def _export(self, ids: list[str], path: str) -> None:
        def said(value: Mapping[str, Any]) -> str:
            return self.tr("Wrote {path} ({size})").format(
                path=value["path"], size=size_text(value["size_bytes"])
            )

        self._ask("export_packs", {"ids": ids, "path": path}, self.tr("Export models"), said)

    def _import(self, path: str, accepted: bool) -> None:
        def said(value: Mapping[str, Any]) -> str:
            names = ", ".join(str(one["id"]) for one in value["installed"])
            signer = value["signed_by"]
            who = self.tr("signed by {key}").format(key=signer) if signer else self.tr("not signed")
            return self.tr("Ready: {names} ({who})").format(names=names, who=who)

        params = {"path": path, "accept_licence": accepted}
        self._ask("import_packs", params, self.tr("Import models"), said)

    def _ask(
        self,
        kind: str,
        params: Mapping[str, Any],
        title: str,
        said: Callable[[Mapping[str, Any]], str],
    ) -> None:
        dialog = self.dialog
        if dialog is None or (self.job is not None and self.job.running):
            return

        def done(value: Mapping[str, Any]) -> None:
            dialog.end(said(value), "danger" if value.get("broken") else "success")
            self._changed()

        def failed(error: ErrorInfo) -> None:
            dialog.fail(error)
            self._changed()

        dialog.begin(title)
        self.job = self._window.bridge.request(
            kind,
            params,
            title=title,
            done=done,
            failed=failed,
            progressed=lambda value: dialog.advance(as_progress(value)),
        )

    def _changed(self) -> None:
        self.refresh()
        self._window.engine.look()

    def _cancel(self) -> None:
        if self.job is not None:
            self._window.bridge.cancel(self.job)
