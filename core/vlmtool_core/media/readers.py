"""Says what opens a file: what is built in goes first, then the readers of plugins.

Whoever starts a process says with `use` where the readers come from; see `extensions`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from vlmtool_core.contributions import MediaReader
from vlmtool_core.errors import MediaError
from vlmtool_core.media.base import MediaInfo, MediaSource, Window
from vlmtool_core.media.sniffing import (
    COMPOUND_EXTENSIONS,
    MEDIA_EXTENSIONS,
    VIDEO_EXTENSIONS,
    Signature,
    read_head,
    sniff,
)
from vlmtool_core.media.sources import SourceBase
from vlmtool_core.records import Frame

REMEDY = "Update or uninstall the plugin, or leave this file out."

Provider = Callable[[], Sequence[tuple[str, MediaReader]]]

log = logging.getLogger(__name__)


def _none() -> Sequence[tuple[str, MediaReader]]:
    return ()


_provider: Provider = _none
_connector = ""


def use(provider: Provider | None, connect: str = "") -> None:
    """Ask `provider` for (plugin, reader) pairs from now on; None: built-in kinds only.

    connect : "module:function" that does the same in another process; without it, files of
        plugins are opened in this one
    """
    global _provider, _connector
    _provider = provider or _none
    _connector = connect


def connector() -> str:
    """What `use` was given as `connect`."""
    return _connector


def claims_media(path: Path) -> bool:
    """Whether the file's extension says that it is media."""
    suffix = path.suffix.lower()
    if path.name.lower().endswith(COMPOUND_EXTENSIONS):
        return True
    return suffix in MEDIA_EXTENSIONS or any(suffix in r.extensions for _, r in _provider())


def identify(path: Path, head: bytes | None = None) -> Signature | PluginReader:
    """What opens the file, by its content; only for video also by its extension.

    head : its first bytes, read from `path` when not given

    Raises
    ------
    MediaNotFoundError : it cannot be read
    MediaError : a plugin failed to look at it, and no other knows it
    """
    head = read_head(path) if head is None else head
    signature = sniff(head)
    # Many kinds of documents are zip archives: a plugin may know better.
    if signature not in (Signature.NONE, Signature.ARCHIVE):
        return signature
    found = _reader_of(head, path)
    if found is not None:
        return found
    return Signature.VIDEO if path.suffix.lower() in VIDEO_EXTENSIONS else signature


def _reader_of(head: bytes, path: Path) -> PluginReader | None:
    failure: MediaError | None = None
    for plugin, reader in _provider():
        candidate = PluginReader(plugin, reader)
        try:
            with candidate.blamed(path):
                if reader.sniff(head, path):
                    return candidate
        except MediaError as error:
            log.warning("%s", error, exc_info=True)
            failure = failure or error
    if failure is not None:
        raise failure
    return None


class PluginReader:
    """A plugin's reader; whatever goes wrong in it is an error that names the plugin."""

    def __init__(self, plugin: str, reader: MediaReader) -> None:
        self.reader = reader
        self._name = f"reader {reader.name!r} of plugin {plugin!r}"

    @contextmanager
    def blamed(self, path: Path, also: type[Exception] = MediaError) -> Iterator[None]:
        """`MediaError` passes (it is meant for the user) and `also`; all else is wrapped in one."""
        try:
            yield
        except (MediaError, also):
            raise
        except Exception as error:
            message = f"the {self._name} failed: {type(error).__name__}: {error}"
            raise MediaError(message, path=path, remedy=REMEDY) from error

    def broken(self, problem: str, path: Path) -> MediaError:
        return MediaError(f"the {self._name} {problem}", path=path, remedy=REMEDY)

    def open(self, path: Path) -> MediaSource:
        """Open the file with the plugin.

        Raises
        ------
        MediaError
        """
        with self.blamed(path):
            return PluginSource(self, self.reader.open(path), path)


class PluginSource(SourceBase):
    """An opened file of a plugin, whose facts and frames are checked before anyone uses them."""

    def __init__(self, owner: PluginReader, source: MediaSource, path: Path) -> None:
        self._owner = owner
        self._source = source
        self._file = path
        self._info = source.info
        if not isinstance(self._info, MediaInfo) or self._info.kind is not owner.reader.kind:
            self.close()
            raise owner.broken(f"gave no facts of kind {owner.reader.kind}", path)

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        # That there is no such frame is an answer.
        with self._owner.blamed(self._file, IndexError):
            return self._checked(self._source.frame(index, max_side=max_side, window=window))

    def frames(
        self, indices: Iterable[int] | None = None, *, max_side: int | None = None
    ) -> Iterator[Frame]:
        with self._owner.blamed(self._file):
            for frame in self._source.frames(indices, max_side=max_side):
                yield self._checked(frame)

    def _checked(self, frame: Frame) -> Frame:
        pixels = getattr(frame, "pixels", None)
        fits = isinstance(pixels, np.ndarray) and pixels.ndim == 3 and pixels.shape[2] == 3
        if not fits or pixels is None or pixels.dtype != np.uint8 or not pixels.size:
            raise self._owner.broken("gave a frame that is not uint8 RGB", self._file)
        return frame

    def close(self) -> None:
        with self._owner.blamed(self._file):
            self._source.close()
