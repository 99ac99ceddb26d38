"""An engine host with rough handlers, run as a process by the tests."""

from __future__ import annotations

import os
import re
import resource
import signal
import sys
import threading
from typing import Any

import psutil

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.host.lanes import Place
from vlmtool_core.host.server import Call, HostServer
from vlmtool_core.jobs import Progress

released = threading.Event()
nudged = threading.Semaphore(0)


def echo(call: Call) -> Any:
    return dict(call.params)


def die(call: Call) -> Any:
    print("last words", file=sys.stderr, flush=True)
    if call.params.get("signal"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(int(call.params["code"]))


def wait_for_cancel(call: Call) -> Any:
    call.progress(Progress(0, 1))
    call.cancel._event.wait()
    call.cancel.check()


def wait_for_release(call: Call) -> Any:
    call.progress(Progress(1, 10))
    released.wait()
    return "released"


def release(call: Call) -> Any:
    released.set()
    return None


def fail(call: Call) -> Any:
    raise DamagedMediaError("the file ends early", path="a.jpg")


def burst(call: Call) -> Any:
    for done in range(1, 5001):
        call.progress(Progress(done, 5000))
        call.point({"step": done})
    return 5000


def tell(call: Call) -> Any:
    for piece in call.params["pieces"]:
        call.stream(piece)
    if call.params.get("break"):
        raise DamagedMediaError("the story ends early")
    return "told"


def say(call: Call) -> Any:
    return call.params["word"]


def hang(call: Call) -> Any:
    """A library's code that never returns and obeys nothing."""
    call.progress(Progress(0, 1))
    threading.Event().wait()


def hang_all(call: Call) -> Any:
    """The same, and it keeps every other thread of the process from running too."""
    call.progress(Progress(0, 1))
    return re.match(r"(a+)+$", "a" * 64 + "b") is None


def work_on(call: Call) -> Any:
    """Slow, but it gets on: a step with each nudge."""
    for done in range(1, int(call.params["steps"]) + 1):
        nudged.acquire()
        call.progress(Progress(done, 10**6))
    return "worked"


def nudge(call: Call) -> Any:
    nudged.release()
    return None


def exhaust(call: Call) -> Any:
    """Ask for more memory than the process may have; the limit is real."""
    now = psutil.Process().memory_info().vms
    resource.setrlimit(resource.RLIMIT_AS, (now + 100_000_000, resource.RLIM_INFINITY))
    try:
        return len(bytearray(int(call.params["bytes"])))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def exhaust_accelerator(call: Call) -> Any:
    raise RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has 8.00 GiB")


def leave(call: Call) -> Any:
    raise SystemExit("a library wanted to end the program")


def unwritable(call: Call) -> Any:
    return {"object": object()}


def place(kind: str, params: Any) -> Place:
    if kind in ("release", "echo", "nudge"):
        return Place("quick")
    return Place("work", params.get("rank", 0), abandoned=bool(params.get("abandoned")))


HANDLERS = {
    "echo": echo,
    "die": die,
    "wait_for_cancel": wait_for_cancel,
    "wait_for_release": wait_for_release,
    "release": release,
    "fail": fail,
    "burst": burst,
    "tell": tell,
    "say": say,
    "hang": hang,
    "hang_all": hang_all,
    "work_on": work_on,
    "nudge": nudge,
    "exhaust": exhaust,
    "exhaust_accelerator": exhaust_accelerator,
    "leave": leave,
    "unwritable": unwritable,
}

if __name__ == "__main__":
    HostServer(sys.stdin.buffer, sys.stdout.buffer, HANDLERS, place=place).serve()
    os._exit(0)
