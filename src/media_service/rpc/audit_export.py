"""The audit log as a file: NDJSON or CSV."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from mediaservice.v1 import audit_pb2

COLUMNS = (
    *("time", "category", "action", "outcome", "counted", "request_count", "byte_count"),
    *("media_id", "filename", "version", "resource_id", "organization_id", "project_id"),
    *("actor.type", "actor.id", "actor.person_id", "actor.credential_id", "actor.address"),
    *("actor.user_agent", "request_id", "entry_id", "details"),
)
# Spreadsheets take a cell that begins so for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r")

Writer = Callable[[Sequence[audit_pb2.AuditEntry]], bytes]


def ndjson(entries: Sequence[audit_pb2.AuditEntry]) -> bytes:
    """One JSON object per line, with the field names of REST."""
    lines = (json.dumps(MessageToDict(entry), ensure_ascii=False) + "\n" for entry in entries)
    return "".join(lines).encode()


def csv_header() -> bytes:
    return csv_lines([COLUMNS])


def csv_rows(entries: Sequence[audit_pb2.AuditEntry]) -> bytes:
    return csv_lines([row_of(entry) for entry in entries])


def csv_lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def row_of(entry: audit_pb2.AuditEntry) -> list[str]:
    values = MessageToDict(
        entry, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
    return [cell(value_at(values, name)) for name in COLUMNS]


def value_at(values: dict[str, Any], name: str) -> object:
    first, _, rest = name.partition(".")
    return values.get(first, {}).get(rest, "") if rest else values.get(first, "")


def cell(value: object) -> str:
    if isinstance(value, dict):
        value = "; ".join(f"{name}={text}" for name, text in sorted(value.items()))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
