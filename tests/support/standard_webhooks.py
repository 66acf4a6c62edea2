"""Verifies signatures with the library of the Standard Webhooks specification for Node.js."""

import json
import os
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support.tools import missing, require_tool
from tests.support.webhook_receiver import Received

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "media-service"
SCRIPT = Path(__file__).parents[1] / "stubs/standardwebhooks.mjs"


def verified(secret: str, messages: Iterable[Received]) -> Sequence[str] | None:
    """The types of the events if all signatures are valid; None if one is not."""
    modules = CACHE / "node"
    if not (modules / "node_modules/standardwebhooks").exists():
        missing("standardwebhooks")
    listed = [{"headers": dict(each.headers), "body": each.body.decode()} for each in messages]
    done = subprocess.run(
        [require_tool("node"), SCRIPT, modules],
        input=json.dumps({"secret": secret, "messages": listed}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        assert "No matching signature found" in done.stderr, done.stderr
        return None
    return done.stdout.split()
