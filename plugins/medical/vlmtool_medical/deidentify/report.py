"""The report of every change. It holds keyed fingerprints of values, never the values."""

from __future__ import annotations

import csv
import html
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from vlmtool_medical.deidentify.cleaning import Change
from vlmtool_medical.deidentify.identity import Identity

COLUMNS = ("file", "element", "keyword", "vr", "action", "rule", "value_fingerprint")
NOTE = (
    "Values are not in this report: value_fingerprint is a keyed digest that tells equal values "
    "apart from different ones. Source paths are not in it either."
)


@dataclass
class Totals:
    """What the summary is made of."""

    by_rule: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    by_action: Counter[str] = field(default_factory=Counter)

    def add(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.by_rule[(change.keyword or "(private)", str(change.action), change.rule)] += 1
            self.by_action[str(change.action)] += 1


class ReportWriter:
    """Streams `report.csv` and `report.json` while files are cleaned; the HTML comes last."""

    def __init__(self, folder: Path, identity: Identity) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.totals = Totals()
        self._identity = identity
        self._csv_file: IO[str] = (folder / "report.csv").open("w", encoding="utf-8", newline="")
        self._csv = csv.writer(self._csv_file)
        self._csv.writerow(COLUMNS)
        self._json: IO[str] = (folder / "report.json").open("w", encoding="utf-8")
        self._json.write('{"note": ' + json.dumps(NOTE) + ',\n"files": [')
        self._first = True

    def add(self, name: str, changes: Iterable[Change], pixels: str) -> None:
        """A cleaned file. pixels : SHA-256 of its pixel data, the same as in its source"""
        rows = [self._row(name, change) for change in changes]
        self._csv.writerows(rows)
        entry = {
            "file": name,
            "pixel_sha256": pixels,
            "changes": [dict(zip(COLUMNS[1:], row[1:], strict=True)) for row in rows],
        }
        self._json.write(("" if self._first else ",") + "\n" + json.dumps(entry))
        self._first = False

    def _row(self, name: str, change: Change) -> tuple[str, ...]:
        value = self._identity.fingerprint("\\".join(change.values)) if change.values else ""
        return (
            name, change.place, change.keyword, change.vr, str(change.action), change.rule, value,
        )  # fmt: skip

    def finish(self, facts: Mapping[str, Any], findings: Iterable[Mapping[str, Any]]) -> None:
        """Close the JSON with the facts of the run and write the HTML."""
        found = list(findings)
        self._json.write(
            '\n],\n"findings": ' + json.dumps(found) + ',\n"run": ' + json.dumps(facts) + "}\n"
        )
        self.close()
        page = _page(facts, self.totals, found)
        (self.folder / "report.html").write_text(page, encoding="utf-8")

    def close(self) -> None:
        self._csv_file.close()
        self._json.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _page(facts: Mapping[str, Any], totals: Totals, findings: list[Mapping[str, Any]]) -> str:
    rules = [(*key, str(count)) for key, count in sorted(totals.by_rule.items())]
    found = [(str(f["kind"]), str(f["file"]), str(f["reason"])) for f in findings]
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'><title>De-identification</title>",
        "<style>body{font:15px/1.5 system-ui,sans-serif;margin:2rem;max-width:70rem}"
        "table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #ccc;"
        "padding:.2rem .6rem;text-align:left}caption{text-align:left;font-weight:600}</style>",
        f"<h1>De-identification</h1><p>{html.escape(NOTE)} Every single change is in report.csv.",
        _table("The run", ("What", "Value"), [(k, str(v)) for k, v in facts.items()]),
        _table("Look at these pictures", ("Kind", "File", "Why"), found) if found else "",
        _table("Changes", ("Attribute", "Action", "Rule", "Count"), rules),
    ]
    return "\n".join(parts) + "</html>\n"


def _table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><caption>{html.escape(title)}</caption><tr>{head}</tr>{body}</table>"
