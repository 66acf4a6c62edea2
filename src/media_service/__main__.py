"""`media-service` and `python -m media_service`."""

from media_service.cli.main import cli


def main() -> None:
    cli(prog_name="media-service")


if __name__ == "__main__":
    main()
