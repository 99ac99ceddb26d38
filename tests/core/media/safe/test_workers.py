"""What a file can do to the worker that decodes it, and what becomes of the program: nothing."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from vlmtool_core.errors import (
    BudgetExceededError,
    CancelledError,
    DamagedMediaError,
    MediaError,
)
from vlmtool_core.media import open_media
from vlmtool_core.media.safe.pool import pool
from vlmtool_core.media.safe.source import RemoteSource

Make = Callable[[str], Path]


def test_a_harmless_file_is_decoded_in_another_process(hostile: Make) -> None:
    with open_media(hostile("nothing")) as source:
        assert isinstance(source, RemoteSource)
        assert source.info.width == 40
        frame = source.frame(7)
    assert frame.provenance["pid"] not in (0, os.getpid())
    assert frame.pixels.shape == (30, 40, 3)
    assert (frame.pixels == 7).all()


@pytest.mark.parametrize(
    ("deed", "error", "said"),
    [
        ("crash", DamagedMediaError, "crashed with SIGSEGV"),
        ("hang", BudgetExceededError, "no answer in 2 s"),
        ("spin", BudgetExceededError, "no answer in 2 s"),
        ("grow", BudgetExceededError, "limit decode_memory_mb of 256 MB"),
    ],
)
def test_a_deed_fails_one_call_with_the_file_and_the_reason(
    hostile: Make,
    deed: str,
    error: type[MediaError],
    said: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = hostile(deed)
    with open_media(path) as source, open_media(hostile("nothing")) as other:
        with caplog.at_level(logging.WARNING), pytest.raises(error, match=said) as caught:
            source.frame(1)
        assert caught.value.path == str(path)
        assert caught.value.remedy
        assert "decoder" in caplog.text
        # The same source goes on with what is good of it, and the other one never noticed.
        assert source.frame(0).pixels.max() == 0
        assert other.frame(3).pixels.max() == 3


def test_a_crash_while_opening_is_the_files_own(hostile: Make) -> None:
    with pytest.raises(DamagedMediaError, match="crashed with SIGABRT") as caught:
        open_media(hostile("crash on opening"))
    assert caught.value.path is not None


@pytest.mark.parametrize(
    ("deed", "error"), [("crash", DamagedMediaError), ("hang", BudgetExceededError)]
)
def test_a_stream_gives_what_came_before_the_deed(
    hostile: Make, deed: str, error: type[MediaError]
) -> None:
    with open_media(hostile(deed)) as source:
        seen = []
        with pytest.raises(error):
            seen.extend(frame.index for frame in source.frames())
        assert seen == list(range(len(seen)))
        assert len(seen) <= 20


def test_other_calls_may_come_between_the_items_of_a_stream(hostile: Make) -> None:
    with open_media(hostile("nothing")) as source:
        outer = []
        for frame in source.frames():
            outer.append(int(frame.pixels[0, 0, 0]))
            if frame.index % 10 == 0:
                assert source.frame(frame.index).pixels.max() == frame.index
                inner = [int(f.pixels.max()) for f in source.frames([5, 6, 7])]
                assert inner == [5, 6, 7]
        assert outer == list(range(50))


def test_a_stream_that_nobody_reads_on_leaves_the_worker_free(hostile: Make) -> None:
    with open_media(hostile("hang")) as source:
        stream = source.frames()
        assert next(iter(stream)).index == 0
        stream.close()  # type: ignore[attr-defined]
        assert source.frame(0).index == 0


def test_signs_of_life_keep_a_long_call_going(hostile: Make) -> None:
    with open_media(hostile("slow")) as source:
        assert source.frame(1).index == 1  # takes 3 s, the limit without a sign is 2 s


def test_errors_arrive_with_all_their_fields(hostile: Make, tmp_path: Path) -> None:
    with open_media(hostile("nothing")) as source, pytest.raises(IndexError, match="no frame 99"):
        source.frame(99)
    broken = tmp_path / "broken.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(broken)
    broken.write_bytes(broken.read_bytes()[:2000])
    with open_media(broken) as source, pytest.raises(DamagedMediaError) as remote:
        source.frame()
    assert remote.value.path == str(broken)
    assert remote.value.remedy == DamagedMediaError.default_remedy


def test_another_thread_can_cancel(hostile: Make) -> None:
    source = open_media(hostile("hang"))
    assert isinstance(source, RemoteSource)
    caught: list[BaseException] = []

    def work() -> None:
        try:
            source.frame(1)
        except CancelledError as error:
            caught.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive():
        source.cancel()
        thread.join(0.05)
    assert len(caught) == 1
    assert source.frame(0).index == 0


def test_many_threads_share_the_workers(hostile: Make) -> None:
    path = hostile("nothing")
    wrong: list[str] = []

    def work(number: int) -> None:
        for _ in range(5):
            with open_media(path) as source:
                for frame in source.frames(range(number, number + 10)):
                    if int(frame.pixels[-1, -1, -1]) != frame.index:
                        wrong.append(f"{number}: {frame.index}")

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert 1 <= len(pool().pids) <= pool().most


def test_frames_stay_as_they_were_however_many_are_held(hostile: Make) -> None:
    with open_media(hostile("nothing")) as source:
        held = [frame for _ in range(4) for frame in source.frames()]
        slices = [frame.pixels[10:20, ::2] for frame in held]
        numbers = [frame.index for frame in held]
        del held
        again = [frame.pixels.max() for frame in source.frames()]
    assert [int(part.max()) for part in slices] == numbers
    assert [int(part.min()) for part in slices] == numbers
    assert again == list(range(50))


def test_settings_reach_workers_that_are_warm(hostile: Make, tmp_path: Path) -> None:
    from vlmtool_core.settings import Settings, save_settings

    path = tmp_path / "wide.png"
    Image.fromarray(np.zeros((1000, 2000, 3), np.uint8)).save(path)
    with open_media(path) as source:
        assert source.info.width == 2000
    save_settings(Settings(max_megapixels=1))
    with pytest.raises(BudgetExceededError, match="max_megapixels is 1") as caught:
        open_media(path)
    assert caught.value.field == "max_megapixels"


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal")
@pytest.mark.parametrize("deed", ["nothing", "spin"])
def test_no_worker_outlives_a_program_that_is_killed(hostile: Make, deed: str) -> None:
    code = (
        "import hostile_reader, sys\n"
        "from vlmtool_core.media import open_media\n"
        "from vlmtool_core.media.safe.pool import pool\n"
        "hostile_reader.connect()\n"
        "source = open_media(sys.argv[1])\n"
        "print(*pool().pids, flush=True)\n"
        "source.frame(1)\n"
        "sys.stdin.read()\n"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, str(hostile(deed))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    pids = [int(text) for text in program.stdout.readline().split()]
    workers = [psutil.Process(pid) for pid in pids]
    assert workers
    program.send_signal(signal.SIGKILL)
    program.communicate()
    _, left = psutil.wait_procs(workers, timeout=30)
    assert left == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
def test_a_forked_child_has_workers_of_its_own(hostile: Make) -> None:
    path = hostile("nothing")
    code = (
        "import hostile_reader, os, sys\n"
        "from vlmtool_core.media import open_media\n"
        "hostile_reader.connect()\n"
        "source = open_media(sys.argv[1])\n"
        "before = source.frame(1).provenance['pid']\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if source.frame(1).provenance['pid'] != before else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "assert source.frame(1).provenance['pid'] == before\n"
        "print('good')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=120
    )
    assert run.stdout == "good\n", run.stderr


def test_a_worker_that_was_killed_is_replaced_without_a_failure(hostile: Make) -> None:
    with open_media(hostile("nothing")) as source:
        first = source.frame(1).provenance["pid"]
        worker = psutil.Process(int(first))
        worker.kill()
        deadline = time.monotonic() + 30
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline
        with pytest.raises(DamagedMediaError, match="SIGKILL"):
            source.frame(2)
        assert source.frame(2).provenance["pid"] != first


def test_everything_can_be_decoded_in_the_program_itself(
    hostile: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLMTOOL_DECODE", "here")
    with open_media(hostile("nothing")) as source:
        assert not isinstance(source, RemoteSource)
        assert source.frame(1).provenance["pid"] == os.getpid()
