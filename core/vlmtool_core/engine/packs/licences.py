"""Which licences may be used at once, and which ask for the user's consent first."""

from __future__ import annotations

import functools
import getpass
import tomllib
from dataclasses import dataclass
from pathlib import Path

from vlmtool_core.engine.packs.pack import Pack, now
from vlmtool_core.errors import LicenceError
from vlmtool_resources import files as resource_files


@dataclass(frozen=True, slots=True)
class Terms:
    """What a pack may be used for, and where it is written.

    licence : its identifier, "" where none is stated
    gated : its owner asks for consent before anybody may fetch it
    """

    licence: str
    url: str
    gated: bool = False


@dataclass(frozen=True, slots=True)
class Consent:
    """Who accepted the terms on this machine and when (ISO 8601 in UTC); "" where not needed."""

    at: str = ""
    by: str = ""


@functools.cache
def _open_licences() -> frozenset[str]:
    text = (resource_files() / "catalogue" / "licences.toml").read_text(encoding="utf-8")
    return frozenset(tomllib.loads(text)["open"])


def asks_for_consent(terms: Terms) -> bool:
    """Whether the user has to accept: for gated packs, and for every licence that is not known to
    allow any use (research only, non-commercial, a company's own terms, none stated)."""
    return terms.gated or terms.licence.lower() not in _open_licences()


def consent(name: str, terms: Terms, *, accepted: bool) -> Consent:
    """The user's consent as it is stored with the pack.

    Parameters
    ----------
    name : what is pulled, for the command in the remedy
    accepted : whether the user said that the terms are accepted

    Raises
    ------
    LicenceError : it is needed and was not given.
    """
    if not asks_for_consent(terms):
        return Consent()
    if accepted:
        return Consent(now(), _user())
    what = f"is under the licence {terms.licence}" if terms.licence else "states no licence"
    raise LicenceError(
        f"{name} {what}; its terms ask for your consent: {terms.url}",
        remedy=f"Read the terms. If you accept them: vlmtool-cli models pull {name} "
        "--accept-licence (in the window, tick the box).",
    )


def consent_to_bundled(pack: Pack, bundle: Path, *, accepted: bool) -> Consent:
    """The user's consent to a pack that comes in a bundle and whose terms ask for it.

    Raises
    ------
    LicenceError
    """
    if accepted:
        return Consent(now(), _user())
    raise LicenceError(
        f"holds {pack.id} under the licence {pack.licence}, whose terms ask for your consent",
        path=bundle,
        remedy=f"Read the terms ({pack.source}). If you accept them, import it again with "
        "--accept-licence (in the window, tick the box).",
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "unknown"  # a container may have no name for its user
