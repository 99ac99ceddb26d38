"""Pulls that are cut at any byte, slow, silent or stopped, and go on where they were."""

from __future__ import annotations

import random
import threading
import time

import pytest
from hub_server import WEIGHTS, Fault, left_over

from vlmtool_core.engine import ModelStore
from vlmtool_core.engine.packs.hub import Patience
from vlmtool_core.errors import (
    CancelledError,
    PackDownloadError,
    StorageError,
)
from vlmtool_core.jobs import CancelToken


@pytest.mark.parametrize("seed", range(8))
def test_cuts_at_any_byte_are_gone_on_from(server, repo, pull, seed):
    size = len(repo.files[WEIGHTS])
    cuts = [random.Random(seed * 31 + n).randrange(0, size // 2) for n in range(5)]
    server.fail(WEIGHTS, *(Fault(cut=cut) for cut in cuts))
    pack = pull()
    assert (pack.path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    whole = sum(len(repo.files[file.name]) for file in pack.files)
    assert server.sent == whole  # not one byte came twice


@pytest.mark.parametrize("seed", range(6))
def test_a_pull_that_ended_early_is_gone_on_from_by_the_next(server, repo, pull, root, seed):
    size = len(repo.files[WEIGHTS])
    cut = random.Random(seed).randrange(1, size)
    impatient = Patience(silence=1.0, pause=0.001, longest_pause=1.0, tries=1)
    server.fail(WEIGHTS, Fault(cut=cut), Fault(cut=0), Fault(cut=0))
    with pytest.raises(PackDownloadError, match="cannot be reached") as caught:
        pull(patience=impatient)
    assert "where it stopped" in caught.value.remedy
    assert ModelStore(root).installed() == []
    server.faults.clear()
    before = server.sent
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    assert server.sent - before == size - cut
    assert pull.reported == size - cut <= pull.expected
    assert left_over(root) == ["tiny-vit"]


def test_a_damaged_part_of_an_earlier_pull_is_found_and_fetched_anew(server, repo, pull, root):
    server.fail(WEIGHTS, Fault(cut=5000), Fault(cut=0))
    with pytest.raises(PackDownloadError):
        pull(patience=Patience(silence=1, pause=0.001, tries=1))
    server.faults.clear()
    (part,) = root.rglob(f"{WEIGHTS}.part")
    part.write_bytes(b"\0" * part.stat().st_size)
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


def test_a_part_that_is_too_long_is_dropped(repo, pull, root):
    folder = root / ".partial-acme--Tiny-ViT" / repo.commit
    folder.mkdir(parents=True)
    (folder / f"{WEIGHTS}.part").write_bytes(b"x" * (len(repo.files[WEIGHTS]) + 1))
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


def test_parts_of_another_commit_go(repo, pull, root):
    old = root / ".partial-acme--Tiny-ViT" / ("a" * 40)
    old.mkdir(parents=True)
    (old / WEIGHTS).write_bytes(b"old")
    pull()
    assert left_over(root) == ["tiny-vit"]


def test_a_server_without_ranges_is_begun_anew(server, repo, pull):
    server.fail(WEIGHTS, Fault(cut=4000), Fault(ignore_range=True))
    assert (pull().path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]


def test_a_slow_server_is_waited_for_and_a_silent_one_asked_again(server, repo, pull):
    server.fail("config.json", Fault(pause_s=0.05))
    server.fail(WEIGHTS, Fault(pause_s=1.0))
    patience = Patience(silence=0.4, pause=0.001, tries=4)
    assert (pull(patience=patience).path / WEIGHTS).read_bytes() == repo.files[WEIGHTS]
    assert len(server.asked(WEIGHTS)) == 2


def test_cancel_while_nothing_arrives(server, repo, pull, root):
    server.fail(WEIGHTS, Fault(pause_s=0.3))
    cancel = CancelToken()
    threading.Timer(0.6, cancel.cancel).start()
    started = time.monotonic()
    with pytest.raises(CancelledError):
        pull(cancel=cancel)
    assert time.monotonic() - started < 4
    assert ModelStore(root).installed() == []


def test_two_pulls_of_one_repository_do_not_mix(pull, repo, root):
    from filelock import FileLock

    home = root / ".partial-acme--Tiny-ViT"
    home.mkdir(parents=True)
    with FileLock(home / "lock"), pytest.raises(StorageError, match="another process"):
        pull()
    assert pull().id == "tiny-vit"
