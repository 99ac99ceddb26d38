"""The host's protocol, server and client, with real processes that are killed and misused."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
from typing import Any

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.host.asking import ROUGH, Answers

from vlmtool_core.errors import HostError
from vlmtool_core.host.client import HostClient
from vlmtool_core.host.protocol import Message, decode, encode

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.sampled_from(["request", "progress", "result", "error"]),
    st.integers(),
    st.dictionaries(st.text(), json_values),
)
def test_messages_survive_the_wire(kind: Any, number: int, body: dict[str, Any]) -> None:
    message = Message(kind, number, body, "echo" if kind == "request" else "")
    line = encode(message)
    assert line.count(b"\n") == 1
    assert decode(line) == message


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_host_error(line: bytes) -> None:
    try:
        known = bool(decode(line).type)
    except HostError as error:
        known = bool(error.field)
    assert known


def test_names_that_are_no_utf8_survive(client: HostClient) -> None:
    name = os.fsdecode(b"caf\xe9 \xe5\x9b\xbe.jpg")
    assert Answers(client).ask("echo", {"path": name}) == ("result", {"path": name})


def test_kill_9_in_a_request_is_reported_and_the_next_request_works(client: HostClient) -> None:
    answers = Answers(client)
    answers.send("wait_for_cancel")
    assert answers.begun.wait(20)
    first = client.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    kind, error = answers.next()
    assert kind == "error"
    assert error.code == "host"
    assert "SIGKILL" in error.message
    assert answers.ask("echo", {"a": 1}) == ("result", {"a": 1})
    assert client.pid != first
    assert not psutil.pid_exists(first)


def test_every_pending_request_gets_the_reason_of_a_crash(client: HostClient) -> None:
    answers = Answers(client)
    answers.send("die", {"code": 7})
    answers.send("wait_for_cancel")
    answers.send("wait_for_cancel")
    errors = [answers.next() for _ in range(3)]
    assert {kind for kind, _ in errors} == {"error"}
    assert all("exit code 7" in error.message for _, error in errors)
    assert "last words" in errors[0][1].message


def test_an_unasked_exit_is_told_to_the_program() -> None:
    reasons: queue.Queue[str] = queue.Queue()
    with HostClient(ROUGH, on_exit=reasons.put) as client:
        client.request("die", {"signal": True})
        assert "SIGKILL" in reasons.get(timeout=20)


def test_cancel_stops_what_runs_and_what_waits(client: HostClient) -> None:
    answers = Answers(client)
    running = answers.send("wait_for_cancel")
    waiting = answers.send("wait_for_cancel")
    assert answers.begun.wait(20)
    client.cancel(waiting)
    kind, error = answers.next()
    assert (kind, error.code) == ("error", "cancelled")
    client.cancel(running)
    kind, error = answers.next()
    assert (kind, error.code) == ("error", "cancelled")
    assert answers.ask("ping")[0] == "result"


def test_cancel_of_an_answered_request_does_nothing(client: HostClient) -> None:
    answers = Answers(client)
    number = answers.send("echo")
    answers.next()
    client.cancel(number)
    client.cancel(12345)
    assert answers.ask("ping")[0] == "result"


def test_ping_and_quick_requests_pass_a_long_job(client: HostClient) -> None:
    answers = Answers(client)
    answers.send("wait_for_release")
    assert answers.begun.wait(20)
    assert answers.ask("ping")[1]["pid"] == client.pid
    assert answers.ask("echo", {"n": 2}) == ("result", {"n": 2})
    answers.send("release")
    assert {answers.next()[1] for _ in range(2)} == {None, "released"}


def test_errors_travel_whole(client: HostClient) -> None:
    _, error = Answers(client).ask("fail")
    assert (error.code, error.path) == ("media-damaged", "a.jpg")
    assert error.remedy


@pytest.mark.parametrize(
    ("kind", "code"), [("nonsense", "usage"), ("leave", "internal"), ("unwritable", "internal")]
)
def test_a_bad_request_gets_its_own_error(client: HostClient, kind: str, code: str) -> None:
    answers = Answers(client)
    assert answers.ask(kind)[1].code == code
    assert answers.ask("ping")[0] == "result"


def test_progress_is_throttled_and_no_curve_point_is_lost(client: HostClient) -> None:
    answers = Answers(client)
    assert answers.ask("burst") == ("result", 5000)
    assert len(answers.progress) < 100
    assert answers.progress[-1]["done"] == 5000
    points = [point["step"] for p in answers.progress for point in p.get("curve", [])]
    assert points == list(range(1, 5001))


@pytest.mark.parametrize("broken", [False, True])
def test_streamed_text_arrives_whole_and_before_the_end(client: HostClient, broken: bool) -> None:
    answers = Answers(client)
    pieces = [f"片 {number} 🖼 " for number in range(2000)]
    state, _ = answers.ask("tell", {"pieces": pieces, "break": broken})
    assert state == ("error" if broken else "result")
    assert "".join(p.get("text", "") for p in answers.progress) == "".join(pieces)
    assert answers.progress[0]["text"] == pieces[0]
    assert len(answers.progress) < 100


def test_a_thousand_pings_leak_nothing(client: HostClient) -> None:
    answers = Answers(client)
    for _ in range(50):
        answers.ask("ping")
    host = psutil.Process(client.pid)
    before = host.memory_info().rss, host.num_fds(), host.num_threads()
    own = psutil.Process().num_fds()
    for _ in range(1000):
        answers.ask("ping")
    after = host.memory_info().rss, host.num_fds(), host.num_threads()
    assert after[0] - before[0] < 4_000_000
    assert after[1:] == before[1:]
    assert psutil.Process().num_fds() == own
    assert client._host is not None
    assert not client._host.pending
    assert not client._host.watch.busy


def test_close_ends_the_process_and_the_pending_requests() -> None:
    client = HostClient(ROUGH)
    client.start()
    answers = Answers(client)
    answers.send("wait_for_cancel")
    assert answers.begun.wait(20)
    pid = client.pid
    client.close()
    kind, error = answers.next()
    assert (kind, error.code) == ("error", "cancelled")
    assert not psutil.pid_exists(pid or 0)
    with pytest.raises(HostError):
        client.request("ping")
    client.close()


def test_close_frees_every_descriptor() -> None:
    own = psutil.Process().num_fds()
    for _ in range(3):
        with HostClient(ROUGH) as client:
            Answers(client).ask("ping")
    assert psutil.Process().num_fds() == own


def test_a_host_that_cannot_start_is_an_error() -> None:
    with pytest.raises(HostError) as caught:
        HostClient(["/nowhere/python"]).start()
    assert "doctor" in caught.value.remedy


def _talk(lines: bytes) -> list[dict[str, Any]]:
    done = subprocess.run(ROUGH, input=lines, capture_output=True, timeout=30, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_malformed_lines_are_answered_and_do_no_harm() -> None:
    bad = [
        b"{",
        b"[1]",
        b'{"v":2,"id":1,"type":"request","kind":"ping","params":{}}',
        b'{"v":1,"id":"x","type":"request","kind":"ping","params":{}}',
        b'{"v":1,"id":2,"type":"request","params":{}}',
        b'{"v":1,"id":3,"type":"request","kind":"ping","params":[]}',
        b'{"v":1,"id":4,"type":"result","result":null}',
        b"\xff\xfe",
        b"[" * 100_000,
    ]
    good = encode(Message("request", 9, {}, "ping"))
    answers = _talk(b"\n".join(bad) + b"\n\n" + good)
    assert [a["type"] for a in answers] == ["error"] * len(bad) + ["result"]
    assert [a["id"] for a in answers] == [None, None, 1, None, 2, 3, 4, None, None, 9]


def test_the_host_ends_with_its_standard_input() -> None:
    process = subprocess.Popen(ROUGH, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(encode(Message("request", 1, {}, "wait_for_cancel")))
    process.stdin.flush()
    assert process.stdout.readline()
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()
