"""Ports for servers in tests, reserved between their choice and the server's start."""

import random
import socket

# Below the kernel's range for outgoing connections.
LOWEST, HIGHEST = 10_000, 32_000
# Held until this process ends. Holding the UDP port of the same number reserves a port, so that
# concurrent test runs on one machine choose different ports.
_HELD: dict[int, socket.socket] = {}


def free_port(*, above: int = 0) -> int:
    """A free port. With `above`, the port at that distance is free as well."""
    while True:
        port = random.randint(LOWEST, HIGHEST - above)  # noqa: S311
        if reserve(port) and (not above or reserve(port + above)):
            return port


def reserve(port: int) -> bool:
    twin = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        twin.bind(("127.0.0.1", port))
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        twin.close()
        return False
    _HELD[port] = twin
    return True
