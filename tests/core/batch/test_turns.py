"""Who gets the engine when several wait for it."""

from __future__ import annotations

import threading

from vlmtool_core.batch.turns import Rank, Turns, turns_of


def test_the_first_rank_goes_first_and_within_it_who_came_first() -> None:
    turns = Turns()
    order: list[str] = []

    def work(name: str, rank: Rank) -> None:
        with turns.take(rank):
            order.append(name)

    asked = [
        ("run", Rank.RUN),
        ("ahead", Rank.AHEAD),
        ("second run", Rank.RUN),
        ("talk", Rank.TALK),
        ("look", Rank.LOOK),
        ("second look", Rank.LOOK),
    ]
    threads = []
    with turns.take():
        for number, (name, rank) in enumerate(asked, start=1):
            thread = threading.Thread(target=work, args=(name, rank), daemon=True)
            thread.start()
            threads.append(thread)
            while len(turns._waiting) < number:
                threading.Event().wait(0.002)
        assert turns.is_waiting(Rank.LOOK)
    for thread in threads:
        thread.join(10)
    assert order == ["look", "second look", "talk", "ahead", "run", "second run"]
    assert not turns.is_waiting(Rank.RUN)


def test_an_error_gives_the_turn_back() -> None:
    engine = threading.Event()
    try:
        with turns_of(engine).take():
            raise KeyError
    except KeyError:
        pass
    with turns_of(engine).take(Rank.LOOK):
        assert not turns_of(engine).is_waiting(Rank.LOOK)
