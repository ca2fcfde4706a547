"""The first messages of PostgreSQL's wire protocol, as much of it as `pg_proxy` speaks.

Source: PostgreSQL 16 documentation, chapter 55 "Frontend/Backend Protocol", and src/backend/postmaster/postmaster.c of
that version for the limits and the texts.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102
LONGEST_STARTUP = 10_000
LONGEST_PASSWORD = 65_535

AUTH_OK = 0
AUTH_CLEARTEXT = 3


class ProtocolError(Exception):
    """What the client sent is not PostgreSQL's protocol; `answer` is the message for it, if it gets one."""

    def __init__(self, text: str, answer: bytes = b"") -> None:
        super().__init__(text)
        self.answer = answer


@dataclass(frozen=True)
class Startup:
    """A StartupMessage: who wants what, and the packet as it came."""

    user: str
    database: str
    packet: bytes


def parse_startup(packet: bytes) -> Startup:
    """Reads a whole startup packet (length included).

    Raises:
        ProtocolError: another protocol version, no user, no terminator.
    """
    version = struct.unpack_from("!I", packet, 4)[0]
    if version >> 16 != 3:
        text = f"unsupported frontend protocol {version >> 16}.{version & 0xFFFF}: server supports 3.0 to 3.0"
        raise ProtocolError(text, error("0A000", text))
    body = packet[8:]
    if not body.endswith(b"\0\0") and body != b"\0":
        text = "invalid startup packet layout: expected terminator as last byte"
        raise ProtocolError(text, error("08P01", text))
    words = body[:-1].split(b"\0")
    values = {
        k.decode(errors="replace"): v.decode(errors="replace")
        for k, v in zip(words[::2], words[1::2], strict=False)
    }
    user = values.get("user", "")
    if not user:
        text = "no PostgreSQL user name specified in startup packet"
        raise ProtocolError(text, error("28000", text))
    return Startup(user, values.get("database") or user, packet)


def renamed(startup: Startup, database: str) -> Startup:
    """The same wish for another database."""
    if database == startup.database:
        return startup
    words = startup.packet[8:-1].split(b"\0")[:-1]
    pairs = [(k, v) for k, v in zip(words[::2], words[1::2], strict=True) if k != b"database"]
    body = b"".join(k + b"\0" + v + b"\0" for k, v in [*pairs, (b"database", database.encode())]) + b"\0"
    packet = struct.pack("!I", len(body) + 8) + startup.packet[4:8] + body
    return Startup(startup.user, database, packet)


def error(sqlstate: str, text: str) -> bytes:
    """A FATAL ErrorResponse."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": text}
    return message(b"E", b"".join(k.encode() + v.encode() + b"\0" for k, v in fields.items()) + b"\0")


def text_of(body: bytes) -> str:
    """The message of an ErrorResponse, for people."""
    fields = body.rstrip(b"\0").split(b"\0")
    return next((f[1:].decode(errors="replace") for f in fields if f[:1] == b"M"), "")


def authentication(kind: int) -> bytes:
    """An AuthenticationOk or a request for a cleartext password."""
    return message(b"R", struct.pack("!I", kind))


def password_message(password: str) -> bytes:
    """The answer to AuthenticationCleartextPassword."""
    return message(b"p", password.encode() + b"\0")


def message(kind: bytes, body: bytes) -> bytes:
    """One message: its type, its length (that counts itself), its body."""
    return kind + struct.pack("!I", len(body) + 4) + body


async def read_message(reader: asyncio.StreamReader, longest: int) -> tuple[bytes, bytes]:
    """The next message's type and body.

    Raises:
        ProtocolError: it is longer than `longest` bytes, or its length is impossible.
        asyncio.IncompleteReadError: the other side closed.
    """
    head = await reader.readexactly(5)
    length = struct.unpack("!I", head[1:])[0]
    if not 4 <= length <= longest + 4:
        raise ProtocolError("invalid message length", error("08P01", "invalid message length"))
    return head[:1], await reader.readexactly(length - 4)
