"""What is logged and what is not, and a log that cannot be written."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.core.host.asking import Answers

from vlmtool_core import log as log_module
from vlmtool_core.errors import DamagedMediaError
from vlmtool_core.host import log_file
from vlmtool_core.host.client import HostClient
from vlmtool_core.log import configure_logging, without_paths

OWN_FILE = log_module.__file__


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """The root logger, as it was before the test."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield root
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/jo/Smith, John/ct 1.dcm: damaged", "<path>: damaged"),
        ("cannot read C:\\Users\\jo\\Smith John\\a.dcm", "cannot read <path>"),
        ("cannot open '/data/O Brien/x y.png' now", "cannot open '<path>' now"),
        ('PosixPath("/data/O\'Brien/x.png")', 'PosixPath("<path>")'),
        ("\\\\server\\patients\\Smith: no access", "<path>: no access"),
        ("12/34 done, and/or 3.5 images/s", "12/34 done, and/or 3.5 images/s"),
        (f'File "{OWN_FILE}", line 3, in call', f'File "{OWN_FILE}", line 3, in call'),
        ("cannot read:/data/Smith/a.png", "cannot read:<path>"),
        ("see https://example.org/a/b for more", "see https://example.org/a/b for more"),
    ],
)
def test_the_users_paths_are_left_out(text: str, told: str) -> None:
    assert without_paths(text) == told


def test_paths_are_logged_only_when_debugging(
    root: logging.Logger, home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    patient = "/data/Smith John/a.png"
    for debug, program in ((False, "plain"), (True, "thorough")):
        configure_logging(program, debug=debug)
        logging.getLogger("vlmtool_core.test").warning("%s: damaged", patient)
        try:
            raise DamagedMediaError("the file ends early", path=patient)
        except DamagedMediaError:
            logging.getLogger("vlmtool_core.test").exception("it cannot be shown")
    plain = (home / "logs" / "plain.log").read_text()
    assert "Smith" not in plain.split("thorough")[0]
    assert "<path>: the file ends early" in plain
    assert 'File "<path>", line' in plain
    assert patient in (home / "logs" / "thorough.log").read_text()


def test_a_failure_is_logged_by_its_code_and_place(caplog: pytest.LogCaptureFixture) -> None:
    log = logging.getLogger("vlmtool_core.test")
    caplog.set_level(logging.INFO)
    log_file.log_failure(log, "request 4 (run) failed", DamagedMediaError("Smith", field="pixel"))
    try:
        int("Smith")
    except ValueError as error:
        log_file.log_failure(log, "request 5 (run) failed", error)
    first, second = (record.getMessage() for record in caplog.records)
    assert first == "request 4 (run) failed: media-damaged [pixel]"
    assert second.startswith("request 5 (run) failed: ValueError at test_log.py:")
    assert "Smith" not in caplog.text


def test_the_log_turns_over(root: logging.Logger, home: Path) -> None:
    configure_logging(log_file.PROGRAM)
    log = logging.getLogger("vlmtool_core.test")
    for number in range(30_000):
        log.info("line %06d of a log that must not grow for ever, %s", number, "x" * 300)
    files = sorted(log_file.engine_log().parent.iterdir())
    assert len(files) == 5
    assert sum(file.stat().st_size for file in files) < 11_000_000
    assert "line 029999" in log_file.last_lines(3)[-1]


@pytest.mark.parametrize("hindrance", ["a file", "a folder of that name"])
def test_a_log_that_cannot_be_written_fails_nothing(home: Path, hindrance: str) -> None:
    if hindrance == "a file":
        (home / "logs").write_text("in the way")
    else:
        log_file.engine_log().mkdir(parents=True)
    with HostClient() as client:
        answers = Answers(client)
        assert answers.ask("ping")[1]["pid"] == client.pid
        assert answers.ask("log")[1]["lines"] == []
    log_file.note_crash("it ended")
    done = subprocess.run(
        [sys.executable, "-m", "vlmtool_core.cli.main", "--version"], capture_output=True, text=True
    )
    assert done.returncode == 0
