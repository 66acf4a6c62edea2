"""The errors raised in the sources, found by static analysis."""

import ast
import json
import re
from dataclasses import dataclass
from pathlib import Path

from media_service import errors
from media_service.envoy_errors import replies
from media_service.errors import MediaError

ROOT = Path(__file__).parents[2]
POSITIONAL = {"reason", "message", "fields"}


@dataclass(frozen=True, slots=True)
class Raise:
    """One error that the sources raise. `reason` is empty if it is chosen elsewhere. `keys` are the
    keys of its metadata, or "**" if they are chosen elsewhere."""

    where: str
    kind: type[MediaError]
    reason: str
    keys: frozenset[str]


def raises() -> list[Raise]:
    """Every error that the service's sources raise."""
    found = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and node.args):
                continue
            kind = getattr(errors, getattr(node.func, "id", getattr(node.func, "attr", "")), None)
            if isinstance(kind, type) and issubclass(kind, MediaError):
                text = ast.unparse(node.args[0])
                reason = text.removeprefix("Reason.") if text.startswith("Reason.") else ""
                keys = frozenset(word.arg or "**" for word in node.keywords) - POSITIONAL
                where = f"{path.relative_to(ROOT)}:{node.lineno}"
                found.append(Raise(where, kind, reason, keys))
    return found


def gateway_reasons() -> set[str]:
    """The reasons of errors from Envoy."""
    return set(re.findall(r'"reason": "([A-Z_]+)"', json.dumps(replies([]))))


def client_reasons(known: set[str]) -> set[str]:
    """The reasons of errors that the client raises itself."""
    text = "\n".join(path.read_text() for path in (ROOT / "clients/python").rglob("*.py"))
    return set(re.findall(r'"([A-Z_]+)"', text)) & known
