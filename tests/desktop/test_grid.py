"""The library's grid: 100,000 rows, of which only what is seen is fetched."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from PySide6.QtTest import QTest
from tests.desktop.conftest import Opened

from vlmtool_core.project import Project
from vlmtool_core.records import MediaKind
from vlmtool_core.store.records import NewItem
from vlmtool_desktop.models.item_model import PAGE, ItemRole

MANY = 100_000


@pytest.fixture(scope="module")
def large_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of 100,000 rows; their files are not there, which the grid must not mind."""
    root = tmp_path_factory.mktemp("large") / "project"
    with Project.create(root) as project:
        project.store.items.add_many(
            [
                NewItem(f"folder/img{n}.png", root / f"img{n}.png", MediaKind.IMAGE, f"{n:064x}")
                for n in range(MANY)
            ]
        )
    return root


@pytest.mark.slow
def test_a_hundred_thousand_items_scroll(opened: Opened, large_project: Path) -> None:
    library = opened.window.library
    opened.window.open_paths([large_project])
    opened.wait(lambda: library.model.rowCount() == MANY)
    opened.wait(lambda: library.model.index(0, 0).data(ItemRole) is not None)
    assert library.count_label.text() == "100,000 items"
    bar = library.grid.verticalScrollBar()
    longest = 0.0
    for part in range(1, 101):
        start = time.perf_counter()
        bar.setValue(bar.maximum() * part // 100)
        library.grid.viewport().repaint()
        longest = max(longest, time.perf_counter() - start)
    last = library.model.index(MANY - 1, 0)
    opened.wait(lambda: last.data(ItemRole) is not None)
    assert last.data(ItemRole).name.endswith(f"img{MANY - 1}.png")
    # 100 jumps over 2,084 pages: at most a few pages per place that was seen.
    assert len(library.model.fetched_pages) < 300
    assert len(library.model.fetched_pages) * PAGE < MANY // 5
    # A frame of the screen lasts 16 ms; ten times that is room for a busy test machine.
    assert longest < 0.16


@pytest.mark.slow
def test_layout_does_not_depend_on_the_number_of_rows(opened: Opened, large_project: Path) -> None:
    library = opened.window.library
    opened.window.open_paths([large_project])
    opened.wait(lambda: library.model.rowCount() == MANY)
    start = time.perf_counter()
    for width in range(300, 1000, 7):
        opened.window.splitter.setSizes([width, 700, 300])
        library.grid.updateGeometries()
    assert (time.perf_counter() - start) / 100 < 0.016


def test_columns_follow_the_width(on_project: Opened) -> None:
    grid = on_project.window.library.grid
    for width in (160, 300, 460, 900):
        grid.resize(width, 500)
        assert grid.columns == max(1, grid.viewport().width() // 140)


def test_index_and_rectangle_agree(on_project: Opened) -> None:
    grid = on_project.window.library.grid
    model = on_project.window.library.model
    for row in range(model.rowCount()):
        rect = grid.visualRect(model.index(row, 0))
        assert grid.indexAt(rect.center()).row() == row
    assert not grid.indexAt(QPoint(-5, 5)).isValid()
    assert not grid.indexAt(QPoint(5, 100_000)).isValid()


def test_keys_move_by_cell_line_and_end(on_project: Opened) -> None:
    window = on_project.window
    grid = window.library.grid
    columns = grid.columns
    for key, row in (
        (Qt.Key.Key_Right, 1),
        (Qt.Key.Key_Down, 1 + columns),
        (Qt.Key.Key_Left, columns),
        (Qt.Key.Key_Up, 0),
        (Qt.Key.Key_End, 6),
        (Qt.Key.Key_Home, 0),
    ):
        QTest.keyClick(grid, key)
        assert grid.currentIndex().row() == row
    assert window.session.item == window.library.model.id_at(0)


def test_clicks_select_one_many_and_a_range(on_project: Opened) -> None:
    window = on_project.window
    grid, model = window.library.grid, window.library.model
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier

    def click(row: int, modifier: Qt.KeyboardModifier = none) -> None:
        spot = grid.visualRect(model.index(row, 0)).center()
        QTest.mouseClick(grid.viewport(), left, modifier, spot)

    click(1)
    assert window.session.selection == (model.id_at(1),)
    assert window.session.item == model.id_at(1)
    click(3, Qt.KeyboardModifier.ControlModifier)
    assert sorted(window.session.selection) == sorted([model.id_at(1), model.id_at(3)])
    click(0)
    click(4, Qt.KeyboardModifier.ShiftModifier)
    assert list(window.session.selection) == model.ids_between(0, 4)


def test_the_current_item_is_scrolled_into_view(on_project: Opened) -> None:
    window = on_project.window
    window.resize(1000, 420)
    window.session.set_item(window.library.model.id_at(6))
    grid = window.library.grid
    rect = grid.visualRect(window.library.model.index(6, 0))
    assert grid.viewport().rect().contains(rect.center())
