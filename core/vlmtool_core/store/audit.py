"""The audit log: append-only, each entry's hash covers the one before it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, insert, select

from vlmtool_core.records import Json
from vlmtool_core.store.database import Database
from vlmtool_core.store.records import AuditCheck, AuditEntry
from vlmtool_core.store.tables import AuditEvent

FIRST_HASH = "0" * 64


def _digest(previous: str, at: str, author: str, kind: str, data: str) -> str:
    # JSON keeps the borders between fields, so that no two entries give the same text.
    return hashlib.sha256(json.dumps([previous, at, author, kind, data]).encode()).hexdigest()


def append_audit(connection: Connection, author: str, kind: str, data: Mapping[str, Json]) -> str:
    """Add an entry within a running write transaction; returns its hash."""
    last = connection.execute(
        select(AuditEvent.hash).order_by(AuditEvent.id.desc()).limit(1)
    ).scalar()
    previous = last or FIRST_HASH
    at = datetime.now(UTC).isoformat()
    text = json.dumps(dict(data), ensure_ascii=False, sort_keys=True)
    digest = _digest(previous, at, author, kind, text)
    connection.execute(
        insert(AuditEvent).values(
            at=at, author=author, kind=kind, data=text, previous_hash=previous, hash=digest
        )
    )
    return digest


class AuditStore:
    """The audit log of a project."""

    def __init__(self, database: Database, author: str) -> None:
        self._database = database
        self._author = author

    def append(self, kind: str, data: Mapping[str, Json] | None = None) -> str:
        """Add an entry and return its hash."""
        with self._database.writing() as connection:
            return append_audit(connection, self._author, kind, data or {})

    def entries(self) -> list[AuditEntry]:
        """Oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(select(AuditEvent.__table__).order_by(AuditEvent.id)).all()
        return [
            AuditEntry(
                r.id,
                datetime.fromisoformat(r.at),
                r.author,
                r.kind,
                json.loads(r.data),
                r.previous_hash,
                r.hash,
            )
            for r in rows
        ]

    def verify(self) -> AuditCheck:
        """Recompute every hash. The first entry that does not fit is where the log was changed."""
        previous = FIRST_HASH
        count = 0
        with self._database.reading() as connection:
            for row in connection.execute(select(AuditEvent.__table__).order_by(AuditEvent.id)):
                expected = _digest(previous, row.at, row.author, row.kind, row.data)
                if row.previous_hash != previous or row.hash != expected:
                    return AuditCheck(count, row.id)
                previous = row.hash
                count += 1
        return AuditCheck(count, None)
