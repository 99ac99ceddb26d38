"""The status bar: messages, place in the list, zoom, pixel, window, device and model, jobs."""

from __future__ import annotations

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QProgressBar, QStatusBar, QWidget

from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.job_list import Job
from vlmtool_desktop.jobs_text import progress_text
from vlmtool_desktop.widgets.parts import set_role, text_label, tool_button

MESSAGE_MS = 8000


class StatusBar(QStatusBar):
    """Facts on the right, from the most changing to the most lasting."""

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bridge = bridge
        self.setSizeGripEnabled(False)
        self.job_text = text_label("")
        self.job_bar = QProgressBar()
        self.job_bar.setFixedWidth(110)
        self.job_bar.setTextVisible(False)
        self.job_bar.setAccessibleName(self.tr("Progress of the running job"))
        self.job_cancel = tool_button(self.tr("Cancel the running job"), "cancel")
        self.job_cancel.clicked.connect(self._cancel)
        self.pixel = text_label("")
        self.window_level = text_label("")
        self.zoom = text_label("")
        self.place = text_label("")
        self.engine = text_label("")
        self.host = text_label("")
        for widget in (
            self.job_text,
            self.job_bar,
            self.job_cancel,
            self.pixel,
            self.window_level,
            self.zoom,
            self.place,
            self.engine,
            self.host,
        ):
            self.addPermanentWidget(widget)
        bridge.jobs.changed.connect(lambda _job: self._show_job())
        self._show_job()

    def say(self, text: str) -> None:
        """A message for a few seconds."""
        self.showMessage(text, MESSAGE_MS)

    def _running(self) -> Job | None:
        running = self._bridge.jobs.running()
        return running[0] if running else None

    def _show_job(self) -> None:
        job = self._running()
        for widget in (self.job_text, self.job_bar, self.job_cancel):
            widget.setVisible(job is not None)
        if job is not None:
            others = len(self._bridge.jobs.running()) - 1
            more = f" (+{others})" if others else ""
            text = f"{job.title}: {progress_text(job.progress)}{more}"
            metrics = self.fontMetrics()
            self.job_text.setText(metrics.elidedText(text, Qt.TextElideMode.ElideRight, 300))
            self.job_text.setToolTip(text)
            self.job_bar.setRange(0, job.progress.total or 0)
            self.job_bar.setValue(min(job.progress.done, job.progress.total or 0))

    def _cancel(self) -> None:
        job = self._running()
        if job is not None:
            self._bridge.cancel(job)

    def show_zoom(self, scale: float | None) -> None:
        """None while no picture is shown."""
        if scale is None:
            self.zoom.clear()
            return
        self.zoom.setText(f"{scale:.0%}" if scale >= 0.1 else f"{scale:.1%}")

    def show_place(self, position: int, count: int) -> None:
        self.place.setText(f"{position:,} / {count:,}" if count else "")

    def show_host(self, text: str, tip: str = "", *, wrong: bool = False) -> None:
        """What the engine is doing, and on pointing at it why it stopped."""
        self.host.setText(text)
        self.host.setToolTip(tip)
        set_role(self.host, "danger" if wrong else "")

    def show_engine(self, device: str, model: str) -> None:
        """Where models run and which one is in use."""
        parts = [device or self.tr("device not known yet")]
        if model:
            parts.append(self.tr("model {name}").format(name=model))
        self.engine.setText(" · ".join(parts))
