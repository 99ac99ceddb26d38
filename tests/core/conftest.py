"""On which databases the tests of stores and projects run: files, and a PostgreSQL server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from vlmtool_core.project import Project
from vlmtool_core.store.repository import (
    Store,
    create_server_store,
    create_store,
    open_server_store,
    open_store,
)

sys.path.insert(0, str(Path(__file__).parent))

from postgres_server import MISSING, Server, binaries, running_server

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A private PostgreSQL server; the test is skipped where there is none to start."""
    folder = binaries()
    if folder is None:
        pytest.skip(MISSING)
    with running_server(folder) as started:
        yield started


@pytest.fixture(scope="session")
def template(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with a project's empty tables, to be copied."""
    name = server.new_database()
    create_server_store(server.url(name), tmp_path_factory.mktemp("template")).close()
    return name


class Places:
    """Makes stores and opens them again, on one kind of database."""

    def __init__(self, kind: str, folder: Path, request: pytest.FixtureRequest) -> None:
        self.kind = kind
        self._folder = folder
        self._request = request
        self._urls: dict[str, str] = {}

    def new_url(self) -> str | None:
        """An empty database for `Project.create`, None where a file will do."""
        if self.kind == "sqlite":
            return None
        server: Server = self._request.getfixturevalue("server")
        return server.url(server.new_database())

    def create(self, name: str = "p", author: str = "tester") -> Store:
        if self.kind == "sqlite":
            return create_store(self._folder / name / "project.sqlite", author)
        server: Server = self._request.getfixturevalue("server")
        database = server.new_database(self._request.getfixturevalue("template"))
        self._urls[name] = server.url(database)
        return open_server_store(self._urls[name], self._folder / name, author=author)

    def open(self, name: str = "p", *, busy_timeout_s: float = 10.0) -> Store:
        folder = self._folder / name
        if self.kind == "sqlite":
            file, backups = folder / "project.sqlite", folder / "backups"
            return open_store(file, backups, busy_timeout_s=busy_timeout_s)
        return open_server_store(self._urls[name], folder, busy_timeout_s=busy_timeout_s)

    def create_project(self, root: Path) -> Project:
        """A new project in this folder, its records in the file or on the server."""
        return Project.create(root, database=self.new_url())


@pytest.fixture(params=KINDS)
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Places:
    """Where stores are kept: files, then databases of a server."""
    if request.param == "postgresql":
        request.getfixturevalue("server")
    return Places(request.param, tmp_path, request)
