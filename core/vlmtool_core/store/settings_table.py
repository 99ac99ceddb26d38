"""Small values of a project: its name, its label set's head, which model version is active."""

from __future__ import annotations

from sqlalchemy import Connection, delete, insert, select

from vlmtool_core.records import Json
from vlmtool_core.store.database import Database
from vlmtool_core.store.tables import Setting


def get_setting(connection: Connection, key: str, default: Json = None) -> Json:
    row = connection.execute(select(Setting.value).where(Setting.key == key)).one_or_none()
    return default if row is None else row[0]


def put_setting(connection: Connection, key: str, value: Json) -> None:
    connection.execute(delete(Setting).where(Setting.key == key))
    connection.execute(insert(Setting).values(key=key, value=value))


class SettingStore:
    """Keys and JSON values."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, key: str, default: Json = None) -> Json:
        with self._database.reading() as connection:
            return get_setting(connection, key, default)

    def put(self, key: str, value: Json) -> None:
        with self._database.writing() as connection:
            put_setting(connection, key, value)

    def all(self) -> dict[str, Json]:
        with self._database.reading() as connection:
            return {
                key: value for key, value in connection.execute(select(Setting.key, Setting.value))
            }
