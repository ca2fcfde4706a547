"""Free ports on 127.0.0.1."""

from __future__ import annotations

import random
import socket

HOST = "127.0.0.1"

# Below what Linux and macOS hand to outgoing connections, or a remembered port could be in use by chance.
_RANGE = range(20_000, 32_000)


def bound(port: int) -> socket.socket:
    """A listening socket on one port.

    Raises:
        OSError: somebody else listens there.
    """
    sock = socket.socket()
    # Without it the port could not be bound again for a minute after `down`; it does not allow two listeners.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
        sock.listen(128)
    except OSError:
        sock.close()
        raise
    return sock


def anywhere() -> socket.socket:
    """A listening socket on a free port."""
    for port in random.sample(_RANGE, 200):  # not a secret
        try:
            return bound(port)
        except OSError:
            continue
    return bound(0)


def free() -> int:
    """A port that nobody listens on now."""
    with anywhere() as sock:
        port: int = sock.getsockname()[1]
        return port
