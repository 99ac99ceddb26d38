"""Broken files of every kind, opened as the program opens them: each is shown or refused by name.

`make test` breaks every kind 200 times; `VLMTOOL_MUTATIONS=2000` says how often instead. What each
kind came to is printed with `-s`.
"""

from __future__ import annotations

import os
import re
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutations.engine import mutated
from mutations.seeds import KINDS, seed_of
from vlmtool_core.errors import MediaError
from vlmtool_core.media import open_media
from vlmtool_core.media.safe.pool import pool
from vlmtool_core.settings import Settings, save_settings

COUNT = int(os.environ.get("VLMTOOL_MUTATIONS", "200"))
LIMIT_S = 3
# A call is ended after LIMIT_S; what opens and decodes two frames makes three calls.
MOST_S = 3 * LIMIT_S + 5
MEMORY_MB = 256
# What Python, numpy and the decoders take before a file is opened.
BASE_MB = 250


@dataclass
class Tally:
    """What became of the mutations of one kind."""

    outcomes: Counter[str] = field(default_factory=Counter)
    worst_s: float = 0.0
    peak_mb: float = 0.0


@pytest.fixture(autouse=True)
def _limits(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLMTOOL_DECODE", raising=False)
    limits = Settings(decode_seconds=LIMIT_S, decode_memory_mb=MEMORY_MB, max_megapixels=40)
    save_settings(limits)


@pytest.fixture(scope="module", autouse=True)
def _fresh_workers() -> Iterator[None]:
    pool().close()
    yield
    pool().close()


def outcome_of(path: Path) -> str:
    """ "shown", or why not. Everything that is neither fails the test."""
    error: MediaError
    try:
        with open_media(path) as source:
            count = source.info.frame_count or 1
            for index in sorted({0, count - 1}):
                frame = source.frame(index)
                width, height = frame.size
                assert frame.pixels.shape == (height, width, 3)
    except IndexError:
        # Containers may lie about their frames; the reader of a video counts them.
        return "no such frame"
    except MediaError as caught:
        error = caught
    else:
        return "shown"
    assert error.path == str(path)
    assert error.message
    assert error.remedy
    died = re.search(r"crashed with (\w+)|no answer|more memory", error.message)
    return died[0] if died else error.code


def own_bytes() -> int:
    """What the program holds now; other tests ran in it before."""
    return int(psutil.Process().memory_info().rss)


def peak_mb(before: int) -> float:
    """Most memory that a worker ever held, or the program holds more than before."""
    peaks = [own_bytes() - before]
    for pid in pool().pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        peaks += [1024 * int(kb) for kb in re.findall(r"VmHWM:\s+(\d+)", status)]
    return max(peaks) / 1e6


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_broken_files_are_shown_or_refused(kind: str, tmp_path: Path) -> None:
    seed = seed_of(kind, tmp_path)
    tally = Tally()
    good = tmp_path / f"good{seed.suffix}"
    good.write_bytes(seed.data)
    assert outcome_of(good) == "shown"
    before = own_bytes()
    for number in range(COUNT):
        path = tmp_path / f"{number}{seed.suffix}"
        path.write_bytes(mutated(kind, seed.data, number, seed.finder))
        begun = time.monotonic()
        try:
            tally.outcomes[outcome_of(path)] += 1
        except Exception as error:
            error.add_note(f"mutation {number} of {kind}")
            raise
        tally.worst_s = max(tally.worst_s, time.monotonic() - begun)
        path.unlink()
        if number % 50 == 49 or number == COUNT - 1:
            tally.peak_mb = max(tally.peak_mb, peak_mb(before))
    counts = ", ".join(f"{name} {count}" for name, count in tally.outcomes.most_common())
    print(f"\n{kind}: {counts}; worst {tally.worst_s:.2f} s, peak {tally.peak_mb:.0f} MB")
    assert sum(tally.outcomes.values()) == COUNT
    assert tally.worst_s < MOST_S
    assert tally.peak_mb < MEMORY_MB + BASE_MB
    # The file itself is as good as before: nothing that came by has harmed the workers.
    assert outcome_of(good) == "shown"


@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    kind=st.sampled_from(KINDS),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 12), st.binary(max_size=12)),
        min_size=1,
        max_size=8,
    ),
)
def test_any_edits_are_shown_or_refused(
    kind: str, edits: list[tuple[float, int, bytes]], tmp_path: Path
) -> None:
    seed = seed_of(kind, tmp_path)
    data = bytearray(seed.data)
    for share, removed, added in edits:
        start = int(share * len(data))
        data[start : start + removed] = added
    path = tmp_path / f"edited{seed.suffix}"
    path.write_bytes(data)
    assert outcome_of(path)


def test_the_same_mutation_never_changes(tmp_path: Path) -> None:
    seed = seed_of("png", tmp_path)
    for number in range(50):
        first = mutated("png", seed.data, number, seed.finder)
        assert first == mutated("png", seed.data, number, seed.finder)
    versions = {mutated("png", seed.data, number, seed.finder) for number in range(50)}
    assert len(versions) > 45
