"""Heartbeats, hosts that hang, crash after crash, and what the program is told meanwhile."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

import psutil
import pytest
from tests.core.host.asking import ROUGH, Answers

from vlmtool_core.errors import HostError
from vlmtool_core.host import log_file
from vlmtool_core.host.client import HostClient, HostState
from vlmtool_core.host.watch import Limits, Watch

Start = Callable[[Limits], HostClient]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def start() -> Iterator[Start]:
    clients: list[HostClient] = []

    def make(limits: Limits) -> HostClient:
        clients.append(HostClient(ROUGH, limits=limits))
        clients[-1].start()
        assert Answers(clients[-1]).ask("ping")[0] == "result"
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def test_a_request_that_does_not_stop_costs_only_itself(start: Start) -> None:
    client = start(Limits(ping=0.05, silent=30, cancel=0.3, stuck=0))
    hanging, innocent = Answers(client), Answers(client)
    number = hanging.send("hang")
    assert hanging.begun.wait(20)
    innocent.send("say", {"word": "later"})
    pid = client.pid
    client.cancel(number)
    state, error = hanging.next()
    assert (state, error.code) == ("error", "host")
    assert error.message == "hang did not stop within 0.3 s of being cancelled"
    state, error = innocent.next()
    assert (state, error.code) == ("error", "host-restarted")
    assert "hang did not stop" in error.message
    assert innocent.ask("say", {"word": "again"}) == ("result", "again")
    assert not psutil.pid_exists(pid or 0)


def test_what_was_abandoned_and_never_ends_is_ended_too(start: Start) -> None:
    client = start(Limits(ping=0.05, silent=30, cancel=0.4, stuck=0))
    hanging, innocent = Answers(client), Answers(client)
    number = hanging.send("hang", {"abandoned": True})
    assert hanging.begun.wait(20)
    client.cancel(number)
    assert hanging.next()[1].code == "cancelled"
    innocent.send("say", {"word": "behind it"})
    assert innocent.next()[1].code == "host-restarted"


def test_a_model_that_never_returns_is_found_without_being_cancelled(start: Start) -> None:
    client = start(Limits(ping=0.05, silent=30, cancel=30, stuck=0.5))
    answers = Answers(client)
    answers.send("hang")
    state, error = answers.next()
    assert (state, error.code) == ("error", "host")
    assert error.message == "hang made no progress for 0.5 s"
    assert answers.ask("say", {"word": "again"}) == ("result", "again")


def test_a_host_that_answers_nothing_at_all_is_ended(start: Start) -> None:
    client = start(Limits(ping=0.05, silent=3, cancel=0, stuck=0))
    answers, innocent = Answers(client), Answers(client)
    answers.send("hang_all")
    innocent.send("say", {"word": "behind it"})
    state, error = answers.next()
    assert (state, error.code) == ("error", "host")
    assert "did not answer for 3 s while at work on: hang_all" in error.message
    assert innocent.next()[1].code == "host-restarted"


def test_a_slow_request_that_gets_on_is_left_alone(start: Start) -> None:
    client = start(Limits(ping=0.05, silent=30, cancel=30, stuck=0.6))
    answers, nudges = Answers(client), Answers(client)
    answers.send("work_on", {"steps": 5})
    for _ in range(5):
        with pytest.raises(queue.Empty):
            answers.queue.get(timeout=0.25)
        nudges.ask("nudge")
    assert answers.next() == ("result", "worked")


def test_a_request_that_waits_is_not_stuck(start: Start) -> None:
    client = start(Limits(ping=0.05, silent=30, cancel=30, stuck=0.6))
    answers, waiting, nudges = (Answers(client) for _ in range(3))
    answers.send("work_on", {"steps": 4})
    waiting.send("say", {"word": "at last"})
    for _ in range(4):
        with pytest.raises(queue.Empty):
            waiting.queue.get(timeout=0.25)
        nudges.ask("nudge")
    assert waiting.next() == ("result", "at last")


def test_a_host_that_crashes_again_and_again_is_not_started_for_ever() -> None:
    with HostClient(ROUGH) as client:
        answers = Answers(client)
        for _ in range(3):
            assert answers.ask("die", {"code": 3})[1].code == "host"
        with pytest.raises(HostError, match="crashed 3 times within a minute") as caught:
            answers.send("say", {"word": "no"})
        assert "exit code 3" in caught.value.message
        assert "restart the engine" in caught.value.remedy
        assert client.state.kind == "halted"
        client.restart()
        assert answers.ask("say", {"word": "yes"}) == ("result", "yes")


def test_a_restart_on_demand_is_no_crash(client: HostClient) -> None:
    for _ in range(5):
        answers = Answers(client)
        answers.send("wait_for_cancel")
        assert answers.begun.wait(20)
        client.restart()
        assert answers.next()[1].code == "host-restarted"
    assert Answers(client).ask("say", {"word": "yes"}) == ("result", "yes")
    assert "asked for it" not in "".join(log_file.last_lines())


def test_the_program_is_told_what_the_host_does() -> None:
    seen: queue.Queue[HostState] = queue.Queue()
    with HostClient(ROUGH, on_state=seen.put) as client:
        answers = Answers(client)
        answers.ask("say", {"word": "x"})
        answers.send("die", {"code": 9})
        answers.next()
        answers.ask("say", {"word": "x"})
    kinds = []
    reasons = []
    while not seen.empty():
        state = seen.get()
        kinds.append(state.kind)
        reasons.append(state.detail)
    assert kinds[0] == "starting"
    assert kinds.index("busy") < kinds.index("crashed") < len(kinds) - 1
    assert "exit code 9" in reasons[kinds.index("crashed")]
    assert "starting" in kinds[kinds.index("crashed") :]


def test_a_crash_is_in_the_log_without_the_last_words() -> None:
    with HostClient(ROUGH) as client:
        assert Answers(client).ask("die", {"code": 7})[0] == "error"
    (line,) = log_file.last_lines()
    assert "the engine host ended with exit code 7" in line
    assert "last words" not in line


def test_ten_thousand_requests_leave_nothing_behind(client: HostClient) -> None:
    answers = Answers(client)
    own, host = psutil.Process(), psutil.Process(client.pid)

    def measure() -> tuple[int, int, int, int, int, int]:
        return (
            host.memory_info().rss, host.num_fds(), host.num_threads(),
            own.memory_info().rss, own.num_fds(), own.num_threads(),
        )  # fmt: skip

    def rounds(count: int) -> None:
        for number in range(count):
            answers.send("say", {"word": "x" * 500}, topic=f"topic {number % 7}")
            answers.send("tell", {"pieces": ["a", "b"] * 5})
            answers.send("echo", {"number": number})
            answers.send("fail")
            client.cancel(answers.send("say", {"word": number}))
            for _ in range(5):
                answers.next()
            answers.progress.clear()

    rounds(200)
    before = measure()
    rounds(2000)
    after = measure()
    assert after[0] - before[0] < 6_000_000
    assert after[3] - before[3] < 6_000_000
    assert after[1:3] == before[1:3]
    assert after[4:] == before[4:]
    answers.ask("ping")
    assert client._host is not None
    assert not client._host.pending


# The watch alone, with a clock of the test's own -------------------------------------------------


def test_only_what_has_begun_can_be_stuck() -> None:
    clock = Clock()
    watch = Watch(Limits(ping=1, silent=0, cancel=0, stuck=10), clock)
    watch.sent(1, "run")
    watch.sent(2, "train")
    clock.now += 50
    assert watch.verdict() is None
    watch.running({1})
    clock.now += 9
    watch.moved(1)
    clock.now += 9
    assert watch.verdict() is None
    clock.now += 2
    verdict = watch.verdict()
    assert verdict is not None
    assert verdict.guilty == {1}
    assert verdict.reason == "run made no progress for 10 s"


def test_one_heartbeat_at_a_time_and_any_answer_counts() -> None:
    clock = Clock()
    watch = Watch(Limits(silent=5), clock)
    assert watch.asked()
    assert not watch.asked()
    clock.now += 4
    watch.heard()
    clock.now += 100
    assert watch.verdict() is None
    assert watch.asked()
    clock.now += 6
    verdict = watch.verdict()
    assert verdict is not None
    assert verdict.guilty == frozenset()


def test_a_cancelled_request_is_followed_until_it_is_gone() -> None:
    clock = Clock()
    watch = Watch(Limits(cancel=5), clock)
    watch.sent(1, "predict")
    watch.running({1})
    watch.cancelled(1)
    watch.ended(1)
    assert watch.busy
    watch.running(())
    assert not watch.busy
    clock.now += 50
    assert watch.verdict() is None


def test_zero_means_never() -> None:
    clock = Clock()
    watch = Watch(Limits(silent=0, cancel=0, stuck=0), clock)
    watch.sent(1, "run")
    watch.running({1})
    watch.cancelled(1)
    watch.asked()
    clock.now += 10**6
    assert watch.verdict() is None
