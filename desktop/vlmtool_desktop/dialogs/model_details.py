"""What is known of the chosen model, and the box in which its terms are accepted."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QCheckBox, QLabel, QVBoxLayout, QWidget

from vlmtool_desktop.model_list import ModelLine, size_text
from vlmtool_desktop.widgets.parts import column, frame, text_label


class ModelDetails(QWidget):
    """A card at the side of the table of models."""

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = text_label("", "heading", wrap=True)
        self.note = text_label("", wrap=True)
        self.facts = text_label("", "muted", wrap=True)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.page = QLabel()
        self.page.setTextFormat(Qt.TextFormat.RichText)
        self.page.setWordWrap(True)
        self.page.setOpenExternalLinks(True)
        self.page.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.consent = QCheckBox(self.tr("I have read the terms and accept them"))
        self.consent.toggled.connect(self.changed)
        self._subject = ""
        card = column(self.title, self.note, self.facts, self.page, self.consent, spacing=9)
        card.addStretch()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(frame("card", card, (16, 14, 16, 14)))

    def agreed(self) -> bool:
        """Whether the user accepts the terms of what is shown."""
        return not self.consent.isHidden() and self.consent.isChecked()

    def _begin(self, subject: str, title: str, note: str, *, consent: bool) -> None:
        """Consent is given for one thing: a new subject begins with an empty box."""
        if subject != self._subject:
            self._subject = subject
            self.consent.blockSignals(True)
            self.consent.setChecked(False)
            self.consent.blockSignals(False)
        self.title.setText(title)
        self.note.setText(note)
        self.note.setVisible(bool(note))
        for label in (self.facts, self.page):
            label.setText("")
            label.hide()
        self.consent.setVisible(consent)

    def show_line(self, line: ModelLine | None, count: int = 0) -> None:
        """A model, or how many are chosen."""
        if line is None:
            chosen = self.tr("{n} models are chosen").format(n=count)
            hint = self.tr("Choose a model to see what it is for and its terms.")
            self._begin("", chosen if count else hint, "", consent=False)
            return
        consent = line.consent and not line.installed
        self._begin(line.id, line.title, line.note, consent=consent)
        self.facts.setText("\n".join(self._facts(line)))
        self.facts.show()
        if line.page:
            words = self.tr("Page and terms")
            self.page.setText(f'<a href="{line.page}">{words}</a>: {line.page}')
            self.page.show()

    def _facts(self, line: ModelLine) -> list[str]:
        about = "" if line.installed else self.tr("about ")
        facts = [
            self.tr("Name: {id} {version}").format(id=line.id, version=line.version),
            self.tr("Tasks: {tasks}").format(tasks=", ".join(line.tasks) or "–"),
            self.tr("Size: {about}{size}, memory {memory}").format(
                about=about, size=size_text(line.size_bytes), memory=size_text(line.memory_bytes)
            ),
            self.tr("Licence: {licence}").format(licence=line.licence),
            self.tr("Source: {source}").format(source=line.source),
        ]
        if line.accepted:
            facts.append(self.tr("Terms accepted: {who}").format(who=line.accepted))
        facts += [self.tr("Published: {score}").format(score=score) for score in line.scores]
        if not line.fits and not line.installed:
            facts.append(self.tr("This machine is too small or too slow for it."))
        return facts

    def show_reference(self, reference: str) -> None:
        """A repository of the hub of which nothing is known yet."""
        note = self.tr(
            "Only safetensors are fetched, and no code of the repository is ever run. "
            "If its terms ask for your consent, read them on its page and tick the box."
        )
        self._begin(reference, reference, note, consent=True)

    def show_bundle(self, name: str) -> None:
        """A bundle whose packs ask for consent."""
        note = self.tr("To accept the terms of the packs in it, tick the box and press Import.")
        self._begin(name, name, note, consent=True)
