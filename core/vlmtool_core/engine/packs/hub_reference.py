"""How a user names a repository, a hub and a token."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vlmtool_core.errors import UsageError

PUBLIC = "https://huggingface.co"
_PUBLIC_HOSTS = frozenset({"huggingface.co", "www.huggingface.co", "hf.co"})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository and the revision that is wanted: a branch, a tag or a commit."""

    repo: str
    revision: str = "main"

    def __str__(self) -> str:
        return self.repo if self.revision == "main" else f"{self.repo}@{self.revision}"


def is_reference(text: str) -> bool:
    """Whether a name given to `pull` means a repository of a hub, not a pack of the catalogue."""
    return "/" in text


def parse_reference(text: str, endpoint: str = PUBLIC) -> Reference:
    """`org/name`, `org/name@revision` or the address of the repository's page.

    Raises
    ------
    UsageError : something else, a data set or a space, or a page of another host.
    """
    given = text.strip()
    if "://" in given:
        given = _from_url(given, endpoint)
    repo, _, revision = given.partition("@")
    parts = repo.split("/")
    sound = len(parts) == 2 and all(_NAME.fullmatch(part) and ".." not in part for part in parts)
    if not sound or (revision and not _sound_revision(revision)):
        raise UsageError(
            f"{text!r} names no repository of models",
            remedy="Write it as org/name or org/name@revision.",
            field="ID",
        )
    return Reference(repo, revision or "main")


def _from_url(url: str, endpoint: str) -> str:
    parts = urlsplit(url)
    known = _PUBLIC_HOSTS | {urlsplit(endpoint).hostname}
    path = [part for part in parts.path.split("/") if part]
    if parts.scheme not in {"http", "https"} or parts.hostname not in known or len(path) < 2:
        raise UsageError(
            f"{url!r} is no page of a model on the hub",
            remedy="Write org/name; the environment variable HF_ENDPOINT chooses the hub.",
            field="ID",
        )
    if path[0] in {"datasets", "spaces", "api"}:
        raise UsageError(f"{url!r} is no model", remedy="Write org/name.", field="ID")
    tail = path[2:]
    revision = f"@{tail[1]}" if len(tail) >= 2 and tail[0] in {"tree", "blob", "resolve"} else ""
    return f"{path[0]}/{path[1]}{revision}"


def _sound_revision(revision: str) -> bool:
    return bool(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,127}", revision)) and ".." not in (
        revision
    )


def endpoint_from_environment() -> str:
    """The hub's address: `HF_ENDPOINT`, else the public one.

    Raises
    ------
    UsageError : `HF_ENDPOINT` is no http(s) address.
    """
    found = (os.environ.get("HF_ENDPOINT") or PUBLIC).rstrip("/")
    parts = urlsplit(found)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(
            f"{found!r} is no address of a hub",
            field="HF_ENDPOINT",
            remedy="Set HF_ENDPOINT to an address such as https://hub.example.org, or unset it.",
        )
    return found


def token_from_environment() -> str:
    """The user's token: `HF_TOKEN`, else the file that the hub's own tools keep it in, else ""."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if token := os.environ.get(name, "").strip():
            return token
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    home = os.environ.get("HF_HOME") or Path(cache) / "huggingface"
    path = Path(os.environ.get("HF_TOKEN_PATH") or Path(home) / "token").expanduser()
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
