"""Stores with a few items in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vlmtool_core.records import MediaKind
from vlmtool_core.store.records import NewItem
from vlmtool_core.store.repository import Store, create_store


@pytest.fixture
def store(places: Any) -> Iterator[Store]:
    made = places.create()
    yield made
    made.close()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[Store]:
    """For what is about the file itself."""
    made = create_store(tmp_path / "p" / "project.sqlite", "tester")
    yield made
    made.close()


@pytest.fixture
def add_items(request: pytest.FixtureRequest) -> Callable[..., list[int]]:
    """`add_items(3)` or `add_items("a.png", "b.png", group="x")`: ids of new readable items."""
    name = "sqlite_store" if "sqlite_store" in request.fixturenames else "store"
    store: Store = request.getfixturevalue(name)

    def add(*names: str | int, group: str = "") -> list[int]:
        if len(names) == 1 and isinstance(names[0], int):
            names = tuple(f"img{i}.png" for i in range(names[0]))
        return store.items.add_many(
            [
                NewItem(
                    name=str(name),
                    path=Path("/media") / str(name),
                    kind=MediaKind.IMAGE,
                    sha256=f"{abs(hash(name)):064x}"[:64],
                    group=group,
                    width=64,
                    height=48,
                    frame_count=1,
                )
                for name in names
            ]
        )

    return add
