"""The launcher's table of routes, from the manifests of Next's build: what goes to the backend, what first to Next.

Next answers in this order: redirects, the middleware, rewrites of `beforeFiles`, files, rewrites of `afterFiles`,
dynamic pages, rewrites of `fallback`. The table keeps it. Source: resolve-routes.js and filesystem.js of Next 15.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release.build import next_manifests

_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_REST = "/:path*"
_PLAIN = re.compile(r"^(/[A-Za-z0-9._~-]+)*/?$")
_TRAILING_SLASH = "/:path+/"

Route = dict[str, Any]


def of_build(built: Path) -> list[Route]:
    """What the launcher needs to know to answer as Next would, in Next's order.

    `{"prefix", "to", "exact"}` for a rewrite to the backend; `{"prefix", "exact", "closed": host}` for one to somebody
    outside, to whom Next would send the caller's cookies; `{"front": pattern, "flags"}` for paths that Next answers
    before the rewrites that follow; `{"unslash": pattern}` for paths that Next redirects to the one without the last
    slash; `{"handler": pattern, "flags"}` for those whose front end takes other methods than GET and HEAD.

    Args:
        built: `.next`, with `public` beside it.

    Raises:
        DeployError: BUNDLE_INVALID for a rewrite of a form that cannot be followed, or when there is none.
    """
    manifest = built / "routes-manifest.json"
    about = json.loads(manifest.read_text())
    rewrites = about["rewrites"]
    if not isinstance(rewrites, dict):
        rewrites = {"afterFiles": rewrites}
    before, after, last = (
        [route for rewrite in rewrites.get(when, []) for route in _routed(manifest, rewrite)]
        for when in ("beforeFiles", "afterFiles", "fallback")
    )
    if not any("to" in route for route in (*before, *after, *last)):
        raise DeployError(
            Code.BUNDLE_INVALID,
            f"{manifest} holds no rewrite to the backend on this machine.",
            hint="next.config.js must rewrite the backend's paths to http://127.0.0.1:<port>; see your overrides.",
        )
    files = [
        path
        for path in next_manifests.files(built)
        if any(_below(path, r["prefix"]) for r in (*after, *last))
    ]
    dynamic = [_front(page["regex"]) for page in about.get("dynamicRoutes", [])] if last else []
    return [
        *_redirects(about.get("redirects", [])),
        *map(_front, next_manifests.middleware(built)),
        *before,
        *(_front(f"^{re.escape(path)}$") for path in files),
        *after,
        *dynamic,
        *last,
        *({"handler": pattern, "flags": "i"} for pattern in next_manifests.handlers(built, about)),
    ]


def _front(pattern: str, flags: str = "") -> Route:
    return {"front": pattern, "flags": flags}


def _redirects(redirects: list[Mapping[str, Any]]) -> Iterator[Route]:
    for redirect in redirects:
        if redirect["source"] == _TRAILING_SLASH:
            yield {"unslash": redirect["regex"]}
        elif not redirect.get("internal"):
            yield _front(redirect["regex"], "i")
            if not redirect.get("has") and not redirect.get("missing"):
                yield {"handler": redirect["regex"], "flags": "i"}  # whatever the method, no page is reached


def _below(path: str, prefix: str) -> bool:
    return path == prefix or path.startswith(f"{prefix}/")


def _routed(manifest: Path, rewrite: Mapping[str, Any]) -> Iterator[Route]:
    host = urlsplit(rewrite["destination"]).hostname
    if host in _LOCAL:
        yield _route(manifest, rewrite)
    elif host:  # without one it stays within the front end
        yield _closed(manifest, rewrite, host)


def _route(manifest: Path, rewrite: Mapping[str, Any]) -> Route:
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


def _closed(manifest: Path, rewrite: Mapping[str, Any], host: str) -> Route:
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
