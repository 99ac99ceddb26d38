"""A hub on loopback that speaks the real one's API, and misbehaves when told to."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from vlmtool_core.engine.packs.hub import Patience

LARGE = 1000
REPO = "acme/Tiny-ViT"
WEIGHTS = "model.safetensors"
HASTE = Patience(silence=2.0, pause=0.005, longest_pause=3.0, tries=4)
_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HOME")


@dataclass
class Repo:
    """A repository: its files, and what the hub says of it.

    granted : tokens that may fetch it although it is gated
    lies : entries of the listing that are changed, by file name
    """

    files: dict[str, bytes]
    commit: str = "0123456789abcdef0123456789abcdef01234567"
    licence: str | None = "apache-2.0"
    gated: bool = False
    granted: set[str] = field(default_factory=set)
    lies: dict[str, dict[str, object]] = field(default_factory=dict)
    answer: object | None = None

    def listing(self) -> dict[str, object]:
        siblings = [self._sibling(name, data) for name, data in self.files.items()]
        card = {"license": self.licence} if self.licence else {}
        return {
            "id": "x", "sha": self.commit, "gated": "manual" if self.gated else False,
            "siblings": siblings, "cardData": card, "tags": [],
        }  # fmt: skip

    def _sibling(self, name: str, data: bytes) -> dict[str, object]:
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        entry: dict[str, object] = {"rfilename": name, "size": len(data), "blobId": blob}
        if len(data) >= LARGE:
            entry["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        return entry | self.lies.get(name, {})


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer.

    status, headers : answered instead of the file
    cut : so many bytes of the body are sent, then the connection is closed
    pause_s : before each kilobyte
    body : sent instead of the file's bytes
    ignore_range : the whole file comes although a part was asked for
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None
    pause_s: float = 0.0
    body: bytes | None = None
    ignore_range: bool = False


@dataclass(frozen=True)
class Request:
    host: str
    path: str
    token: str
    range: str


class HubServer:
    """Two hosts: the hub itself, and the store of large files that it redirects to."""

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.tokens: set[str] = set()
        self.requests: list[Request] = []
        self.faults: list[tuple[str, Fault]] = []
        self.redirect = False
        self.sent = 0
        self.busy = 0
        self.most_busy = 0
        self._lock = threading.Lock()
        self._servers = [self._start("hub"), self._start("store")]
        self.url, self.store_url = (
            f"http://127.0.0.1:{server.server_address[1]}" for server in self._servers
        )

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def fail(self, pattern: str, *faults: Fault) -> None:
        """The next answers to requests whose path matches go wrong like this, in order."""
        self.faults += [(pattern, fault) for fault in faults]

    def asked(self, pattern: str) -> list[Request]:
        return [request for request in self.requests if re.search(pattern, request.path)]

    def _start(self, host: str) -> http.server.ThreadingHTTPServer:
        hub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = unquote(urlsplit(self.path).path)
                token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                asked = self.headers.get("Range") or ""
                with hub._lock:
                    hub.requests.append(Request(host, path, token, asked))
                    fault = hub._take_fault(path)
                    hub.busy += 1
                    hub.most_busy = max(hub.busy, hub.most_busy)
                try:
                    hub._answer(self, host, path, token, fault)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True
                finally:
                    with hub._lock:
                        hub.busy -= 1

            def log_message(self, *_args: object) -> None:
                """Quiet."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return server

    def _take_fault(self, path: str) -> Fault:
        for number, (pattern, fault) in enumerate(self.faults):
            if re.search(pattern, path):
                del self.faults[number]
                return fault
        return Fault()

    def _answer(
        self, handler: http.server.BaseHTTPRequestHandler, host: str, path: str, token: str,
        fault: Fault,
    ) -> None:  # fmt: skip
        if fault.status >= 300:
            send(handler, fault.status, b"", fault.headers)
            return
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
            self._info(handler, found[1], found[2], token)
            return
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        repo = self.repos.get(found[1]) if found else None
        if found is None or repo is None:
            send(handler, 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif (refusal := self._refusal(repo, token)) and host == "hub":
            send(handler, *refusal)
        elif found[2] != repo.commit or found[3] not in repo.files:
            send(handler, 404, b"", {"X-Error-Code": "EntryNotFound"})
        elif self.redirect and host == "hub" and len(repo.files[found[3]]) >= LARGE:
            send(handler, 302, b"", {"Location": self.store_url + path})
        else:
            self._file(handler, repo.files[found[3]], fault)

    def _info(self, handler, name: str, revision: str, token: str) -> None:
        repo = self.repos.get(name)
        if token and token not in self.tokens:
            send(handler, 401, b"", {"X-Error-Message": "Invalid credentials"})
        elif repo is None:
            send(handler, 404, b"", {"X-Error-Code": "RepoNotFound"})
        elif revision not in {"main", "v1", repo.commit}:
            send(handler, 404, b"", {"X-Error-Code": "RevisionNotFound"})
        else:
            body = repo.listing() if repo.answer is None else repo.answer
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            send(handler, 200, data, {"Content-Type": "application/json"})

    def _refusal(self, repo: Repo, token: str) -> tuple[int, bytes, dict[str, str]] | None:
        if not repo.gated or token in repo.granted:
            return None
        return 403 if token else 401, b"", {"X-Error-Code": "GatedRepo"}

    def _file(self, handler, data: bytes, fault: Fault) -> None:
        body = data if fault.body is None else fault.body
        start = 0
        headers = {}
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range") or "")
        if asked and not fault.ignore_range:
            start = int(asked[1])
            if start >= len(body):
                send(handler, 416, b"", {"Content-Range": f"bytes */{len(body)}"})
                return
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        part = body[start:]
        handler.send_response(206 if headers else 200)
        for name, value in {**headers, "Content-Length": str(len(part))}.items():
            handler.send_header(name, value)
        handler.end_headers()
        if fault.cut is not None:
            part = part[: fault.cut]
            handler.close_connection = True
        step = 1024 if fault.pause_s else 1 << 16
        for place in range(0, len(part), step):
            if fault.pause_s:
                time.sleep(fault.pause_s)
            piece = part[place : place + step]
            handler.wfile.write(piece)
            with self._lock:
                self.sent += len(piece)


def send(handler, status: int, body: bytes, headers: Mapping[str, str]) -> None:
    handler.send_response(status)
    for name, value in {**headers, "Content-Length": str(len(body))}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


@contextmanager
def serving() -> Iterator[HubServer]:
    server = HubServer()
    try:
        yield server
    finally:
        server.close()


def left_over(root: Path) -> list[str]:
    """What lies in a model store, hidden folders too."""
    return sorted(path.name for path in root.iterdir()) if root.exists() else []


def use_hub(monkeypatch: pytest.MonkeyPatch, server: HubServer) -> None:
    """Let this process and its children find this hub, without proxies and tokens."""
    for name in (*_PROXIES, *_TOKENS):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_TOKEN_PATH", "/nowhere/token")
    monkeypatch.setenv("HF_ENDPOINT", server.url)


def vit_files(folder: Path) -> dict[str, bytes]:
    """The files of a tiny random classifier."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=96, num_hidden_layers=1, num_attention_heads=2, intermediate_size=384,
        image_size=32, patch_size=16, id2label={0: "cat", 1: "dog"}, label2id={"cat": 0, "dog": 1},
    )  # fmt: skip
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}
