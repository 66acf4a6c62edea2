"""Ports for servers that tests start, which nobody else takes between the choice and the start."""

import random
import socket

# Below those that the kernel gives to outgoing connections.
LOWEST, HIGHEST = 10_000, 32_000
# Held until this process ends: a port is ours while we hold the UDP port of the same number. So
# test runs side by side, on all of this machine, do not choose the same one.
_HELD: dict[int, socket.socket] = {}


def free_port(*, above: int = 0) -> int:
    """`above`: the port so much higher has to be free as well."""
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
