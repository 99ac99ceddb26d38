"""The jobs of this window: how far each is, with cancel; results and errors are kept."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QProgressBar, QScrollArea, QStackedWidget, QVBoxLayout, QWidget

from vlmtool_desktop.bridge import Bridge
from vlmtool_desktop.job_list import Job, JobState
from vlmtool_desktop.jobs_text import duration, progress_text
from vlmtool_desktop.widgets.parts import (
    EmptyState,
    as_panel,
    column,
    frame,
    push_button,
    row,
    set_role,
    text_label,
    tool_button,
)


class JobCard(QWidget):
    """One job."""

    def __init__(self, job: Job, bridge: Bridge, panel: JobsPanel) -> None:
        super().__init__()
        self._panel = panel
        self.job = job
        self.title = text_label(job.title, "heading", wrap=True)
        self.state = text_label("", "muted", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress of {title}").format(title=job.title))
        self.cancel = tool_button(self.tr("Cancel {title}").format(title=job.title), "cancel")
        self.cancel.clicked.connect(lambda: bridge.cancel(job))
        self.details = tool_button(self.tr("Details of {title}").format(title=job.title), "info")
        self.details.clicked.connect(lambda: panel.details_requested.emit(job))
        head = row(self.title, self.cancel, self.details)
        head.setStretch(0, 1)
        body = column(spacing=4)
        body.addLayout(head)
        for widget in (self.bar, self.state):
            body.addWidget(widget)
        layout = column(frame("card", body, (10, 8, 8, 8)))
        self.setLayout(layout)
        self.update_state()

    def update_state(self) -> None:
        """Show what the job record says now."""
        job = self.job
        self.bar.setVisible(job.running)
        self.cancel.setVisible(job.running)
        self.details.setVisible(not job.running and (job.error or job.result) is not None)
        if job.running:
            total = job.progress.total or 0
            self.bar.setRange(0, total)
            self.bar.setValue(min(job.progress.done, total))
            self.state.setText(progress_text(job.progress))
            return
        set_role(
            self.state,
            {JobState.DONE: "success", JobState.FAILED: "danger"}.get(job.state, "muted"),
        )
        self.state.setText(self._ending())

    def _ending(self) -> str:
        job = self.job
        if job.state is JobState.CANCELLED:
            return self.tr("Stopped. What was finished is kept.")
        if job.error is not None:
            return job.error.message
        summary = job.result.get("summary") if isinstance(job.result, dict) else None
        if summary:
            return str(summary)
        progress = job.progress
        if not progress.done:
            return self.tr("Done.")
        text = self.tr("{n} done in {time}").format(
            n=f"{progress.done:,}", time=duration(progress.elapsed_s)
        )
        failed = self.tr("{n} failed").format(n=progress.failed)
        return f"{text}, {failed}" if progress.failed else f"{text}."


class JobsPanel(QWidget):
    """Newest job first."""

    details_requested = Signal(object)

    def __init__(self, bridge: Bridge, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        as_panel(self)
        self._bridge = bridge
        self._cards: dict[int, JobCard] = {}
        self._list = QVBoxLayout()
        self._list.setSpacing(8)
        self._list.setContentsMargins(10, 10, 10, 10)
        self._list.addStretch()
        content = QWidget()
        content.setLayout(self._list)
        content.setObjectName("page")
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setWidget(content)
        area.setProperty("frameless", True)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self._stack = QStackedWidget()
        self._stack.addWidget(
            EmptyState(
                self.tr("No jobs yet"),
                self.tr("Adding files, running models and training appear here."),
                "jobs",
            )
        )
        self._stack.addWidget(area)
        clear = push_button(self.tr("Remove finished"), flat=True)
        clear.clicked.connect(self._clear)
        layout = column(self._stack, spacing=0)
        layout.addWidget(frame("footer", row(clear), (8, 4, 8, 4)))
        self.setLayout(layout)
        bridge.jobs.changed.connect(self._changed)

    def _changed(self, job: Job) -> None:
        if job.number == 0:
            return
        if job.number not in self._cards:
            self._cards[job.number] = JobCard(job, self._bridge, self)
            self._list.insertWidget(0, self._cards[job.number])
            self._stack.setCurrentIndex(1)
        self._cards[job.number].update_state()

    def card(self, job: Job) -> JobCard | None:
        return self._cards.get(job.number)

    def _clear(self) -> None:
        for job in self._bridge.jobs.forget_finished():
            card = self._cards.pop(job.number, None)
            if card is not None:
                self._list.removeWidget(card)
                card.deleteLater()
        self._stack.setCurrentIndex(1 if self._cards else 0)
