"""What a hub's refusals mean, and what the user can do about each."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from vlmtool_core.errors import PackAccessError, PackDownloadError, PackError

if TYPE_CHECKING:
    import httpx2

_RATE_LIMIT = re.compile(r";\s*r=0\s*;\s*t=(\d+)")


def is_passing(status: int) -> bool:
    """Whether the same request may be answered in a moment."""
    return status in {408, 429} or status >= 500


def seconds_to_wait(response: httpx2.Response) -> float | None:
    """What the hub asks for: `Retry-After` (seconds or a date), else its rate-limit header."""
    given = response.headers.get("Retry-After", "").strip()
    if given.isdigit():
        return float(given)
    if given:
        try:
            at = parsedate_to_datetime(given)
        except (ValueError, TypeError):
            return None
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return max(0.0, (at - datetime.now(UTC)).total_seconds())
    found = _RATE_LIMIT.search(response.headers.get("RateLimit", ""))
    return float(found[1]) if found and response.status_code == 429 else None


def answer_error(response: httpx2.Response, repo: str, page: str, *, has_token: bool) -> PackError:
    """The error for an answer that is no success.

    Parameters
    ----------
    page : the address of the repository's page, for the remedy
    """
    status, code = response.status_code, response.headers.get("X-Error-Code", "")
    if code == "GatedRepo" and status in {401, 403}:
        return _gated(repo, page, has_token=has_token)
    if code == "RevisionNotFound":
        return PackDownloadError(
            f"{repo} has no such revision",
            field="revision",
            remedy=f"See the branches and tags at {page}/tree/main",
        )
    if status == 401 and has_token and code != "RepoNotFound":
        return PackAccessError(
            "the hub does not know the token",
            field="HF_TOKEN",
            remedy="Make a new access token in the hub's settings and set HF_TOKEN to it, or unset "
            "HF_TOKEN (and delete the token file) for public repositories.",
        )
    if status in {401, 404}:
        return _not_found(repo, code)
    if status == 403:
        return PackAccessError(
            f"the hub does not let you fetch {repo}: {_said(response)}",
            remedy=f"See {page}; the token may need the right to read this repository.",
        )
    reason = "is too busy" if status == 429 else f"answered {status} ({_said(response)})"
    return PackDownloadError(
        f"the hub {reason}", remedy="Pull again in some minutes: it goes on where it stopped."
    )


def _gated(repo: str, page: str, *, has_token: bool) -> PackAccessError:
    ask = f"Open {page}, read the terms and ask for access with your account."
    if has_token:
        return PackAccessError(
            f"{repo} is gated, and the account of your token was not let in (yet)",
            remedy=f"{ask} If you did, wait for the owner's answer, then pull again; a token of "
            "the fine-grained kind also needs the right to read gated repositories.",
        )
    return PackAccessError(
        f"{repo} is gated: its owner gives it only to users who accepted the terms",
        remedy=f"{ask} Then make an access token, set HF_TOKEN to it and pull again.",
    )


def _not_found(repo: str, code: str) -> PackError:
    if code == "EntryNotFound":
        return PackDownloadError(f"{repo} has lost a file since it was listed", remedy="Pull again")
    return PackDownloadError(
        f"there is no repository {repo} on the hub, or it is private",
        remedy="Check the spelling (org/name). For a private repository set HF_TOKEN.",
    )


def _said(response: httpx2.Response) -> str:
    """The server's own words, shortened and without control characters."""
    words = response.headers.get("X-Error-Message") or response.reason_phrase
    return "".join(c for c in words if c.isprintable())[:200]
