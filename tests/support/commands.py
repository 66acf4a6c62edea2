"""`media-service` commands as a user runs them."""

import os
import subprocess
import sys

from tests.support.service import STOP_SECONDS, Service


def command(
    service: Service, *arguments: str, address: str = "", user: str = "alice"
) -> subprocess.Popen[str]:
    """Starts `media-service …` like a user."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MEDIA_")}
    return subprocess.Popen(
        [sys.executable, "-m", "media_service", *arguments],
        env={
            **own,
            "MEDIA_ADDRESS": address or service.grpc_address,
            "MEDIA_TOKEN": service.token(user),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def output(process: subprocess.Popen[str]) -> str:
    """The output of a command, which must succeed."""
    printed, complaints = process.communicate(timeout=STOP_SECONDS)
    assert process.returncode == 0, complaints
    return printed
