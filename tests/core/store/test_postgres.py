"""What is particular to a project on a PostgreSQL server."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import text

from vlmtool_core.cli.main import run_cli
from vlmtool_core.errors import (
    CorruptProjectError,
    NewerProjectError,
    ProjectBusyError,
    ProjectExistsError,
    ProjectNotFoundError,
    StorageError,
    UsageError,
    VlmtoolError,
)
from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.project import Project
from vlmtool_core.records import MediaKind
from vlmtool_core.store import migrate
from vlmtool_core.store.postgres import PostgresDatabase, server_url
from vlmtool_core.store.records import NewItem


@pytest.fixture
def url(server: Any) -> str:
    """An empty database."""
    return str(server.url(server.new_database()))


@pytest.fixture
def root(tmp_path: Path, url: str) -> Path:
    """A project on the server, closed."""
    Project.create(tmp_path / "p", database=url, name="Ward 7").close()
    return tmp_path / "p"


def test_the_folder_names_the_database_and_holds_no_file(root: Path, url: str) -> None:
    assert [p.name for p in root.iterdir()] == ["project.toml"]
    kept = tomllib.loads((root / "project.toml").read_text(encoding="utf-8"))
    assert kept == {"database": {"url": server_url(url)}}
    assert Project.is_project(root)
    with Project.open(root) as project:
        assert (project.name, project.root, project.read_only) == ("Ward 7", root, False)
        info = project.info()
        assert (info.revision, info.backups) == (migrate.NEWEST, ())
        assert info.size_bytes > 1_000_000
        with pytest.raises(UsageError, match="own tools") as caught:
            project.backup()
        assert "pg_dump" in caught.value.remedy


def test_a_database_or_folder_that_is_taken_is_left_alone(
    root: Path, url: str, tmp_path: Path, server: Any
) -> None:
    with pytest.raises(ProjectExistsError, match="in this folder"):
        Project.create(root)
    with pytest.raises(ProjectExistsError, match="in this folder"):
        Project.create(root, database=url)
    with pytest.raises(ProjectExistsError, match="in this database"):
        Project.create(tmp_path / "q", database=url)
    other = server.new_database()
    server.execute("CREATE TABLE theirs (id int)", other)
    with pytest.raises(UsageError, match="'theirs'"):
        Project.create(tmp_path / "q", database=server.url(other))
    assert not (tmp_path / "q").exists()
    assert server.execute("SELECT count(*) FROM theirs", other) == [(0,)]
    Project.create(tmp_path / "file").close()
    with pytest.raises(ProjectExistsError):
        Project.create(tmp_path / "file", database=server.url(server.new_database()))


@pytest.mark.parametrize(
    "given", ["mysql://a@b/c", "postgresql://host", "project.sqlite", "", "postgresql:///"]
)
def test_other_addresses_are_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        Project.create(tmp_path / "p", database=given)
    assert caught.value.field == "--database"
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    "given", ["postgresql://me:s3cret@h/d", "postgresql://me@h/d?password=s3cret"]
)
def test_a_password_is_neither_kept_nor_repeated(given: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="password") as caught:
        Project.create(tmp_path / "p", database=given)
    assert "s3cret" not in f"{caught.value} {caught.value.remedy}"
    assert ".pgpass" in caught.value.remedy


def test_the_short_form_of_a_url_is_completed() -> None:
    assert server_url("postgresql://me@h:5433/d") == "postgresql+psycopg://me@h:5433/d"


def test_a_server_that_refuses_or_is_gone_is_named_without_the_password(
    root: Path, server: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PGPASSWORD", "s3cret")
    caplog.set_level(logging.DEBUG)
    pointer = root / "project.toml"
    wrong = {
        server.url("postgres", user="nobody-known"): StorageError,
        server.url("no-such-database"): ProjectNotFoundError,
        "postgresql+psycopg://me@127.0.0.1:1/d?connect_timeout=2": StorageError,
        "postgresql+psycopg://me@/d?host=/nowhere": StorageError,
    }
    for address, kind in wrong.items():
        pointer.write_text(f'[database]\nurl = "{address}"\n')
        with pytest.raises(kind) as caught:
            Project.open(root)
        assert caught.value.path == str(root)
        shown = "".join(
            str(error) for error in (caught.value, caught.value.__cause__, caught.value.remedy)
        )
        assert "s3cret" not in shown
    assert "s3cret" not in caplog.text


@pytest.mark.parametrize(
    "content", ["", "no toml at all [", "[database]\n", "database = 3\n", "[database]\nurl = 'x'\n"]
)
def test_a_damaged_pointer_is_named(root: Path, content: str) -> None:
    (root / "project.toml").write_text(content)
    with pytest.raises(VlmtoolError) as caught:
        Project.open(root)
    assert isinstance(caught.value, CorruptProjectError | UsageError)
    assert (root / "project.toml").read_text() == content


def test_a_file_beside_the_pointer_is_refused(root: Path) -> None:
    (root / "project.sqlite").write_bytes(b"x")
    with pytest.raises(CorruptProjectError, match="both there"):
        Project.open(root)


def test_an_empty_and_a_newer_database_are_refused(root: Path, tmp_path: Path, server: Any) -> None:
    with Project.open(root) as project, project.store.database.writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(NewerProjectError, match="9999"):
        Project.open(root)
    (root / "project.toml").write_text(f'[database]\nurl = "{server.url(server.new_database())}"\n')
    with pytest.raises(CorruptProjectError, match="not one of vlmtool"):
        Project.open(root)


def test_an_older_database_is_brought_up_to_date_or_left_as_it_was(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.MIGRATIONS, folder)
    script = folder / "versions" / "r0003_test.py"
    monkeypatch.setattr(migrate, "MIGRATIONS", folder)
    monkeypatch.setattr(migrate, "NEWEST", "0003")
    head = (
        "from alembic import op\n"
        'revision = "0003"\ndown_revision = "0002"\nbranch_labels = None\ndepends_on = None\n'
        "def upgrade():\n"
        '    op.execute("ALTER TABLE item ADD COLUMN note TEXT")\n'
    )
    script.write_text(head + '    op.execute("UPDATE nothing SET a = 1")\n')
    with pytest.raises(Exception, match="nothing"):
        Project.open(root)
    script.write_text(head)
    with Project.open(root) as project:
        assert project.info().revision == "0003"
        with project.store.database.reading() as connection:
            assert connection.exec_driver_sql("SELECT count(note) FROM item").scalar() == 0


def test_the_first_revision_on_a_server_learns_to_keep_measurements(
    root: Path, server: Any
) -> None:
    older = str(server.url(server.new_database()))
    database = PostgresDatabase(older, root)
    migrate.create_on_server(database, "0001")
    database.close()
    (root / "project.toml").write_text(f'[database]\nurl = "{older}"\n')
    shape = Measurement(MeasurementKind.ELLIPSE, ((1.0, 2.0), (4.5, 6.0)), Measured(mean=2.5))
    with Project.open(root) as project:
        assert project.info().revision == migrate.NEWEST
        project.store.items.add_many([NewItem("a", Path("/a"), MediaKind.IMAGE, "0" * 64)])
        project.add_measurement(1, 0, shape)
        assert [a.measurement for a in project.annotations(1)] == [shape]
        project.undo()
        project.redo()
        assert [a.measurement for a in project.annotations(1)] == [shape]


def test_names_sort_by_bytes_whatever_the_server_speaks(root: Path) -> None:
    names = ["Z.png", "a.png", "B.png", "_x.png", "é.png", "e.png", "img10.png", "img2.png"]
    with Project.open(root) as project:
        project.store.items.add_many(
            [NewItem(n, Path("/") / n, MediaKind.IMAGE, f"{i:064x}") for i, n in enumerate(names)]
        )
        with project.store.database.reading() as connection:
            found = connection.exec_driver_sql("SELECT name FROM item ORDER BY name").scalars()
            assert list(found) == sorted(names)
        shown = [item.name for item in project.items()]
    assert shown == [
        "_x.png", "a.png", "B.png", "e.png", "img2.png", "img10.png", "Z.png", "é.png",
    ]  # fmt: skip


def test_any_text_comes_back(root: Path) -> None:
    texts = ["a\0b", "\ufdd0", "\ufdd0\0\ufdd00", "'; DROP TABLE item; --", "%s %(a)s", "中文 😀"]
    with Project.open(root) as project:
        project.store.items.add_many([NewItem("a", Path("/a"), MediaKind.IMAGE, "0" * 64)])
        for given in texts:
            project.add_text(1, 0, given)
        assert [a.text for a in project.annotations(1)] == texts
        while project.undo() is not None:
            pass
        while project.redo() is not None:
            pass
        assert [a.text for a in project.annotations(1)] == texts


def test_one_writer_at_a_time_and_readers_are_not_held_up(root: Path) -> None:
    with Project.open(root) as one, Project.open(root, busy_timeout_s=0.2) as two:
        with one.store.database.writing() as connection:
            connection.execute(text("INSERT INTO setting VALUES ('a', '1')"))
            assert two.store.settings.get("a") is None
            with pytest.raises(ProjectBusyError, match="another program") as caught:
                two.store.settings.put("b", 2)
            assert caught.value.path == str(root)
        assert two.store.settings.get("a") == 1
        two.store.settings.put("b", 2)
        assert one.store.settings.get("b") == 2


_OTHER_PROGRAM = """
import sys
from vlmtool_core.project import Project
with Project.open(sys.argv[1]) as project, project.store.database.writing():
    print("locked", flush=True)
    sys.stdin.readline()
