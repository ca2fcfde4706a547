"""Steps of a login to the embedded Lakebase: asks for the password, and injects faults."""

from __future__ import annotations

import asyncio

from metamcp_deploy.local.faults.fault import Fault
from metamcp_deploy.local.lakebase import protocol
from metamcp_deploy.local.lakebase.streams import Streams


async def strike(fault: Fault, user: str) -> None:
    """An injected failure of a login; a stall without an end ends with the time for logging in."""
    if fault.what == "stall":
        await asyncio.sleep(float("inf") if fault.seconds is None else fault.seconds)
        return
    if fault.what == "reset":
        raise protocol.ProtocolError("an injected fault")
    usual = (
        f'password authentication failed for user "{user}"' if fault.what == "28P01" else "an injected fault"
    )
    raise protocol.ProtocolError("an injected fault", protocol.error(fault.what, fault.message or usual))


async def ask_password(client: Streams) -> str | None:
    """The client's password; None when it hangs up, as psql does to ask its user."""
    await client.send(protocol.authentication(protocol.AUTH_CLEARTEXT))
    try:
        kind, body = await protocol.read_message(client.reader, protocol.LONGEST_PASSWORD)
    except asyncio.IncompleteReadError:
        return None
    if kind != b"p":
        text = f"expected password response, got message type {kind[0]}"
        raise protocol.ProtocolError(text, protocol.error("08P01", text))
    return body.removesuffix(b"\0").decode(errors="replace")
