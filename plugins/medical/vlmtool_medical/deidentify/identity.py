"""Consistent stand-ins: UIDs, patient pseudonyms and date shifts, all derived from one secret.

The same secret gives the same stand-ins in every file of a run, and in later runs when it is
kept in a key file. Without the secret they cannot be computed from the originals.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import uuid
from datetime import date, timedelta
from pathlib import Path

from vlmtool_core.api import FormatError, StorageError, write_atomically

KEY_FORMAT = "vlmtool-deidentification-key"
# More than a year back, so that not even the season is told by the shifted date.
SMALLEST_SHIFT_DAYS, LARGEST_SHIFT_DAYS = 366, 3650

_DATE_OR_DATETIME = re.compile(
    r"(?P<year>\d{4})(?P<dot>\.?)(?P<month>\d\d)(?P=dot)(?P<day>\d\d)"
    r"(?P<time>\d{2,6}(?:\.\d{1,6})?)?(?:[+-]\d{4})?",
    re.ASCII,
)


class Identity:
    """secret : 32 random bytes"""

    def __init__(self, secret: bytes | None = None) -> None:
        self.secret = secret or secrets.token_bytes(32)

    def _digest(self, purpose: str, value: str) -> bytes:
        return hmac.new(self.secret, f"{purpose}\0{value}".encode(), hashlib.sha256).digest()

    def uid(self, original: str) -> str:
        """A UID of the 2.25 root (PS3.5 B.2) in place of `original`."""
        bits = uuid.UUID(bytes=self._digest("uid", original)[:16], version=4)
        return f"2.25.{bits.int}"

    def pseudonym(self, patient: str) -> str:
        """A name and number for a patient, the same in all of the patient's files."""
        return "PAT-" + self._digest("patient", patient).hex()[:10].upper()

    def shift(self, patient: str) -> timedelta:
        """By how much all dates of a patient move into the past."""
        number = int.from_bytes(self._digest("date", patient)[:8], "big")
        span = LARGEST_SHIFT_DAYS - SMALLEST_SHIFT_DAYS + 1
        return -timedelta(days=SMALLEST_SHIFT_DAYS + number % span)

    def fingerprint(self, value: str) -> str:
        """Tells equal values apart from different ones in the report, and nothing else."""
        return self._digest("value", value).hex()[:12]

    def name(self, kind: str, value: str) -> str:
        """Part of a file name."""
        return self._digest(kind, value).hex()[:12]


def shift_date(text: str, shift: timedelta) -> str | None:
    """A DA or DT value moved by `shift`, the time of day kept; None when it holds no whole date.

    The offset from UTC at the end of a DT is dropped: it tells where it was made.
    """
    match = _DATE_OR_DATETIME.fullmatch(text.strip())
    if match is None:
        return None
    try:
        moved = date(*(int(match[part]) for part in ("year", "month", "day"))) + shift
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04}{moved.month:02}{moved.day:02}{match['time'] or ''}"


def load_identity(key_file: Path | None) -> Identity:
    """A new secret; with a key file, the one in it, or a new one that is written to it.

    Raises
    ------
    FormatError : the file is no key file
    StorageError : it cannot be written
    """
    if key_file is None:
        return Identity()
    if key_file.exists():
        return Identity(_read_key(key_file))
    identity = Identity()
    content = {"format": KEY_FORMAT, "version": 1, "secret": identity.secret.hex()}
    write_atomically(key_file, json.dumps(content, indent=2).encode())
    try:
        key_file.chmod(0o600)
    except OSError as error:
        raise StorageError(f"cannot be made private: {error}", path=key_file) from error
    return identity


def _read_key(path: Path) -> bytes:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != KEY_FORMAT:
            raise FormatError("not a key file of de-identification", path=path, field="format")
        secret = bytes.fromhex(content["secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"not a key file of de-identification: {error}", path=path) from error
    if len(secret) < 16:
        raise FormatError("the secret is too short", path=path, field="secret")
    return secret