"""


def test_a_writer_that_is_killed_leaves_its_lock(root: Path) -> None:
    with (
        Project.open(root) as project,
        subprocess.Popen(
            [sys.executable, "-c", _OTHER_PROGRAM, str(root)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as other,
    ):  # fmt: skip
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        thread = threading.Thread(target=project.store.settings.put, args=("a", 1))
        thread.start()
        assert project.store.settings.get("a") is None
        other.kill()
        thread.join(20)
        assert project.store.settings.get("a") == 1


def test_a_connection_that_the_server_drops_is_made_anew(root: Path, server: Any, url: str) -> None:
    name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
    with Project.open(root) as project:
        project.store.settings.put("a", 1)
        server.execute(
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
        )
        assert project.store.settings.get("a") == 1
        project.store.settings.put("a", 2)
        with pytest.raises(StorageError), project.store.database.reading() as connection:  # noqa: PT012
            server.execute(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            connection.execute(text("SELECT 1"))
        assert project.store.settings.get("a") == 2


def test_who_may_only_read_gets_a_read_only_project(root: Path, server: Any, url: str) -> None:
    name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
    server.execute("DROP ROLE IF EXISTS reader")
    server.execute("CREATE ROLE reader LOGIN")
    server.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", name)
    (root / "project.toml").write_text(f'[database]\nurl = "{server.url(name, user="reader")}"\n')
    with Project.open(root) as project:
        assert project.read_only
        assert project.name == "Ward 7"
        with pytest.raises(StorageError, match="read-only"):
            project.ensure_labels(["cat"])


def test_a_reader_may_not_write_by_mistake(root: Path) -> None:
    with (
        Project.open(root) as project,
        pytest.raises(StorageError),
        project.store.database.reading() as connection,
    ):
        connection.execute(text("DELETE FROM setting"))


def test_the_driver_is_named_where_it_is_missing(root: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from vlmtool_core.errors import MissingDependencyError\n"
        "from vlmtool_core.project import Project\n"
        "try:\n    Project.open(sys.argv[1])\n"
        "except MissingDependencyError as error:\n    print(error.exit_code, error.remedy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(root)], capture_output=True, text=True, check=True,
        env=dict(os.environ),
    )  # fmt: skip
    assert done.stdout.strip() == '3 Install it: pip install "vlmtool[postgres]"'


def test_a_project_in_a_file_needs_no_driver(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom vlmtool_core.project import Project\n"
        "Project.create(sys.argv[1]).close()\n"
        "print([m for m in ('psycopg', 'ray') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "p")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


def test_the_command_line_works_on_it(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, media = str(tmp_path / "ward"), tmp_path / "in"
    media.mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (60 * number, 9, 9)).save(media / f"p{number}.png")
    assert run_cli(["project", "new", root, "--database", url]) == 0
    assert run_cli(["add", root, str(media)]) == 0
    assert run_cli(["project", "labels", root, "--add", "cat"]) == 0
    capsys.readouterr()
    assert run_cli(["project", "info", root, "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert (info["items"], info["labels"], info["audit_log"]) == ({"image": 3}, ["cat"], "whole")
    assert run_cli(["project", "backup", root]) == 2
    assert "pg_dump" in capsys.readouterr().err
    assert run_cli(["project", "new", root, "--database", "postgresql://a:s3cret@h/d"]) == 2
    assert "s3cret" not in capsys.readouterr().err


def test_a_closed_project_leaves_no_connection(root: Path, server: Any, url: str) -> None:
    name = url.split("?", maxsplit=1)[0].rsplit("/", 1)[1]
    with Project.open(root) as project:
        project.store.settings.put("a", 1)
        database = project.store.database
        assert isinstance(database, PostgresDatabase)
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    server.execute(f"SELECT pg_stat_clear_snapshot(); {query}")
    assert server.execute(query) == [(0,)]
