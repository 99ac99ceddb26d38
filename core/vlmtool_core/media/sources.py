"""What all sources share: context manager, index checks and the plain loop over frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from vlmtool_core.media.base import MediaInfo, Window
from vlmtool_core.records import Frame


class SourceBase:
    """Base of the sources; a subclass sets `_info` and implements `frame`.

    constants : properties, and methods without arguments, whose result never changes; see
        `media.safe` for what may be called from another process
    """

    constants: ClassVar[frozenset[str]] = frozenset()

    _info: MediaInfo

    @property
    def info(self) -> MediaInfo:
        return self._info

    @property
    def path(self) -> Path:
        return self._info.path

    def frame(
        self, index: int = 0, *, max_side: int | None = None, window: Window | None = None
    ) -> Frame:
        raise NotImplementedError

    def frames(
        self, indices: Iterable[int] | None = None, *, max_side: int | None = None
    ) -> Iterator[Frame]:
        """See `MediaSource.frames`."""
        count = self._info.frame_count or 0
        chosen = range(count) if indices is None else sorted(set(indices))
        for index in chosen:
            yield self.frame(index, max_side=max_side)

    def _check_index(self, index: int) -> None:
        count = self._info.frame_count or 0
        if not 0 <= index < count:
            raise IndexError(f"{self.path}: no frame {index}; there are {count}")

    def close(self) -> None:
        """Release the files; the source cannot be used afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
