"""`python -m benchmarks.unaudited`: the gRPC server without the audit log, to measure what it
costs."""

import sys

from media_service.__main__ import main
from media_service.audit.writer import AuditWriter


def forget(*_: object) -> None:
    """In place of `AuditWriter.add`."""


if __name__ == "__main__":
    AuditWriter.add = forget  # type: ignore[assignment,method-assign]
    sys.argv = ["media-service", "serve"]
    main()
