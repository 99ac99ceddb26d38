"""Finding items: natural order, conditions, and index use with 100,000 of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.dialects import sqlite

from vlmtool_core.errors import RecordNotFoundError
from vlmtool_core.records import (
    ErrorInfo,
    MediaKind,
    ModelIdentity,
    Outcome,
    OutcomeStatus,
    Score,
    Task,
)
from vlmtool_core.store.items import ids_statement, sort_key
from vlmtool_core.store.records import ItemQuery, NewItem, NewPrediction
from vlmtool_core.store.repository import Store, create_store

AddItems = Callable[..., list[int]]


def test_names_sort_naturally(store: Store, add_items: AddItems) -> None:
    names = ["img10.png", "IMG2.png", "img1.png", "a/b2/x.png", "a/b10/x.png", "img002b.png"]
    add_items(*names)
    assert [item.name for item in store.items.page()] == [
        "a/b2/x.png",
        "a/b10/x.png",
        "img1.png",
        "IMG2.png",
        "img002b.png",
        "img10.png",
    ]
    assert sort_key("x9") < sort_key("x10") < sort_key("x100")


def test_conditions_combine(store: Store, add_items: AddItems) -> None:
    first, second = add_items("Äpfel_1.png", "birne.png", group="g1")
    (third,) = add_items("100%.png", group="g2")
    (video,) = store.items.add_many([NewItem("v.mp4", Path("/v.mp4"), MediaKind.VIDEO, "v" * 64)])
    (broken,) = store.items.add_many(
        [NewItem("x.png", Path("/x.png"), None, error=ErrorInfo("media", "no", "do"))]
    )
    store.annotations.set_labels({first: "cat", third: "dog"})
    run = store.runs.start(Task.CLASSIFY, ModelIdentity("m", "1"), {}, "s")
    store.runs.add(run, [NewPrediction(second, 0, Outcome(OutcomeStatus.EMPTY))])

    def ids(**conditions: object) -> list[int]:
        query = ItemQuery(**conditions, order="added")
        found = store.items.ids(query)
        assert store.items.count(query) == len(found)
        assert [item.id for item in store.items.page(query)] == found
        return found

    assert ids() == [first, second, third, video, broken]
    assert ids(kind=MediaKind.VIDEO) == [video]
    assert ids(group="g1") == [first, second]
    assert ids(group="none") == []
    assert ids(label="cat") == [first]
    assert ids(status="labelled") == [first, third]
    assert ids(status="unlabelled") == [second, video]
    assert ids(status="unreadable") == [broken]
    assert ids(status="predicted") == [second]
    assert ids(text="äPFEL") == [first]
    assert ids(text="%") == [third]
    assert ids(text="_") == [first]
    assert ids(text="png", status="labelled", group="g2") == [third]


def test_the_doubtful_come_first_by_score(store: Store, add_items: AddItems) -> None:
    sure, unknown, doubtful = add_items("a.png", "b.png", "c.png")
    run = store.runs.start(Task.CLASSIFY, ModelIdentity("m", "1"), {}, "s")
    rows = [(sure, 0.9), (doubtful, 0.4)]
    store.runs.add(
        run,
        [NewPrediction(i, 0, Outcome(OutcomeStatus.OK, scores=(Score("x", s),))) for i, s in rows],
    )
    assert store.items.ids(ItemQuery(order="score")) == [doubtful, sure, unknown]
    assert store.items.get(sure).top == Score("x", 0.9)


def test_the_top_score_is_the_newest_runs_best_frame(store: Store, add_items: AddItems) -> None:
    (item,) = add_items("a.png")

    def predict(run: int, frame: int, score: float) -> None:
        outcome = Outcome(OutcomeStatus.OK, scores=(Score("x", score), Score("y", 1 - score)))
        store.runs.add(run, [NewPrediction(item, frame, outcome)])

    old = store.runs.start(Task.CLASSIFY, ModelIdentity("m", "1"), {}, "s")
    new = store.runs.start(Task.CLASSIFY, ModelIdentity("m", "2"), {}, "s")
    predict(new, 0, 0.6)
    predict(new, 1, 0.8)
    predict(old, 0, 0.99)  # an old run that is resumed does not win
    assert store.items.get(item).top == Score("x", 0.8)


def test_pages_and_wrong_numbers(store: Store, add_items: AddItems) -> None:
    ids = add_items(25)
    assert [i.id for i in store.items.page(offset=20, limit=10)] == ids[20:]
    assert store.items.page(offset=99) == []
    assert [i.id for i in store.items.by_ids([ids[3], ids[1]])] == [ids[3], ids[1]]
    with pytest.raises(RecordNotFoundError, match="999"):
        store.items.get(999)
    with pytest.raises(RecordNotFoundError, match="no such item"):
        store.items.id_of("nothing.png")


def test_unreadable_items_are_not_run_over(store: Store, add_items: AddItems) -> None:
    (good,) = add_items("a.png")
    (broken,) = store.items.add_many(
        [NewItem("x.png", Path("/x.png"), None, error=ErrorInfo("media", "no", "do"))]
    )
    assert [ref.item_id for ref in store.items.refs()] == [good]
    assert [ref.item_id for ref in store.items.refs([broken, good])] == [good]
    assert store.items.get(broken).error == ErrorInfo("media", "no", "do")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory):
    """100,000 items, 1,000 of them labelled, in chunks as `add` writes them."""
    store = create_store(tmp_path_factory.mktemp("large") / "project.sqlite")
    for start in range(0, 100_000, 5000):
        store.items.add_many(
            [
                NewItem(
                    f"folder {i % 100}/image {i}.png",
                    Path(f"/media/{i}.png"),
                    MediaKind.IMAGE if i % 10 else MediaKind.DICOM,
                    f"{i:064x}",
                    group=f"patient {i % 1000}",
                )
                for i in range(start, start + 5000)
            ]
        )
    store.annotations.set_labels(dict.fromkeys(range(1, 1001), "cat"))
    yield store
    store.close()


def plan(store: Store, query: ItemQuery) -> str:
    statement = ids_statement(query).compile(
        dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}
    )
    with store.database.reading() as connection:
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}").all()
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize(
    ("query", "index"),
    [
        (ItemQuery(), "COVERING INDEX ix_item_sort_key_id"),
        (ItemQuery(order="score"), "COVERING INDEX ix_item_top_score_id"),
        (ItemQuery(kind=MediaKind.DICOM), "COVERING INDEX ix_item_kind_sort_key_id"),
        (ItemQuery(group="patient 7"), "COVERING INDEX ix_item_group_id_sort_key_id"),
        (ItemQuery(status="unreadable"), "COVERING INDEX ix_item_kind_sort_key_id"),
        (ItemQuery(label="cat"), "ix_annotation_label_id_item_id"),
        (ItemQuery(status="labelled"), "COVERING INDEX ix_annotation"),
    ],
)
def test_queries_over_100_000_items_use_an_index(
    large: Store, query: ItemQuery, index: str
) -> None:
    found = plan(large, query)
    assert index in found, found
    if query.label is None and query.status != "labelled":
        assert "TEMP B-TREE FOR ORDER BY" not in found, found


def test_100_000_items_are_all_found_in_order(large: Store) -> None:
    ids = large.items.ids()
    assert len(ids) == large.items.count() == 100_000
    page = large.items.page(offset=99_990, limit=10)
    assert [item.id for item in page] == ids[99_990:]
    assert page[-1].name == "folder 99/image 99999.png"
    assert large.items.count(ItemQuery(status="labelled")) == 1000
    assert large.items.count(ItemQuery(status="unlabelled")) == 99_000
    assert large.items.count(ItemQuery(text="image 9999")) == 11
