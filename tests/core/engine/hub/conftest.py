"""A hub on loopback with one small model in it, and a way to pull from it with little patience."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlmtool_core.engine.packs.hub import Hub, Patience
from vlmtool_core.engine.packs.hub_packs import HubWish, PullWatch, pull_from_hub
from vlmtool_core.engine.packs.hub_reference import parse_reference
from vlmtool_core.engine.packs.pack import Pack
from vlmtool_core.jobs import CancelToken

sys.path.insert(0, str(Path(__file__).parent))

from hub_server import HASTE, REPO, HubServer, Repo, serving, use_hub, vit_files


@pytest.fixture(scope="session")
def model_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A tiny classifier whose weights are large enough to be cut in many places."""
    files = vit_files(tmp_path_factory.mktemp("made") / "vit")
    files["README.md"] = b"---\nlicense: apache-2.0\n---\nTiny."
    files["LICENSE"] = b"Terms."
    return files


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving() as running:
        use_hub(monkeypatch, running)
        yield running


@pytest.fixture
def repo(server: HubServer, model_files: dict[str, bytes]) -> Repo:
    server.repos[REPO] = Repo(dict(model_files))
    return server.repos[REPO]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "models"


class Puller:
    """Pulls with little patience, so that faults do not make the tests slow."""

    def __init__(self, server: HubServer, root: Path) -> None:
        self.server = server
        self.root = root
        self.expected = 0
        self.reported = 0

    def __call__(
        self, text: str = REPO, *, token: str = "", accepted: bool = False,
        pack_id: str | None = None, cancel: CancelToken | None = None,
        patience: Patience = HASTE, taken: tuple[str, ...] = (),
    ) -> Pack:  # fmt: skip
        def expect(count: int) -> None:
            self.expected += count

        def report(count: int, _message: str) -> None:
            self.reported = count

        self.expected = 0
        wish = HubWish(parse_reference(text, self.server.url), pack_id, accepted)
        hub = Hub(self.server.url, token, patience=patience)
        return pull_from_hub(
            self.root, wish, taken, PullWatch(expect, report), cancel or CancelToken(), hub=hub
        )


@pytest.fixture
def pull(server: HubServer, repo: Repo, root: Path) -> Puller:
    return Puller(server, root)
