"""Trains on the labels of the project: live curves, old against new, versions and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import (
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QProgressBar,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from vlmtool_core.jobs import Progress
from vlmtool_core.records import ErrorInfo
from vlmtool_desktop.dialogs.error_dialog import sentence
from vlmtool_desktop.jobs_text import progress_text
from vlmtool_desktop.widgets.curves import CurvePlot
from vlmtool_desktop.widgets.parts import column, push_button, row, set_role, text_label

if TYPE_CHECKING:
    from vlmtool_core.training.records import ModelVersion


def percent(interval: Mapping[str, float] | None) -> str:
    """`91.2 % (84.0 – 96.1)`: a value with its 95 % interval."""
    if interval is None:
        return "–"
    value, low, high = (interval[key] * 100 for key in ("value", "low", "high"))
    return f"{value:.1f} % ({low:.1f} – {high:.1f})"


def share(value: float | None) -> str:
    """`91.2 %`."""
    return "–" if value is None else f"{value * 100:.1f} %"


class TrainDialog(QDialog):
    """Stays open beside the work; the training itself runs in the engine host."""

    train_requested = Signal(object)
    cancel_requested = Signal()
    use_requested = Signal(int)
    rollback_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Train on your labels"))
        self.resize(1060, 660)
        self.overview = text_label("", wrap=True)
        self.seed = QSpinBox()
        self.plot = CurvePlot()
        self.bar = QProgressBar()
        self.state = text_label("", "muted", wrap=True)
        self.verdict = text_label("", "heading", wrap=True)
        self.table = QTableWidget(0, 3)
        self.versions = QTableWidget(0, 4)
        self._numbers: list[int] = []
        self._running = False
        self._build()
        self.set_running(False)

    # Making it -------------------------------------------------------------------------------

    def _build(self) -> None:
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip(self.tr("The same labels and seed give the same model"))
        self.train_button = push_button(self.tr("Train"), "train", primary=True)
        self.cancel_button = push_button(self.tr("Stop"), "cancel")
        self.train_button.clicked.connect(
            lambda: self.train_requested.emit({"seed": self.seed.value()})
        )
        self.cancel_button.clicked.connect(self.cancel_requested)
        form = QFormLayout()
        form.addRow(self.tr("Seed"), self.seed)
        buttons = row(self.train_button, self.cancel_button)
        buttons.addStretch()
        self.bar.setTextVisible(False)
        self.bar.setAccessibleName(self.tr("Progress of the training"))
        left = column(text_label(self.tr("LABELS"), "section"), self.overview, spacing=8)
        left.addLayout(form)
        left.addLayout(buttons)
        left.addWidget(self.bar)
        left.addWidget(self.state)
        left.addWidget(self.plot, 1)
        right = column(text_label(self.tr("OLD AGAINST NEW"), "section"), self.verdict, spacing=8)
        self._build_tables()
        right.addWidget(self.table, 3)
        right.addWidget(text_label(self.tr("VERSIONS"), "section"))
        right.addWidget(self.versions, 2)
        right.addLayout(self._version_buttons())
        sides = QHBoxLayout()
        sides.setSpacing(20)
        sides.addLayout(left, 4)
        sides.addLayout(right, 5)
        close = push_button(self.tr("Close"))
        close.clicked.connect(self.close)
        foot = row(
            text_label(
                self.tr("A new version is used only if it is not worse on items it never saw."),
                "muted",
            )
        )
        foot.addStretch()
        foot.addWidget(close)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(18, 16, 18, 14)
        layout.setSpacing(12)
        layout.addLayout(sides, 1)
        layout.addLayout(foot)

    def _build_tables(self) -> None:
        for table, titles in (
            (self.table, ["", self.tr("Old"), self.tr("New")]),
            (
                self.versions,
                [self.tr("Version"), self.tr("Made"), self.tr("Accuracy"), self.tr("In use")],
            ),
        ):
            table.setHorizontalHeaderLabels(titles)
            table.verticalHeader().hide()
            table.setShowGrid(False)
            table.setAlternatingRowColors(True)
            table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
            table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
            table.setSelectionMode(QTableWidget.SelectionMode.SingleSelection)
            header = table.horizontalHeader()
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setStretchLastSection(True)
            header.setDefaultAlignment(Qt.AlignmentFlag.AlignLeft)
        self.table.setAccessibleName(self.tr("Old against new"))
        self.versions.setAccessibleName(self.tr("Versions"))
        self.versions.itemSelectionChanged.connect(self._update_buttons)

    def _version_buttons(self) -> QHBoxLayout:
        self.use_button = push_button(self.tr("Use this version"), "accept")
        self.rollback_button = push_button(self.tr("Go back one"), "undo")
        self.use_button.clicked.connect(self._use)
        self.rollback_button.clicked.connect(self.rollback_requested)
        line = row(self.use_button, self.rollback_button)
        line.addStretch()
        return line

    # What it shows ---------------------------------------------------------------------------

    def set_overview(self, counts: Mapping[str, int]) -> None:
        """How many items carry each label."""
        if not counts:
            self.overview.setText(self.tr("No item is labelled yet. Label some first."))
            return
        parts = [f"{name}: {count:,}" for name, count in counts.items()]
        self.overview.setText(" · ".join(parts))

    def set_running(self, running: bool) -> None:
        self._running = running
        self.train_button.setEnabled(not running)
        self.cancel_button.setEnabled(running)
        self.bar.setVisible(running)
        self._update_buttons()
        if running:
            self.plot.clear()
            self.bar.setRange(0, 0)
            self.verdict.setText("")
            self.state.setText(self.tr("Starting…"))
            set_role(self.state, "muted")

    def advance(self, progress: Progress, points: Sequence[Mapping[str, Any]]) -> None:
        """Progress of the running training, with the points of its curve since the last call."""
        self.bar.setRange(0, progress.total or 0)
        self.bar.setValue(min(progress.done, progress.total or 0))
        self.state.setText(progress_text(progress))
        self.plot.add(points)

    def show_report(self, report: Mapping[str, Any]) -> None:
        """The result: both models on the same hold-out, and whether the new one is in use."""
        self.set_running(False)
        self.state.setText(self._summary(report))
        self.verdict.setText(str(report["reason"]))
        set_role(self.verdict, "success" if report["activated"] else "warning")
        old, new = report.get("old"), report["new"]
        self._fill(old, new, report.get("comparison"))
        if self.plot.empty:
            self.plot.add(report.get("curve", ()))

    def _summary(self, report: Mapping[str, Any]) -> str:
        text = self.tr("Learnt from {n} items in {s} s; tested on {h} that it never saw.")
        words = text.format(
            n=report.get("train_count", 0),
            s=f"{report.get('seconds', 0.0):.1f}",
            h=report["new"]["count"],
        )
        return " ".join([words, *(sentence(w) for w in report.get("warnings", ()))])

    def _fill(
        self,
        old: Mapping[str, Any] | None,
        new: Mapping[str, Any],
        comparison: Mapping[str, Any] | None,
    ) -> None:
        rows = [(self.tr("Model"), old["model"] if old else "–", new["model"])]
        for name, key in ((self.tr("Accuracy"), "accuracy"), (self.tr("Macro F1"), "macro_f1")):
            rows.append((name, percent(old[key] if old else None), percent(new[key])))
        for name, key in (
            (self.tr("Balanced accuracy"), "balanced_accuracy"),
            (self.tr("Calibration error"), "ece"),
        ):
            rows.append((name, share(old[key] if old else None), share(new[key])))
        olds = {c["label"]: c for c in old["per_class"]} if old else {}
        for one in new["per_class"]:
            before = olds.get(one["label"])
            text = self.tr("F1 of {label} (n = {n})").format(label=one["label"], n=one["support"])
            rows.append((text, share(before["f1"] if before else None), share(one["f1"])))
        if comparison:
            rows.append(
                (
                    self.tr("Paired test"),
                    self.tr("only old right: {n}").format(n=comparison["only_a"]),
                    self.tr("only new right: {n}, p = {p}").format(
                        n=comparison["only_b"], p=f"{comparison['p_value']:.3f}"
                    ),
                )
            )
        self._set_rows(self.table, rows)

    def show_failure(self, error: ErrorInfo) -> None:
        self.set_running(False)
        self.state.setText(f"{sentence(error.message)} {sentence(error.remedy)}")
        set_role(self.state, "muted" if error.code == "cancelled" else "danger")

    def set_versions(self, versions: Sequence[ModelVersion]) -> None:
        """All versions of the project, newest first."""
        newest = sorted(versions, key=lambda v: v.number, reverse=True)
        self._numbers = [version.number for version in newest]
        rows = [
            (
                version.label,
                version.created_at.astimezone().strftime("%Y-%m-%d %H:%M"),
                f"{version.metrics['accuracy'] * 100:.1f} %"
                if "accuracy" in version.metrics
                else "–",
                self.tr("yes") if version.active else "",
            )
            for version in newest
        ]
        self._set_rows(self.versions, rows)
        self._update_buttons()

    def _set_rows(self, table: QTableWidget, rows: Sequence[Sequence[str]]) -> None:
        table.setRowCount(len(rows))
        for line, texts in enumerate(rows):
            for position, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(text)
                table.setItem(line, position, item)

    def _update_buttons(self) -> None:
        chosen = bool(self.versions.selectedIndexes())
        self.use_button.setEnabled(chosen and not self._running)
        self.rollback_button.setEnabled(bool(self._numbers) and not self._running)

    def _use(self) -> None:
        line = self.versions.currentRow()
        if 0 <= line < len(self._numbers):
            self.use_requested.emit(self._numbers[line])
