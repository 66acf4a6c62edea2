"""`media-service` and `python -m media_service`."""

import os

from media_service.cli.garbage_collection import spare_imports
from media_service.cli.main import cli


def main() -> None:
    spare_imports()
    # Hide gRPC's messages about lost connections, because the client reconnects.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    cli(prog_name="media-service")


if __name__ == "__main__":
    main()
