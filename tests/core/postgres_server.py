"""A PostgreSQL server for the tests: private, in a temporary folder, reached by a Unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

_PLACES = "/usr/lib/postgresql"
MISSING = "no PostgreSQL server here (Debian: apt-get install postgresql)"


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl; the newest where there are several."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(Path(_PLACES).glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return folders[-1].parent if folders else None


class Server:
    """A running server. Databases are copies of one that was made before, which is quick."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._numbers = count()

    def url(self, database: str, user: str = "tester") -> str:
        return f"postgresql+psycopg://{user}@/{database}?host={self.folder}"

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[object, ...]]:
        import psycopg

        with psycopg.connect(
            host=str(self.folder), user="tester", dbname=database, autocommit=True
        ) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def new_database(self, template: str = "template0") -> str:
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def drop(self, name: str) -> None:
        self.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def running_server(bin_folder: Path) -> Iterator[Server]:
    """Start a server and stop it; as another user when we are root, whom it refuses to serve."""
    folder = Path(tempfile.mkdtemp(prefix="vlmtool-pg-"))
    data, log = folder / "data", folder / "log"
    user = _plain_user()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)

    def call(*command: str) -> None:
        options = {} if user is None else {"user": user.pw_uid, "group": user.pw_gid}
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False,
            extra_groups=None if user is None else [], **options,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr

    settings = {
        "listen_addresses": "''", "unix_socket_directories": str(folder), "fsync": "off",
        "shared_buffers": "16MB", "max_connections": "100", "full_page_writes": "off",
    }  # fmt: skip
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    pg_ctl = str(bin_folder / "pg_ctl")
    try:
        call(
            str(bin_folder / "initdb"), "-D", str(data), "-U", "tester", "--auth=trust",
            "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync",
        )  # fmt: skip
        call(pg_ctl, "-D", str(data), "-l", str(log), "-o", options, "-w", "start")
        try:
            yield Server(folder)
        finally:
            call(pg_ctl, "-D", str(data), "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _plain_user() -> Any:
    """Somebody to run the server as, when we are root; None to run it as ourselves."""
    import pwd

    if os.getuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    return None
