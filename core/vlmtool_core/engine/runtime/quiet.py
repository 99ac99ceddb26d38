"""Libraries that talk to the terminal are kept silent while they load."""

from __future__ import annotations

import contextlib
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_lock = threading.RLock()


@contextmanager
def quiet_transformers(*, captured: bool = False) -> Iterator[None]:
    """No progress bars and no advice of transformers on stderr; errors are still raised.

    captured : drop what is written to stderr too; some bars of its converters heed no setting
    """
    import transformers

    library: Any = transformers.utils.logging
    with _lock:  # its settings are global
        level, bars = library.get_verbosity(), library.is_progress_bar_enabled()
        library.set_verbosity_error()
        library.disable_progress_bar()
        try:
            with (
                contextlib.redirect_stderr(io.StringIO()) if captured else contextlib.nullcontext()
            ):
                yield
        finally:
            library.set_verbosity(level)
            if bars:
                library.enable_progress_bar()
