"""Looks through one video: key frames first, closely where something moves, and what was missing.

Where key frames are more than `LONGEST_BLIND_S` apart something could pass between two of
them, so such a stretch is looked at closely as well; when that is most of the video, one pass
over all frames is done instead.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from vlmtool_core.api import CancelToken, MediaInfo, MediaSource, Region, UsageError
from vlmtool_security.motion import GateSettings, MotionGate, watch_mask
from vlmtool_security.spans import Sample, Span, find_spans, merge_windows

if TYPE_CHECKING:
    from fractions import Fraction

    import numpy as np

GATE_HEIGHT = 180
LONGEST_BLIND_S = 2.0
# Above this share of close looks, the key frame pass saves nothing.
FULL_PASS_SHARE = 0.7


class FrameTable(Protocol):
    """Which frames there are; times and key frames in units of `time_base` seconds."""

    pts: Sequence[int]
    keyframes: Sequence[int]
    time_base: Fraction
    exact: bool

    def find(self, pts: int) -> int: ...


class Footage(MediaSource, Protocol):
    """A video as the media layer opens it."""

    @property
    def index(self) -> FrameTable: ...

    def times(self) -> list[float]: ...

    def luma(
        self,
        height: int = 180,
        keyframes_only: bool = False,
        *,
        start: int = 0,
        stop: int | None = None,
    ) -> Iterator[tuple[int, float, np.ndarray]]: ...


@dataclass(frozen=True)
class ScanSettings:
    """What the user chose; times in seconds."""

    gate: GateSettings
    min_duration_s: float = 0.5
    merge_gap_s: float = 1.0
    sample_s: float = 0.1
    full: bool = False


@dataclass
class Scan:
    """What a look through one video gave.

    windows : (start, end) in seconds that were looked at closely
    asked, delivered : frames that should have been decoded, and were
    complete : False when it was stopped before the end, at `reached_s`
    """

    full: bool
    samples: list[Sample] = field(default_factory=list)
    windows: list[tuple[float, float]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    asked: int = 0
    delivered: int = 0
    complete: bool = True
    reached_s: float = 0.0

    @property
    def missing(self) -> int:
        """Frames that could not be decoded."""
        return max(0, self.asked - self.delivered) if self.complete else 0


def scan_footage(
    footage: Footage,
    settings: ScanSettings,
    regions: Sequence[Region] = (),
    *,
    advance: Callable[[float], None] = lambda _time_s: None,
    cancel: CancelToken | None = None,
) -> Scan:
    """Find the spans with movement. `advance` is told the file time that was reached.

    Raises
    ------
    DamagedMediaError : nothing of it can be decoded.
    UsageError : the areas leave nothing of the picture to watch.
    """
    full = settings.full or needs_full_pass(key_times(footage), footage.times())
    scanner = _Scanner(footage, settings, regions, advance, cancel or CancelToken())
    scan = scanner.scan_all() if full else scanner.scan_keyframes()
    scan.samples.sort(key=lambda sample: sample.time_s)
    scan.windows = merge_windows(scan.windows)
    scan.spans = find_spans(
        scan.samples,
        enter=settings.gate.enter,
        min_duration_s=settings.min_duration_s,
        merge_gap_s=settings.merge_gap_s,
    )
    return scan


def key_times(footage: Footage) -> list[float]:
    """Times of the key frames in seconds; empty when the container does not tell them."""
    table = footage.index
    if not table.exact:
        return []
    return [float(pts * table.time_base) for pts in table.keyframes]


def needs_full_pass(keys: Sequence[float], times: Sequence[float]) -> bool:
    """Whether key frames are so sparse, or so many, that all frames are looked at at once."""
    if len(keys) < 3 or len(keys) > len(times) / 2:
        return True
    duration = times[-1] - times[0]
    gaps = (after - before for before, after in itertools.pairwise([*keys, times[-1]]))
    blind = sum(gap for gap in gaps if gap > LONGEST_BLIND_S)
    return blind > FULL_PASS_SHARE * duration


@dataclass
class _Window:
    """A stretch to look at closely, with the gate as it was before it."""

    start: int
    gate: MotionGate
    last_hit_s: float
    quiet: int = 0


class _Scanner:
    def __init__(
        self,
        footage: Footage,
        settings: ScanSettings,
        regions: Sequence[Region],
        advance: Callable[[float], None],
        cancel: CancelToken,
    ) -> None:
        self._footage = footage
        self._times = footage.times()
        self._settings = settings
        self._regions = regions
        self._advance = advance
        self._cancel = cancel

    def scan_all(self) -> Scan:
        """One close look at every frame."""
        times = self._times
        scan = Scan(full=True, windows=[(times[0], times[-1])], asked=len(times))
        self._look_closely(scan, 0, None, None)
        return scan

    def scan_keyframes(self) -> Scan:
        """Key frames first; each stretch with a hit, or without key frames, closely."""
        scan = Scan(full=False, asked=len(self._footage.index.keyframes))
        gate: MotionGate | None = None
        window: _Window | None = None
        calm: deque[tuple[int, MotionGate]] = deque(maxlen=2)
        before_s = None
        for index, time_s, luma in self._footage.luma(GATE_HEIGHT, True):
            if not self._go_on(scan, time_s):
                return scan
            scan.delivered += 1
            gate = gate or self._gate(luma)
            blind = before_s is not None and time_s - before_s > LONGEST_BLIND_S
            if blind and window is None:
                window = _Window(*_earliest(calm, index, gate, last=True), time_s)
            before_s = time_s
            sample = gate.update(luma, time_s)
            hit = sample.relit or sample.area >= self._settings.gate.enter / 2
            if hit and window is None:
                window = _Window(*_earliest(calm, index, gate), time_s)
            if window is not None:
                window = self._follow(scan, window, sample, index, hit=hit)
            else:
                scan.samples.append(sample)
            if not hit:
                calm.append((index, gate.copy()))
        self._finish(scan, window, gate, before_s, calm)
        return scan

    def _follow(
        self, scan: Scan, window: _Window, sample: Sample, index: int, *, hit: bool
    ) -> _Window | None:
        """The window, or None once it was calm for long enough and was looked at."""
        if hit:
            window.last_hit_s, window.quiet = sample.time_s, 0
            return window
        window.quiet += 1
        calm_s = sample.time_s - window.last_hit_s
        if window.quiet < 2 or calm_s < self._settings.merge_gap_s:
            return window
        self._look_closely(scan, window.start, index, window.gate)
        scan.samples.append(sample)
        return None

    def _finish(
        self,
        scan: Scan,
        window: _Window | None,
        gate: MotionGate | None,
        last_key_s: float | None,
        calm: deque[tuple[int, MotionGate]],
    ) -> None:
        """What lies behind the last key frame is looked at closely in any case."""
        times = self._times
        if gate is None or last_key_s is None:
            return
        if window is None and calm and last_key_s < times[-1]:
            window = _Window(*calm[-1], last_key_s)
        if window is not None:
            self._look_closely(scan, window.start, None, window.gate)

    def _look_closely(
        self, scan: Scan, start: int, stop: int | None, gate: MotionGate | None
    ) -> None:
        last_s: float | None = None
        times = self._times
        end = len(times) if stop is None else stop
        if gate is not None:
            scan.asked += end - start
        scan.windows.append((times[start], times[end - 1]))
        # What was sampled coarsely is replaced by the close look.
        scan.samples = [s for s in scan.samples if not times[start] <= s.time_s <= times[end - 1]]
        for _, time_s, luma in self._footage.luma(GATE_HEIGHT, start=start, stop=stop):
            if not self._go_on(scan, time_s):
                return
            scan.delivered += 1
            if last_s is not None and time_s - last_s < self._settings.sample_s * 0.75:
                continue
            last_s = time_s
            gate = gate or self._gate(luma)
            scan.samples.append(gate.update(luma, time_s))

    def _go_on(self, scan: Scan, time_s: float) -> bool:
        scan.reached_s = max(scan.reached_s, time_s)
        if self._cancel.cancelled:
            scan.complete = False
            return False
        self._advance(time_s)
        return True

    def _gate(self, luma: np.ndarray) -> MotionGate:
        import numpy as np

        info: MediaInfo = self._footage.info
        height, width = luma.shape
        mask = watch_mask(self._regions, (width, height), (info.width, info.height))
        if mask is not None and not np.any(mask):
            raise UsageError(
                "the watch and ignore areas leave nothing of the picture",
                path=info.path,
                field="watch-area",
            )
        scale = info.width / width, info.height / height
        return MotionGate(self._settings.gate, mask=mask, scale=scale)


def _earliest(
    calm: deque[tuple[int, MotionGate]], index: int, gate: MotionGate, *, last: bool = False
) -> tuple[int, MotionGate]:
    """Where to begin a close look: at the calm key frame before the last one, with its gate."""
    if not calm:
        return index, gate.copy()
    start, state = calm[-1 if last else 0]
    return start, state.copy()
