"""The review queue: findings decided one after the other by keys."""

from __future__ import annotations

import pytest
from PySide6.QtCore import Qt
from PySide6.QtTest import QTest
from tests.desktop.conftest import Opened

from vlmtool_core.records import Box, Finding, FindingStatus
from vlmtool_desktop.dialogs.text_dialog import TextDialog
from vlmtool_desktop.main_window import MainWindow
from vlmtool_desktop.models.finding_model import PAGE
from vlmtool_desktop.panels.review import readable


@pytest.fixture
def on_findings(on_project: Opened) -> Opened:
    """Four findings on the items 2 to 5, the first with a box."""
    window = on_project.window
    ids = window.library.model.ids_between(1, 4)
    findings = [
        Finding(
            "box",
            f"Finding {number}",
            f"/media/picture{number}.png",
            score=0.5 + number / 10,
            label="mark",
            item_id=item_id,
            box=Box(10, 10, 60, 60, "mark") if number == 0 else None,
            time_span_s=(1.5, 62.25) if number == 1 else None,
        )
        for number, item_id in enumerate(ids)
    ]
    window.project.write(lambda p: p.add_findings("test.flow", "1", findings))
    window.review.reload()
    window.show_tab(window.review)
    on_project.wait(lambda: window.review.model.rowCount() == 4)
    on_project.wait(lambda: "4" in window.tabs.tabText(1))
    return on_project


def statuses(opened: Opened) -> list[FindingStatus]:
    found = opened.stored(lambda p: [f.status for f in p.findings()])
    assert isinstance(found, list)
    return found


def start(opened: Opened) -> None:
    review = opened.window.review
    review.list.setCurrentIndex(review.model.index(0, 0))
    review.list.setFocus()


def test_opening_a_project_does_not_move_the_viewer(on_findings: Opened) -> None:
    assert on_findings.window.library.position()[0] == 1


def test_a_chosen_finding_is_shown_on_its_item(on_findings: Opened) -> None:
    start(on_findings)
    window = on_findings.window
    wanted = window.library.model.id_at(1)
    on_findings.wait(lambda: on_findings.shown() == wanted)
    on_findings.wait(lambda: len(window.viewer.canvas.shapes) == 1)
    assert window.viewer.canvas.shapes[0].box.xyxy == (10, 10, 60, 60)
    assert window.review.title.text() == "Finding 0"
    assert "50%" in window.review.details.text()


def test_keys_decide_and_go_on(on_findings: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextDialog, "ask", lambda *_args, **_kwargs: "other")
    start(on_findings)
    review = on_findings.window.review
    for key in (Qt.Key.Key_Return, Qt.Key.Key_Backspace, Qt.Key.Key_S, Qt.Key.Key_E):
        QTest.keyClick(review.list, key)
    assert statuses(on_findings) == [
        FindingStatus.ACCEPTED,
        FindingStatus.REJECTED,
        FindingStatus.PENDING,
        FindingStatus.EDITED,
    ]
    assert review.model.rowCount() == 1
    current = review.current()
    assert current is not None
    assert current.title == "Finding 2"
    on_findings.wait(lambda: on_findings.window.tabs.tabText(1) == "Review (1)")
    assert not on_findings.errors


def test_the_last_decision_empties_the_queue(on_findings: Opened) -> None:
    start(on_findings)
    review = on_findings.window.review
    for _ in range(4):
        review.accept_button.click()
    assert statuses(on_findings) == [FindingStatus.ACCEPTED] * 4
    on_findings.wait(lambda: review.page_title() == "Nothing to review")
    assert review.current() is None


def test_decisions_can_be_undone(on_findings: Opened) -> None:
    start(on_findings)
    review = on_findings.window.review
    review.reject()
    assert statuses(on_findings)[0] is FindingStatus.REJECTED
    on_findings.window.project.undo()
    assert statuses(on_findings) == [FindingStatus.PENDING] * 4
    on_findings.wait(lambda: review.model.rowCount() == 4)


def test_the_note_is_kept(on_findings: Opened) -> None:
    start(on_findings)
    review = on_findings.window.review
    QTest.keyClicks(review.note, "see page 2, essay")
    review.accept()
    notes = on_findings.stored(lambda p: [f.note for f in p.findings()])
    assert notes == ["see page 2, essay", "", "", ""]


def test_time_spans_are_in_file_time(on_findings: Opened) -> None:
    review = on_findings.window.review
    review.list.setCurrentIndex(review.model.index(1, 0))
    assert "0:01.500 – 1:02.250" in review.details.text()


def test_other_statuses_can_be_looked_at(on_findings: Opened) -> None:
    start(on_findings)
    review = on_findings.window.review
    review.accept()
    review.status.setCurrentIndex(1)
    on_findings.wait(lambda: review.model.rowCount() == 1)
    first = review.model.finding(0)
    assert first is not None
    assert first.status is FindingStatus.ACCEPTED


def review_titles(window: MainWindow) -> list[str]:
    model = window.review.model
    found = [model.finding(row) for row in range(model.rowCount())]
    return [finding.title for finding in found if finding is not None]


def test_many_findings_are_fetched_in_pages(on_project: Opened) -> None:
    window = on_project.window
    many = [Finding("span", f"Span {n}", "/v.mp4") for n in range(3 * PAGE + 5)]
    window.project.write(lambda p: p.add_findings("test.flow", "1", many))
    window.review.reload()
    on_project.wait(lambda: window.review.model.rowCount() == PAGE)
    window.show_tab(window.review)
    bar = window.review.list.verticalScrollBar()

    def scrolled_to_the_end() -> bool:
        bar.setValue(bar.maximum())
        return window.review.model.rowCount() == 3 * PAGE + 5

    on_project.wait(scrolled_to_the_end)
    assert review_titles(window)[-1] == f"Span {3 * PAGE + 4}"


def test_extra_values_are_shown_without_brackets() -> None:
    assert readable([{"A": 0.0, "B": 0.966}]) == "A 0.00, B 0.97"
    assert readable([["A", "B"]]) == "A, B"
    assert readable("faint") == "faint"
