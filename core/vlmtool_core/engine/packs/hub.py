"""A hub of model repositories (Hugging Face, or a mirror that speaks its API), read only.

Not through huggingface_hub: 2.4 throws a partial file away whenever a download ends early, waits
as long as a server says without listening to a cancel, and reads its settings only at import.
API: https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import quote, urljoin, urlsplit

from vlmtool_core.engine.packs.hub_answers import answer_error, is_passing, seconds_to_wait
from vlmtool_core.engine.packs.hub_info import RepoInfo, info_from_json
from vlmtool_core.engine.packs.hub_reference import (
    Reference,
    endpoint_from_environment,
    token_from_environment,
)
from vlmtool_core.errors import PackDownloadError, PackIntegrityError
from vlmtool_core.jobs import CancelToken

if TYPE_CHECKING:
    import httpx2

_MOST_REDIRECTS = 8
_CONNECT_S = 10.0
# Without a network the user is told soon; a download that has begun is worth more patience.
_FIRST_TRIES = 3
_MOST_INFO_BYTES = 32 << 20
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a hub that is slow or busy, in seconds.

    silence : without a byte arriving before the connection is given up and tried again
    pause : before the first new try; doubled for each one after it
    longest_pause : a hub that asks for more is left alone, and the user told
    tries : in a row without a single new byte
    """

    silence: float = 30.0
    pause: float = 1.0
    longest_pause: float = 120.0
    tries: int = 6


class Hub:
    """One hub, asked with one token. Methods may be called from several threads.

    Parameters
    ----------
    endpoint, token : the environment's when left out
    """

    def __init__(
        self,
        endpoint: str | None = None,
        token: str | None = None,
        *,
        patience: Patience | None = None,
    ) -> None:
        import httpx2

        self.endpoint = endpoint or endpoint_from_environment()
        self.token = token_from_environment() if token is None else token
        self.patience = patience or Patience()
        silence = self.patience.silence
        timeout = httpx2.Timeout(silence, connect=min(silence, _CONNECT_S), pool=None)
        self._client = httpx2.Client(
            timeout=timeout, follow_redirects=False, headers={"User-Agent": "vlmtool"}
        )

    def __enter__(self) -> Hub:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _where: TracebackType | None,
    ) -> None:
        self._client.close()

    def page(self, repo: str) -> str:
        """The address of the repository's page."""
        return f"{self.endpoint}/{repo}"

    def info(self, reference: Reference, cancel: CancelToken) -> RepoInfo:
        """The files, the commit and the terms of a repository.

        Raises
        ------
        PackDownloadError, PackAccessError, PackIntegrityError, CancelledError
        """
        revision = quote(reference.revision, safe="")
        url = f"{self.endpoint}/api/models/{reference.repo}/revision/{revision}?blobs=true"
        body = self._read(url, reference.repo, cancel)
        return info_from_json(body, reference, self.endpoint)

    def _read(self, url: str, repo: str, cancel: CancelToken) -> bytes:
        import httpx2

        tries = min(_FIRST_TRIES, self.patience.tries)
        for attempt in range(tries):
            try:
                with self.opened(url, repo, {}, cancel) as response:
                    return _bounded(response, url)
            except httpx2.TransportError as error:
                if attempt == tries - 1:
                    raise self.unreachable(error) from error
                self.pause(attempt, cancel)
        raise AssertionError("the last attempt returns or raises")

    @contextmanager
    def opened(
        self, url: str, repo: str, headers: Mapping[str, str], cancel: CancelToken
    ) -> Iterator[httpx2.Response]:
        """The answer to a GET once it is 200, 206 or 416; busy hubs are asked again.

        The token goes to the hub itself only, never to where it redirects.

        Raises
        ------
        httpx2.TransportError : the connection broke.
        PackDownloadError, PackAccessError, CancelledError
        """
        for attempt in range(self.patience.tries):
            cancel.check()
            response = self._send(url, headers)
            try:
                if response.status_code in {200, 206, 416}:
                    yield response
                    return
                if not is_passing(response.status_code) or attempt == self.patience.tries - 1:
                    raise answer_error(response, repo, self.page(repo), has_token=bool(self.token))
                wait = seconds_to_wait(response)
            finally:
                response.close()
            self._wait(wait, attempt, cancel)

    def _wait(self, asked: float | None, attempt: int, cancel: CancelToken) -> None:
        if asked is None:
            self.pause(attempt, cancel)
        elif asked > self.patience.longest_pause:
            raise PackDownloadError(
                f"{self._host} is busy and asks to come back in {asked:.0f} s",
                remedy="Pull again then: it goes on where it stopped. A token (HF_TOKEN) raises "
                "the limit.",
            )
        else:
            cancel.wait(asked)

    def pause(self, attempt: int, cancel: CancelToken) -> None:
        """Wait before try `attempt` + 2, longer each time."""
        cancel.wait(min(self.patience.pause * 2**attempt, self.patience.longest_pause))

    def unreachable(self, error: Exception) -> PackDownloadError:
        """What a connection that keeps breaking means to the user."""
        return PackDownloadError(
            f"{self._host} cannot be reached: {str(error)[:200] or type(error).__name__}",
            remedy="Check the network (and HTTPS_PROXY, HF_ENDPOINT), then pull again: it goes on "
            "where it stopped. Without a network use a bundle: vlmtool-cli models import FILE.",
        )

    @property
    def _host(self) -> str:
        return urlsplit(self.endpoint).netloc

    def _send(self, url: str, headers: Mapping[str, str]) -> httpx2.Response:
        target = url
        for _ in range(_MOST_REDIRECTS):
            # Bodies come as they are stored, so that a range means bytes of the file.
            sent = {"Accept-Encoding": "identity", **headers}
            if self.token and _origin(target) == _origin(self.endpoint):
                sent["Authorization"] = f"Bearer {self.token}"
            request = self._client.build_request("GET", target, headers=sent)
            response = self._client.send(request, stream=True)
            if response.status_code not in _REDIRECTS or "Location" not in response.headers:
                return response
            response.close()
            target = _redirected(target, response.headers["Location"])
        raise PackDownloadError(f"{self._host} redirects without end")


def _redirected(url: str, location: str) -> str:
    target = urljoin(url, location)
    scheme = urlsplit(target).scheme
    if scheme not in {"http", "https"} or (url.startswith("https:") and scheme == "http"):
        raise PackDownloadError(
            f"{urlsplit(url).netloc} redirects to an unprotected address",
            remedy="Check HF_ENDPOINT and the network: somebody may be changing its answers.",
        )
    return target


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443}.get(parts.scheme, 80)


def _bounded(response: httpx2.Response, url: str) -> bytes:
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if len(body) > _MOST_INFO_BYTES:
            raise PackIntegrityError("the hub's answer is far too long", path=url)
    return bytes(body)
