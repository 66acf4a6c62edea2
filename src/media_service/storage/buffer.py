"""Content on its way through the service."""

from typing import TypeAlias

# Bytes, or a view of a larger buffer, so that content is not copied. Nobody modifies them.
Buffer: TypeAlias = bytes | memoryview
