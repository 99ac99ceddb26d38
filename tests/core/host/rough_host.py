"""An engine host with rough handlers, run as a process by the tests."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.host.server import Call, HostServer
from vlmtool_core.jobs import Progress

released = threading.Event()


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


def leave(call: Call) -> Any:
    raise SystemExit("a library wanted to end the program")


def unwritable(call: Call) -> Any:
    return {"object": object()}


HANDLERS = {
    "echo": echo,
    "die": die,
    "wait_for_cancel": wait_for_cancel,
    "wait_for_release": wait_for_release,
    "release": release,
    "fail": fail,
    "burst": burst,
    "tell": tell,
    "leave": leave,
    "unwritable": unwritable,
}

if __name__ == "__main__":
    HostServer(
        sys.stdin.buffer, sys.stdout.buffer, HANDLERS, quick=frozenset({"release", "echo"})
    ).serve()
    os._exit(0)
