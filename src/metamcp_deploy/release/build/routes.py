"""Routes that the launcher sends to the backend or closes: Next's own rewrites, from its routes manifest."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from metamcp_deploy.errors import Code, DeployError

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_REST = "/:path*"
_PLAIN = re.compile(r"^(/[A-Za-z0-9._~-]+)*/?$")


def of_manifest(manifest: Path) -> list[dict[str, Any]]:
    """What the launcher needs to know of Next's rewrites, in Next's order.

    `{"prefix", "to", "exact"}` for each to the backend; `{"prefix", "exact", "closed": host}` for each to somebody
    outside, to whom Next would send the caller's cookies.

    Raises:
        DeployError: BUNDLE_INVALID for a rewrite of a form that cannot be followed, or when there is none.
    """
    rewrites = json.loads(manifest.read_text())["rewrites"]
    if isinstance(rewrites, dict):
        rewrites = [r for when in ("beforeFiles", "afterFiles", "fallback") for r in rewrites.get(when, [])]
    hosts = [urlsplit(r["destination"]).hostname for r in rewrites]
    if not _LOCAL.intersection(hosts):
        raise DeployError(
            Code.BUNDLE_INVALID,
            f"{manifest} holds no rewrite to the backend on this machine.",
            hint="next.config.js must rewrite the backend's paths to http://127.0.0.1:<port>; see your overrides.",
        )
    return [
        _route(manifest, rewrite) if host in _LOCAL else _closed(manifest, rewrite, host)
        for rewrite, host in zip(rewrites, hosts, strict=True)
        if host  # without one it stays within the front end
    ]


def _route(manifest: Path, rewrite: dict[str, Any]) -> dict[str, Any]:
    source, to = rewrite["source"], urlsplit(rewrite["destination"]).path
    exact = not (source.endswith(_REST) and to.endswith(_REST))
    prefix, to = (source, to) if exact else (source.removesuffix(_REST), to.removesuffix(_REST))
    if not (_PLAIN.match(prefix) and _PLAIN.match(to)) or rewrite.get("has") or rewrite.get("missing"):
        raise DeployError(
            Code.BUNDLE_INVALID,
            f"The rewrite {source} → {rewrite['destination']} in {manifest} is of a form the launcher cannot follow; "
            "expected /name → /name or /name/:path* → /name/:path*.",
            hint="Write it in one of these forms in next.config.js, by an override or a patch.",
        )
    return {"prefix": prefix, "to": to, "exact": exact}


def _closed(manifest: Path, rewrite: dict[str, Any], host: str) -> dict[str, Any]:
    source = rewrite["source"]
    prefix = source.removesuffix(_REST)
    if not prefix.strip("/") or not _PLAIN.match(prefix):
        raise DeployError(
            Code.BUNDLE_INVALID,
            f"The rewrite {source} → {rewrite['destination']} in {manifest} leads outside, and is of a form that the "
            "launcher cannot close; expected /name or /name/:path*.",
            hint="Take it out of next.config.js, by an override or a patch: it would send callers' cookies there.",
        )
    return {"prefix": prefix, "exact": prefix == source, "closed": host}
