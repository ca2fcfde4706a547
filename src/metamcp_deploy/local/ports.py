"""Remembered ports: chosen free once, then kept, since they are part of URLs that others keep (APP_URL)."""

from __future__ import annotations

import socket

from metamcp_deploy.container.ports import HOST, anywhere, bound
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.store import Store


def listener(store: Store, owner: str) -> socket.socket:
    """A listening socket on the owner's remembered port, or on a free one that is remembered from now on.

    Args:
        store: where ports are remembered.
        owner: `workspace`, or `app:NAME`.

    Raises:
        DeployError: PORT_TAKEN, when somebody else listens on the remembered port.
    """
    ports = store.family("ports")
    if owner in ports:
        try:
            return bound(ports[owner])
        except OSError as e:
            raise taken(ports[owner], owner) from e
    sock = anywhere()
    ports[owner] = sock.getsockname()[1]
    store.save()
    return sock


def taken(port: int, owner: str) -> DeployError:
    """The error for a remembered port that another program holds."""
    what = {"workspace": "The embedded workspace", "postgres": "The embedded Lakebase"}.get(
        owner, f"App {owner.removeprefix('app:')}"
    )
    return DeployError(
        Code.PORT_TAKEN,
        f"{what} is remembered at {HOST}:{port}, where {_holder(port) or 'another program'} listens now.",
        hint="End that program and run it again, or `metamcp-deploy local reset` to start anew on free ports.",
    )


def _holder(port: int) -> str | None:
    import psutil

    try:
        found = [
            c
            for c in psutil.net_connections("tcp")
            if c.status == "LISTEN" and c.laddr and c.laddr.port == port
        ]
        return f"process {found[0].pid} ({psutil.Process(found[0].pid).name()})" if found else None
    except psutil.Error:
        return None  # other users' sockets cannot be seen without root
