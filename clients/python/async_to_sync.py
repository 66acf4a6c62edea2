"""Writes `sync_client.py`, the blocking client, from `async_client.py`.

Run it after a change of the asyncio client; with `--check` it fails if the blocking one is stale.
"""

import argparse
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

PACKAGE = Path(__file__).parent / "src/media_service_client"
ASYNC, SYNC = PACKAGE / "async_client.py", PACKAGE / "sync_client.py"

# In this order: an earlier one may apply inside what a later one matches.
REPLACEMENTS = (
    (r'^"""The asyncio client[^"]*"""', '"""The blocking client. Written by async_to_sync.py."""'),
    (r"Open it in a running event loop\.", "Threads may share it."),
    (r"await asyncio\.to_thread\((\w+), ", r"\1("),
    (r"\basync (def|with|for)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\basyncio\b", "time"),  # what is left of it is `sleep`
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\basync_transport\b", "sync_transport"),
    (r"\bAsync(Client|Iterator)\b", r"\1"),
    (r"\bAsyncTransport\b", "SyncTransport"),
)


def blocking(source: str) -> str:
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source)
    return ruff(["format"], ruff(["check", "--fix", "--quiet", "--select", "I"], source))


def ruff(command: list[str], source: str) -> str:
    program = Path(sysconfig.get_path("scripts")) / "ruff"
    done = subprocess.run(
        [program, *command, "--stdin-filename", SYNC, "-"],
        input=source,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail if stale")
    check = parser.parse_args().check
    fresh = blocking(ASYNC.read_text())
    if not check:
        SYNC.write_text(fresh)
    elif fresh != SYNC.read_text():
        sys.exit(f"{SYNC.name} is stale, run `make gen`")


if __name__ == "__main__":
    main()
