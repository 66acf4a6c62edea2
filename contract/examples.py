"""The commands in the `Example:` block of a comment."""

import re

BLOCK = re.compile(r"^Example:\n\n((?: {4}.*(?:\n|$))+)", re.MULTILINE)


def commands(comment: str) -> list[str]:
    """Shell commands, one per line, with the variables REST, GRPC, TOKEN, MEDIA, UPLOAD, JOB,
    SERVICE_ACCOUNT, API_KEY and FILE."""
    found = BLOCK.search(comment)
    return [line.strip() for line in found[1].splitlines()] if found else []
