"""Revisions: the first schema is what the tables say, older files are upgraded, newer refused."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from vlmtool_core.errors import CorruptProjectError, NewerProjectError, ProjectExistsError
from vlmtool_core.measurement import Measured, Measurement, MeasurementKind
from vlmtool_core.project import Project
from vlmtool_core.records import FindingStatus, Task
from vlmtool_core.store import migrate
from vlmtool_core.store.repository import Store, create_store, open_store
from vlmtool_core.store.tables import Base

STORED = Path(__file__).with_name("revision_0001.sql")


def stored_project(root: Path) -> Path:
    """A project as the first release wrote it, from its SQL dump."""
    root.mkdir(parents=True)
    connection = sqlite3.connect(root / "project.sqlite")
    connection.executescript(STORED.read_text(encoding="utf-8"))
    connection.close()
    return root


def test_the_revisions_and_the_tables_agree(store: Store) -> None:
    with store.database.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_newest_revision_is_the_one_this_program_writes() -> None:
    assert migrate.newest_revision() == migrate.NEWEST


def test_opening_a_project_does_not_load_alembic(tmp_path: Path) -> None:
    create_store(tmp_path / "project.sqlite").close()
    script = (
        "import sys; from vlmtool_core.project import Project; "
        "Project.open(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_every_constraint_has_a_name(sqlite_store: Store) -> None:
    with sqlite_store.database.reading() as connection:
        rows = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE type='table'")
        for (sql,) in rows:
            clauses = [line.strip() for line in (sql or "").splitlines()]
            for word in ("FOREIGN KEY", "UNIQUE (", "CHECK ("):
                nameless = [line for line in clauses if line.startswith(word)]
                assert nameless == [], sql


def test_creating_twice_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    create_store(path).close()
    before = path.read_bytes()
    with pytest.raises(ProjectExistsError):
        create_store(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir() if "project" in p.name] == ["project.sqlite"]


def test_a_newer_database_is_refused_and_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "project.sqlite"
    create_store(path).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with pytest.raises(NewerProjectError, match="9999"):
        open_store(path, tmp_path / "backups")
    assert path.read_bytes() == before
    assert not (tmp_path / "backups").exists()


def test_a_stored_first_revision_opens_with_all_its_rows(tmp_path: Path) -> None:
    with Project.open(stored_project(tmp_path / "p")) as project:
        items = {item.name: item for item in project.items()}
        assert list(items) == ["a/img2.png", "a/img10.png", "b/broken.png", "b/中文 😀.png"]
        assert items["a/img2.png"].labels == ("cat",)
        assert items["a/img2.png"].top is not None
        assert items["b/broken.png"].error is not None
        assert [label.name for label in project.label_set().labels] == ["cat", "dog"]
        assert {a.kind for a in project.annotations()} == {"label", "box", "text"}
        prediction = project.predictions(items["a/img2.png"].id, task=Task.CLASSIFY)[0]
        assert prediction.decision is FindingStatus.ACCEPTED
        assert project.count_findings(FindingStatus.REJECTED) == 1
        assert project.store.audit.verify().broken_at is None
        assert project.store.learning.active_version() is not None
        while project.undo() is not None:
            pass
        assert project.annotations() == []


SHAPE = Measurement(MeasurementKind.DISTANCE, ((1.0, 2.0), (4.0, 6.0)), Measured("px", length=5))


def test_an_upgraded_first_revision_takes_measurements_and_gives_no_number_twice(
    tmp_path: Path,
) -> None:
    root = stored_project(tmp_path / "p")
    connection = sqlite3.connect(root / "project.sqlite")
    # The annotation with the highest number was deleted before the upgrade.
    (highest,) = connection.execute("SELECT max(id) FROM annotation").fetchone()
    connection.execute("DELETE FROM annotation WHERE id = ?", (highest,))
    connection.commit()
    connection.close()
    with Project.open(root) as project:
        assert project.info().revision == migrate.NEWEST
        item = project.items()[0].id
        assert project.add_measurement(item, 0, SHAPE) == highest + 1
        (kept,) = [a for a in project.annotations(item) if a.kind == "measurement"]
        assert kept.measurement == SHAPE
        assert project.undo() == "measure: distance"
        assert not [a for a in project.annotations(item) if a.kind == "measurement"]
    with sqlite3.connect(root / "project.sqlite") as check, pytest.raises(sqlite3.IntegrityError):
        check.execute("UPDATE annotation SET kind = 'other'")


@pytest.fixture
def with_next_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A program that knows one more revision, made of the given statement."""

    def make(statement: str) -> None:
        folder = tmp_path / "migrations"
        shutil.copytree(migrate.MIGRATIONS, folder)
        (folder / "versions" / "r0003_test.py").write_text(
            "from alembic import op\n"
            'revision = "0003"\ndown_revision = "0002"\n'
            "branch_labels = None\ndepends_on = None\n"
            "def upgrade():\n"
            '    op.execute("ALTER TABLE item ADD COLUMN note TEXT")\n'
            f"    op.execute({statement!r})\n"
        )
        monkeypatch.setattr(migrate, "MIGRATIONS", folder)
        monkeypatch.setattr(migrate, "NEWEST", "0003")

    return make


def test_an_older_file_is_backed_up_and_upgraded(tmp_path: Path, with_next_revision) -> None:
    root = stored_project(tmp_path / "p")
    with_next_revision("UPDATE item SET note = 'new'")
    with Project.open(root) as project:
        assert project.info().revision == "0003"
        assert project.count() == 4
        with project.store.database.reading() as connection:
            notes = connection.exec_driver_sql("SELECT DISTINCT note FROM item").scalars().all()
    assert notes == ["new"]
    (backup,) = (root / "backups").glob("*-revision-0001.sqlite")
    connection = sqlite3.connect(backup)
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    assert connection.execute("SELECT count(*) FROM item").fetchone() == (4,)
    connection.close()


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("UPDATE nothing SET a = 1", Exception),  # the script itself fails
        ("DELETE FROM run", CorruptProjectError),  # it leaves rows that point to nothing
    ],
)
def test_an_upgrade_that_fails_changes_nothing(
    tmp_path: Path, with_next_revision, statement: str, error: type[Exception]
) -> None:
    root = stored_project(tmp_path / "p")
    with_next_revision(statement)
    with pytest.raises(error):
        Project.open(root)
    connection = sqlite3.connect(root / "project.sqlite")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchone() == ("0001",)
    columns = [row[1] for row in connection.execute("PRAGMA table_info(item)")]
    assert "note" not in columns
    assert connection.execute("SELECT count(*) FROM prediction").fetchone()[0] > 0
    connection.close()
    assert len(list((root / "backups").iterdir())) == 1
