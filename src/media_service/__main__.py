"""`media-service` and `python -m media_service`."""

import os

from media_service.cli.main import cli


def main() -> None:
    # gRPC's own lines about a lost connection are no news to a person: the client goes on.
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    cli(prog_name="media-service")


if __name__ == "__main__":
    main()
