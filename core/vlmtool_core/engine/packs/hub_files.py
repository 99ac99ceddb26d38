"""Files of a repository come into a folder: in parallel, resumed at the byte where they stopped,
and each checked against the hub's hash before it counts."""

from __future__ import annotations

import hashlib
import queue
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from vlmtool_core.engine.packs.hub import Hub
from vlmtool_core.engine.packs.hub_info import HubFile, RepoInfo
from vlmtool_core.engine.packs.wheels import storage_error
from vlmtool_core.errors import CancelledError, PackIntegrityError
from vlmtool_core.jobs import CancelToken

if TYPE_CHECKING:
    import httpx2

PART = ".part"
_THREADS = 4
_POLL_S = 0.1
_LEAVE_S = 2.0
_RANGE = re.compile(r"bytes (\d+)-")


class HubFiles:
    """Brings files of one repository at one commit into `folder`.

    What an earlier try left there is kept: whole files after their hash was checked again, parts
    to go on from.

    Parameters
    ----------
    on_bytes : told from one thread how many bytes have arrived since the beginning
    """

    def __init__(
        self, hub: Hub, info: RepoInfo, folder: Path, on_bytes: Callable[[int], None]
    ) -> None:
        self._hub = hub
        self._info = info
        self._folder = folder
        self._on_bytes = on_bytes
        self._lock = threading.Lock()
        self._there = 0
        self.hashes: dict[str, str] = {}

    def bring(self, files: Sequence[HubFile], cancel: CancelToken) -> None:
        """Return when all files are there and checked; `hashes` then knows the SHA-256 of each.

        Raises
        ------
        PackDownloadError, PackAccessError, PackIntegrityError, StorageError, CancelledError
        """
        stop = CancelToken()
        waiting: queue.SimpleQueue[HubFile] = queue.SimpleQueue()
        for file in sorted(files, key=lambda file: -file.size):
            waiting.put(file)
        ended: queue.SimpleQueue[BaseException | None] = queue.SimpleQueue()
        # Daemons: a connection on which nothing arrives must not keep a cancelled program alive.
        threads = [
            threading.Thread(target=self._work, args=(waiting, ended, stop), daemon=True)
            for _ in range(min(_THREADS, len(files)))
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(ended, len(threads), cancel)
        finally:
            stop.cancel()
            for thread in threads:
                thread.join(_LEAVE_S)

    def _watch(
        self, ended: queue.SimpleQueue[BaseException | None], threads: int, cancel: CancelToken
    ) -> None:
        while threads:
            try:
                error = ended.get(timeout=_POLL_S)
            except queue.Empty:
                cancel.check()
            else:
                if error is not None:
                    raise error
                threads -= 1
            self._on_bytes(self.arrived)

    @property
    def arrived(self) -> int:
        """Bytes that came and were of use; what an earlier try brought does not count."""
        return max(0, self._there)

    def _work(
        self,
        waiting: queue.SimpleQueue[HubFile],
        ended: queue.SimpleQueue[BaseException | None],
        stop: CancelToken,
    ) -> None:
        try:
            while True:
                stop.check()
                self._bring_one(waiting.get_nowait(), stop)
        except (queue.Empty, CancelledError):
            ended.put(None)
        except BaseException as error:  # noqa: BLE001  (it is raised again by the waiting thread)
            ended.put(error)

    def _bring_one(self, file: HubFile, stop: CancelToken) -> None:
        target = self._folder / file.name
        part = target.with_name(target.name + PART)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_file():
            target.replace(part)  # checked again below
        while True:
            resumed = self._download(file, part, stop)
            if self._is_right(file, part):
                part.replace(target)
                return
            self._forget(part)
            if not resumed:
                raise PackIntegrityError(
                    f"{file.name} of {self._info.repo} arrived with another hash than the hub "
                    "states",
                    remedy="Pull again. If it stays so, the hub or the mirror serves a changed "
                    "file: check HF_ENDPOINT.",
                )

    def _is_right(self, file: HubFile, path: Path) -> bool:
        whole = hashlib.sha256()
        git = hashlib.sha1(b"blob %d\0" % file.size, usedforsecurity=False)
        try:
            with path.open("rb") as source:
                while part := source.read(1 << 20):
                    whole.update(part)
                    if not file.sha256:
                        git.update(part)
        except OSError as error:
            raise storage_error(error, path) from error
        self.hashes[file.name] = whole.hexdigest()
        if file.sha256:
            return whole.hexdigest() == file.sha256
        return git.hexdigest() == file.git_sha1

    def _download(self, file: HubFile, part: Path, stop: CancelToken) -> bool:
        """Fill `part`; whether some of it was there before."""
        import httpx2

        part.touch()
        start = part.stat().st_size
        if start > file.size:
            self._truncate(part, 0)
            start = 0
        there, furthest, tries = start, start, 0
        while there < file.size:
            broken: Exception = EOFError("the connection was closed early")
            try:
                self._stream(file, part, there, stop)
            except httpx2.TransportError as error:
                broken = error
            there = part.stat().st_size
            # A server that always begins anew and breaks off is given up, too.
            tries = 0 if there > furthest else tries + 1
            furthest = max(furthest, there)
            if there < file.size:
                if tries >= self._hub.patience.tries:
                    raise self._hub.unreachable(broken)
                self._hub.pause(tries, stop)
        return start > 0

    def _stream(self, file: HubFile, part: Path, there: int, stop: CancelToken) -> None:
        """Append what the hub sends from byte `there` on, until it is whole or breaks off."""
        url = (
            f"{self._hub.endpoint}/{self._info.repo}/resolve/{self._info.commit}/{quote(file.name)}"
        )
        headers = {"Range": f"bytes={there}-"} if there else {}
        with self._hub.opened(url, self._info.repo, headers, stop) as response:
            if _first_byte(response) != there:
                # Asked to go on, it begins again (or has nothing there): so do we.
                self._count(-there)
                self._truncate(part, 0)
                there = 0
            if response.status_code == 416:
                return
            self._append(response, file, part, there, stop)

    def _append(
        self, response: httpx2.Response, file: HubFile, part: Path, there: int, stop: CancelToken
    ) -> None:
        try:
            with part.open("ab", buffering=0) as output:
                for piece in response.iter_bytes():
                    stop.check()
                    there += len(piece)
                    if there > file.size:
                        self._forget(part)
                        raise PackIntegrityError(
                            f"{file.name} of {self._info.repo} is larger than the hub states "
                            f"({file.size} bytes)",
                            remedy="Do not use this hub or mirror: check HF_ENDPOINT.",
                        )
                    output.write(piece)
                    self._count(len(piece))
        except OSError as error:
            raise storage_error(error, part) from error

    def _forget(self, part: Path) -> None:
        self._count(-part.stat().st_size)
        part.unlink()

    def _truncate(self, part: Path, size: int) -> None:
        with part.open("r+b") as file:
            file.truncate(size)

    def _count(self, size: int) -> None:
        with self._lock:
            self._there += size


def _first_byte(response: httpx2.Response) -> int:
    """Where the body begins in the file; -1 where there is no body."""
    if response.status_code == 206:
        found = _RANGE.match(response.headers.get("Content-Range", ""))
        return int(found[1]) if found else -1
    return 0 if response.status_code == 200 else -1
