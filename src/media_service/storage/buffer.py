"""The type of content that passes through the service."""

from typing import TypeAlias

# Bytes, or a view of a larger buffer, which avoids a copy. The contents are never modified.
Buffer: TypeAlias = bytes | memoryview
