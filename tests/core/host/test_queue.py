"""Who is served first, what a newer request replaces, and what is left to end by itself."""

from __future__ import annotations

import time

import pytest
from tests.core.host.asking import Answers

from vlmtool_core.host.client import HostClient
from vlmtool_core.host.requests import Requests, handlers, place_of


def test_the_most_urgent_goes_first_and_among_equals_who_came_first(client: HostClient) -> None:
    holder, others = Answers(client), Answers(client)
    holder.send("wait_for_release")
    assert holder.begun.wait(20)
    for word, rank in (("run", 3), ("ahead", 2), ("run 2", 3), ("look", 0), ("look 2", 0)):
        others.send("say", {"word": word, "rank": rank})
    holder.send("release")
    words = [others.next()[1] for _ in range(5)]
    assert words == ["look", "look 2", "ahead", "run", "run 2"]


def test_a_newer_request_replaces_an_older_one_on_its_topic(client: HostClient) -> None:
    running, waiting, newest, other = (Answers(client) for _ in range(4))
    running.send("wait_for_cancel", topic="view")
    assert running.begun.wait(20)
    other.send("say", {"word": "another topic"}, topic="panel")
    other.send("say", {"word": "no topic"})
    waiting.send("say", {"word": "stale"}, topic="view")
    newest.send("say", {"word": "fresh"}, topic="view")
    for answers in (running, waiting):
        state, error = answers.next()
        assert (state, error.code) == ("error", "cancelled")
        assert error.message == "replaced by a newer one"
    assert newest.next() == ("result", "fresh")
    assert [other.next()[1] for _ in range(2)] == ["another topic", "no topic"]


def test_a_topic_must_be_text(client: HostClient) -> None:
    answers = Answers(client)
    answers.send("say", {"word": "x"}, topic=5)  # type: ignore[arg-type]
    assert answers.next()[1].field == "topic"


def test_what_obeys_nothing_is_answered_as_cancelled_within_300_ms(client: HostClient) -> None:
    answers, later = Answers(client), Answers(client)
    number = answers.send("hang", {"abandoned": True})
    assert answers.begun.wait(20)
    waiting = later.send("say", {"word": "behind it"})
    asked = time.monotonic()
    client.cancel(number)
    state, error = answers.next()
    assert (state, error.code) == ("error", "cancelled")
    assert time.monotonic() - asked < 0.3
    assert answers.ask("ping")[1]["running"] == [number]
    client.cancel(waiting)
    assert later.next()[1].message == "stopped before it began"


def test_cancel_is_answered_within_300_ms(client: HostClient) -> None:
    answers = Answers(client)
    number = answers.send("wait_for_cancel")
    assert answers.begun.wait(20)
    asked = time.monotonic()
    client.cancel(number)
    assert answers.next()[1].code == "cancelled"
    assert time.monotonic() - asked < 0.3


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("exhaust", {"bytes": 4_000_000_000}),
        ("exhaust_accelerator", {}),
    ],
)
def test_memory_that_runs_out_is_said_and_the_host_lives(
    client: HostClient, kind: str, params: dict[str, int]
) -> None:
    answers = Answers(client)
    pid = client.pid
    state, error = answers.ask(kind, params)
    assert (state, error.code) == ("error", "engine-memory")
    assert "memory ran out" in error.message
    assert "smaller batch" in error.remedy
    assert answers.ask("say", {"word": "alive"}) == ("result", "alive")
    assert client.pid == pid


def test_every_kind_of_request_has_its_place() -> None:
    kinds = set(handlers(Requests()))
    look, ahead = place_of("predict", {}), place_of("predict", {"ahead": True})
    assert look.lane == ahead.lane
    assert look.rank < ahead.rank
    assert {"load", "unload", "loaded", "log"} <= kinds
    lanes = {kind: place_of(kind, {}).lane for kind in kinds}
    assert lanes["run"] == lanes["train"] == lanes["evaluate"] == lanes["workflow"] == "work"
    assert lanes["add"] not in (lanes["run"], lanes["predict"])
    assert "work" not in {lanes["predict"], lanes["loaded"], lanes["log"], lanes["load"]}
