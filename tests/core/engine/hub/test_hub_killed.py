"""A pull that is killed outright leaves what it has; the next one goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from hub_server import REPO, WEIGHTS, Fault

# Only fetches: nothing of torch is imported, so the process is there at once.
SCRIPT = """
import sys
from pathlib import Path
from vlmtool_core.engine.packs.hub import Hub
from vlmtool_core.engine.packs.hub_files import HubFiles
from vlmtool_core.engine.packs.hub_reference import Reference
from vlmtool_core.jobs import CancelToken

cancel = CancelToken()
with Hub() as hub:
    info = hub.info(Reference(sys.argv[1]), cancel)
    folder = Path(sys.argv[2])
    folder.mkdir(parents=True)
    files = [file for file in info.files if file.name == "model.safetensors"]
    HubFiles(hub, info, folder, lambda count: print(count, flush=True)).bring(files, cancel)
"""


def test_a_killed_pull_is_gone_on_from(server, repo, pull, root):
    folder = root / ".partial-acme--Tiny-ViT" / repo.commit
    server.fail(WEIGHTS, Fault(pause_s=0.02))
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, REPO, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    while int(process.stdout.readline()) < 20_000:
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    part = folder / f"{WEIGHTS}.part"
    there = part.stat().st_size
    assert 20_000 <= there < len(repo.files[WEIGHTS])
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and server.busy:
        time.sleep(0.01)  # the server notices only when it writes to the dead connection
    before = server.sent
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    small = sum(len(data) for name, data in repo.files.items() if name != WEIGHTS)
    assert server.sent - before == len(repo.files[WEIGHTS]) - there + small
    assert server.asked(WEIGHTS)[-1].range == f"bytes={there}-"
