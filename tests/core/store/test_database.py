"""Engines: exact transactions, one writer, and SQLite's errors in our own words."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from vlmtool_core.errors import CorruptProjectError, ProjectBusyError, StorageError
from vlmtool_core.store.database import Database
from vlmtool_core.store.repository import Store, create_store, open_store


def scalar(database: Database, sql: str) -> object:
    with database.reading() as connection:
        return connection.execute(text(sql)).scalar()


def test_every_connection_has_wal_foreign_keys_and_a_busy_timeout(sqlite_store: Store) -> None:
    for database_engine in (sqlite_store.database.reader, sqlite_store.database.writer):
        with database_engine.begin() as connection:
            found = {
                name: connection.execute(text(f"PRAGMA {name}")).scalar()
                for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
            }
        assert found == {
            "journal_mode": "wal",
            "foreign_keys": 1,
            "busy_timeout": 10000,
            "synchronous": 2,
        }


def test_an_error_inside_a_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError), store.database.writing() as connection:  # noqa: PT012
        connection.execute(text("INSERT INTO setting VALUES ('a', '1')"))
        raise RuntimeError
    assert store.settings.get("a") is None


def test_a_reader_sees_one_state_while_a_writer_commits(store: Store) -> None:
    store.settings.put("a", 1)
    with store.database.reading() as connection:
        before = connection.execute(text("SELECT value FROM setting WHERE key='a'")).scalar()
        thread = threading.Thread(target=store.settings.put, args=("a", 2))
        thread.start()
        thread.join(10)
        assert not thread.is_alive()
        again = connection.execute(text("SELECT value FROM setting WHERE key='a'")).scalar()
    assert (before, again) == (1, 1)
    assert store.settings.get("a") == 2


def test_threads_write_one_after_the_other(store: Store) -> None:
    def work(number: int) -> None:
        for step in range(20):
            store.settings.put(f"{number}-{step}", step)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(store.settings.all()) == 80


def test_a_writer_waits_and_then_says_who_is_in_the_way(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    create_store(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    impatient = open_store(path, tmp_path / "backups", busy_timeout_s=0.2)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(ProjectBusyError) as caught:
        impatient.settings.put("a", 1)
    assert caught.value.path == str(path)
    other.execute("COMMIT")
    impatient.settings.put("a", 1)
    assert impatient.settings.get("a") == 1
    impatient.close()
    other.close()


def test_a_second_writer_of_this_process_gets_a_busy_error(places: Any) -> None:
    places.create().close()
    store = places.open(busy_timeout_s=0.2)
    with store.database.writing(), pytest.raises(ProjectBusyError):
        store.settings.put("a", 1)
    store.close()


def test_writing_waits_for_another_process_to_finish(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    store = create_store(path)
    script = (
        "import sqlite3, sys\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); print('locked', flush=True)\n"
        "sys.stdin.readline(); c.execute('COMMIT')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdin is not None
        assert other.stdout.readline().strip() == "locked"
        thread = threading.Thread(target=store.settings.put, args=("a", 1))
        thread.start()
        assert store.settings.get("a") is None  # readers are not held up
        other.stdin.write("\n")
        other.stdin.flush()
        thread.join(20)
    assert store.settings.get("a") == 1
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"this is no database" * 100,
        lambda data: data[: len(data) // 2],
        lambda data: data[:4096] + b"\xff" * 8192 + data[12288:],
        lambda data: b"",
    ],
    ids=["text", "truncated", "overwritten", "empty"],
)
def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path, damage) -> None:
    path = tmp_path / "project.sqlite"
    create_store(path).close()
    path.write_bytes(damage(path.read_bytes()))
    before = path.read_bytes()
    with pytest.raises(CorruptProjectError) as caught:
        open_store(path, tmp_path / "backups")
    assert caught.value.path == str(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE item (id INTEGER)")
    other.close()
    with pytest.raises(CorruptProjectError, match="not one of vlmtool"):
        open_store(path, tmp_path / "backups")


@pytest.mark.parametrize(
    ("table", "column"),
    [("audit_event", "kind"), ("annotation_event", "author"), ("annotation_change", "entity")],
)
@pytest.mark.parametrize("sql", ["DELETE FROM {0}", "UPDATE {0} SET {1} = {1}"])
def test_the_database_itself_refuses_to_rewrite_the_logs(
    store: Store, add_items, table: str, column: str, sql: str
) -> None:
    store.annotations.set_labels(dict.fromkeys(add_items(1), "cat"))
    store.audit.append("x")
    with (
        pytest.raises(IntegrityError, match="append-only"),
        store.database.writing() as connection,
    ):
        connection.execute(text(sql.format(table, column)))
    assert scalar(store.database, f"SELECT count(*) FROM {table}") == 1


def test_a_backup_is_a_whole_project_file(sqlite_store: Store, add_items, tmp_path: Path) -> None:
    add_items(10)
    target = tmp_path / "copies" / "copy.sqlite"
    sqlite_store.database.backup(target)
    add_items("later.png")
    copy = open_store(target, tmp_path / "backups")
    assert copy.items.count() == 10
    copy.close()
    assert [p.name for p in target.parent.iterdir()] == ["copy.sqlite"]


def test_names_of_folders_may_hold_anything(tmp_path: Path) -> None:
    path = tmp_path / "a b?mode=ro#%20 中文 😀" / "project.sqlite"
    store = create_store(path)
    store.settings.put("a", "中文")
    store.close()
    again = open_store(path, path.parent / "backups")
    assert again.settings.get("a") == "中文"
    again.close()


READ_ONLY = """
import os, sys
from pathlib import Path
from vlmtool_core.errors import StorageError
from vlmtool_core.project import Project
root = Path(sys.argv[1])
Project.create(root.parent / "warm").close()  # imports everything while we still may
Project.open(root.parent / "warm").close()
if os.getuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
with Project.open(root) as project:
    print(project.read_only, project.count(), project.name)
    try:
        project.set_label(project.item_ids(), "cat")
    except StorageError as error:
        print(error.message)
try:
    Project.create(root / "inner")
except StorageError as error:
    print("cannot create")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_on_a_read_only_disk_a_project_opens_read_only(tmp_path: Path, home: Path) -> None:
    root = tmp_path / "p"
    store = create_store(root / "project.sqlite")
    store.settings.put("name", "kept")
    store.close()
    for folder in (tmp_path, *tmp_path.parents):
        if folder.is_relative_to("/tmp") and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    (root / "project.sqlite").chmod(0o444)
    root.chmod(0o555)
    try:
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, str(root)],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
    finally:
        root.chmod(0o755)
    assert done.stdout.splitlines() == [
        "True 0 kept",
        "the project is open read-only",
        "cannot create",
    ], done.stderr
    assert [p.name for p in root.iterdir()] == ["project.sqlite"]


def test_a_read_only_disk_with_an_unfinished_journal_is_refused(tmp_path: Path) -> None:
    from vlmtool_core.store.repository import _read_only

    path = tmp_path / "project.sqlite"
    store = create_store(path)
    store.settings.put("a", 1)
    # The journal is still beside the file: opening without it would show an older state.
    with pytest.raises(StorageError, match="was not closed"):
        _read_only(path)
    store.close()
    database = _read_only(path)
    assert scalar(database, "SELECT count(*) FROM setting") == 1
    database.close()
