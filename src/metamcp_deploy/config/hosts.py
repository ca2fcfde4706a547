"""A workspace's address in one form, whatever was copied from a browser."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

_NAME = re.compile(r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")


def origin(text: str) -> str:
    """`https://host[:port]` of an address: path, `?o=...` and the slash at the end are dropped.

    Raises:
        ValueError: http to another machine, a password in it, no host. Its text never repeats the password.
    """
    text = text.strip()
    if re.search(r"[\s\x00-\x1f\x7f]", text):
        raise ValueError(
            "holds a space or a control character; expected an address such as https://dbc-1.example.com"
        )
    parts = urlsplit(text if "://" in text else f"https://{text}")
    if "@" in parts.netloc:
        raise ValueError("has a user or password in it; log in with a profile or the environment instead")
    try:
        port = parts.port
    except ValueError:
        raise ValueError(
            f"found the port `{parts.netloc.rpartition(':')[2]}`, expected a number to 65535"
        ) from None
    name = (parts.hostname or "").lower()
    if not (_NAME.match(name) or _address(name)):
        raise ValueError(f"found `{text}`, expected an address such as https://dbc-1.example.com")
    if parts.scheme not in ("https", "http"):
        raise ValueError(f"found `{parts.scheme}:`, expected https:")
    if parts.scheme == "http" and not loopback(name):
        raise ValueError("found http:, expected https: (http would send tokens in the clear)")
    shown = f"[{name}]" if ":" in name else name
    usual = {"https": 443, "http": 80}[parts.scheme]
    return f"{parts.scheme}://{shown}" + (f":{port}" if port not in (None, usual) else "")


def workspace_id(text: str | None) -> str | None:
    """The id of a workspace behind its address: `?o=` and `?workspace_id=` where they are numbers, or `?w=`.

    As the official command line reads it (libs/auth/hostparams.go).
    """
    named = {key: values[0] for key, values in parse_qs(urlsplit((text or "").strip()).query).items()}
    key = next((key for key in ("o", "w", "workspace_id") if key in named), "")
    found = named.get(key)
    return found if found and (key == "w" or found.isdecimal()) else None


def loopback(name: str) -> bool:
    """Whether a host name or address is this machine."""
    return name == "localhost" or bool((address := _address(name)) and address.is_loopback)


def _address(name: str) -> IPv4Address | IPv6Address | None:
    import ipaddress

    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
