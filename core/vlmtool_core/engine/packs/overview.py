"""Every model that is installed or could be, in one list: what the window and scripts show."""

from __future__ import annotations

from vlmtool_core.engine.packs.hub_reference import PUBLIC
from vlmtool_core.engine.packs.licences import Terms, asks_for_consent
from vlmtool_core.engine.packs.model_store import ModelStore
from vlmtool_core.engine.packs.pack import Card, Pack
from vlmtool_core.engine.packs.recommendation import Recommended, recommended
from vlmtool_core.engine.runtime.memory import memory_needed
from vlmtool_core.records import Json

_DTYPES = {"cpu": "float32", "cuda": "bfloat16"}


def overview(store: ModelStore, memory_gb: float, device: str) -> list[dict[str, Json]]:
    """Installed packs first, then the starter's and plugins', then the recommended ones.

    Parameters
    ----------
    memory_gb, device : what "fits" means, see `Recommended.fits`
    """
    known = {card.id: card for card in recommended()}
    installed = store.installed()
    rows = [_installed(pack, known.get(pack.id), device) for pack in installed]
    there = {pack.id for pack in installed}
    rows += [_pullable(card) for card in store.cards.values() if card.id not in there]
    rows += [
        _offered(card, memory_gb, device)
        for card in known.values()
        if card.id not in there and card.id not in store.cards
    ]
    return rows


def _installed(pack: Pack, card: Recommended | None, device: str) -> dict[str, Json]:
    repo = pack.source.removeprefix("hub ").partition("@")[0] if pack.revision else ""
    return {
        "id": pack.id,
        "title": card.title if card else pack.title,
        "version": pack.version,
        "source": pack.source,
        "page": f"{PUBLIC}/{repo}" if repo else "",
        "tasks": [task.value for task in pack.tasks],
        "domains": list(card.domains) if card else ["general"],
        "size_bytes": pack.size_bytes,
        "memory_bytes": memory_needed(pack, _DTYPES[device]),
        "licence": pack.licence,
        "consent": False,
        "accepted": f"{pack.licence_accepted_at[:10]} {pack.licence_accepted_by}".strip(),
        "note": card.note if card else "",
        "scores": _scores(card),
        "installed": True,
        "fits": True,
    }


def _pullable(card: Card) -> dict[str, Json]:
    return {
        "id": card.id,
        "title": card.title,
        "version": card.version,
        "source": str(card.source),
        "page": "",
        "tasks": [task.value for task in card.tasks],
        "domains": ["general"],
        "size_bytes": card.download_bytes,
        "memory_bytes": card.installed_bytes,
        "licence": card.licence,
        "consent": False,
        "accepted": "",
        "note": "",
        "scores": [],
        "installed": False,
        "fits": True,
    }


def _offered(card: Recommended, memory_gb: float, device: str) -> dict[str, Json]:
    return {
        "id": card.id,
        "title": card.title,
        "version": card.revision,
        "source": f"hub {card.repo}",
        "page": f"{PUBLIC}/{card.repo}",
        "tasks": [task.value for task in card.tasks],
        "domains": list(card.domains),
        "size_bytes": card.download_bytes,
        "memory_bytes": card.memory_bytes(device),
        "licence": card.licence,
        "consent": asks_for_consent(Terms(card.licence, "", card.gated)),
        "accepted": "",
        "note": card.note,
        "scores": _scores(card),
        "installed": False,
        "fits": card.fits(memory_gb, device),
    }


def _scores(card: Recommended | None) -> list[str]:
    """`76 ImageNet zero-shot, top-1 % (OpenCLIP results table)`."""
    scores = card.scores if card else ()
    return [f"{score.value:g} {score.measure} ({score.source})" for score in scores]
