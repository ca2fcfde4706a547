"""What the launcher sends straight to the backend: Next's own rewrites, from its routes manifest."""

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
    """`{"prefix", "to", "exact"}` for each rewrite to the backend, in Next's order.

    Raises:
        DeployError: BUNDLE_INVALID for a rewrite of a form that cannot be followed, or when there is none.
    """
    rewrites = json.loads(manifest.read_text())["rewrites"]
    if isinstance(rewrites, dict):
        rewrites = [r for when in ("beforeFiles", "afterFiles", "fallback") for r in rewrites.get(when, [])]
    found = [_route(manifest, r) for r in rewrites if urlsplit(r["destination"]).hostname in _LOCAL]
    if not found:
        raise DeployError(
            Code.BUNDLE_INVALID,
            f"{manifest} holds no rewrite to the backend on this machine.",
            hint="next.config.js must rewrite the backend's paths to http://127.0.0.1:<port>; see your overrides.",
        )
    return found


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
