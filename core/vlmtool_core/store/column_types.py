"""Types of columns that keep their values exactly, whatever the database."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import DateTime, TypeDecorator
from sqlalchemy import Text as SqlText
from sqlalchemy.engine import Dialect


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out; naive UTC in the file, because SQLite keeps no zone."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


_ESCAPE = "\ufdd0"  # Unicode's own "never in a text"


class ServerText(TypeDecorator[str]):
    """Any text, on a server that takes none with a NUL in it; sorted by its bytes."""

    impl = SqlText
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        if value is None or not ("\0" in value or _ESCAPE in value):
            return value
        return value.replace(_ESCAPE, _ESCAPE * 2).replace("\0", f"{_ESCAPE}0")

    def process_result_value(self, value: str | None, _dialect: Dialect) -> str | None:
        if value is None or _ESCAPE not in value:
            return value
        parts = value.split(_ESCAPE * 2)
        return _ESCAPE.join(part.replace(f"{_ESCAPE}0", "\0") for part in parts)


Text = SqlText().with_variant(ServerText(collation="C"), "postgresql")
