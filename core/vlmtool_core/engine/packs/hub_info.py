"""What a hub says of a repository: its files with their hashes, its commit and its terms."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vlmtool_core.engine.packs.hub_reference import Reference
from vlmtool_core.engine.packs.pack_files import check_name, leads_out, matters
from vlmtool_core.errors import PackIntegrityError

COMMIT = re.compile(r"[0-9a-f]{40}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository; size in bytes.

    sha256 : of a large file (stored beside git), else ""
    git_sha1 : of a file that lies in git itself: SHA-1 of "blob <size>\\0" and its content
    """

    name: str
    size: int
    sha256: str
    git_sha1: str


@dataclass(frozen=True, slots=True)
class RepoInfo:
    """What the hub says of a repository at one commit.

    licence : its identifier, "" where none is stated
    terms_url : where the terms can be read
    gated : whether its owner asks for consent before anybody may fetch it
    """

    repo: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str
    terms_url: str
    gated: bool


def info_from_json(body: bytes, reference: Reference, endpoint: str) -> RepoInfo:
    try:
        value = json.loads(body)
        commit, siblings = _commit(value["sha"]), value["siblings"]
        files = tuple(_file(sibling) for sibling in siblings if _matters(sibling["rfilename"]))
        card = value.get("cardData") or {}
        licence, link = _licence(card, value.get("tags") or [])
        gated = bool(value.get("gated"))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise PackIntegrityError(
            f"{endpoint} does not answer as a hub does",
            field=str(error)[:80],
            remedy="Check HF_ENDPOINT: it must be a hub, or a mirror that speaks its API.",
        ) from error
    _refuse_twins(files)
    return RepoInfo(
        reference.repo, commit, files, licence, link or f"{endpoint}/{reference.repo}", gated
    )


def _commit(value: Any) -> str:
    if not isinstance(value, str) or not COMMIT.fullmatch(value):
        raise ValueError("sha")
    return value


def _matters(name: str) -> bool:
    """Pictures and the like may be called as they please, but nothing may lead out."""
    return matters(name) or leads_out(name)


def _file(value: Mapping[str, Any]) -> HubFile:
    name, size = check_name(value["rfilename"]), value["size"]
    large = value.get("lfs") or {}
    sha256 = str(large.get("sha256") or "").removeprefix("sha256:")
    git_sha1 = "" if sha256 else str(value["blobId"])
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise ValueError(f"size of {name}")
    if not _HASH.fullmatch(sha256) and not COMMIT.fullmatch(git_sha1):
        raise ValueError(f"hash of {name}")
    return HubFile(name, size, sha256, git_sha1)


def _refuse_twins(files: tuple[HubFile, ...]) -> None:
    """Names that differ only in case would overwrite each other on some systems."""
    seen: set[str] = set()
    for file in files:
        key = file.name.casefold()
        if key in seen:
            raise PackIntegrityError(f"the repository holds {file.name!r} twice")
        seen.add(key)


def _licence(card: Mapping[str, Any], tags: list[Any]) -> tuple[str, str]:
    """(identifier, link) as the model's page states them."""
    stated = card.get("license") or next(
        (str(tag).partition(":")[2] for tag in tags if str(tag).startswith("license:")), ""
    )
    if isinstance(stated, list):
        stated = " or ".join(str(part) for part in stated)
    if str(stated) == "other" and card.get("license_name"):
        stated = card["license_name"]
    link = str(card.get("license_link") or "")
    return str(stated).strip()[:80], link if link.startswith("https://") else ""
