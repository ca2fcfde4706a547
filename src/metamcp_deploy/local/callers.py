"""Who may call the ports of an embedded workspace: pages of browsers and all users of the machine can reach them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from metamcp_deploy.local.api.errors import denied

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})
_TABLES = tuple(Path(f"/proc/net/{name}") for name in ("tcp", "tcp6"))
_ESTABLISHED, _ROOT = "01", 0


def names_this_machine(request: web.BaseRequest) -> bool:
    """Whether Host is the loopback's: a page elsewhere can lead its own name here (DNS rebinding)."""
    try:
        return urlsplit(f"//{request.headers.get('Host', '')}").hostname in _HOSTS
    except ValueError:
        return False


@web.middleware
async def host_checked(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuses requests with another Host."""
    if not names_this_machine(request):
        raise denied("The embedded workspace answers for 127.0.0.1 and localhost only.")
    return await handler(request)


def same_user(request: web.BaseRequest) -> bool:
    """Whether the user of this program, or root, holds the other end of the connection.

    Linux only; elsewhere nothing is known, and everybody counts. Source: proc(5), /proc/net/tcp.
    """
    if not _TABLES[0].exists():
        return True
    if request.transport is None:
        return False
    ends: list[tuple[str, int]] = [
        request.transport.get_extra_info(name) for name in ("peername", "sockname")
    ]
    return all(ends) and _user_of(*(_hex(*end) for end in ends)) in (os.getuid(), _ROOT)


def _user_of(local: str, remote: str) -> int | None:
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                ends = fields[1].endswith(local) and fields[2].endswith(remote)
                # One that its program has closed belongs to nobody, and is shown as root's.
                if ends and fields[3] == _ESTABLISHED and fields[9] != "0":
                    return int(fields[7])
    return None


def _hex(address: str, port: int, *_: object) -> str:
    """As the tables have it; a program's IPv6 socket shows it as the end of a mapped address."""
    parts = reversed(address.split("."))
    return "".join(f"{int(part):02X}" for part in parts) + f":{port:04X}"
