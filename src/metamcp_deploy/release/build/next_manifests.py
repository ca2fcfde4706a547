"""What Next's build says of its own paths: files, the middleware's matchers, and what takes a POST."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_SPECIAL = frozenset({"/_app", "/_document", "/_error", "/404", "/500"})
# Next makes handlers of these files, which answer GET alone.
_METADATA = re.compile(
    r"/(favicon\.ico|robots\.txt|sitemap(\.xml)?|manifest\.(webmanifest|json)|"
    r"(icon|apple-icon|opengraph-image|twitter-image)[^/]*)(/\[[^/]+\])?/route$"
)


def files(built: Path) -> list[str]:
    """Paths of the files in `public` and of the pages that have no parameters."""
    public = built.parent / "public"
    shown = [f"/{p.relative_to(public).as_posix()}" for p in public.rglob("*") if p.is_file()]
    pages = [
        *_read(built, "app-path-routes-manifest.json").values(),
        *_read(built, "server/pages-manifest.json"),
    ]
    return sorted({*shown, *(page for page in pages if "[" not in page and page not in _SPECIAL)})


def middleware(built: Path) -> list[str]:
    """Patterns of the paths that the middleware sees."""
    found = _read(built, "server/middleware-manifest.json").get("middleware", {}).get("/", {}).get("matchers")
    if found is None and (own := _read(built, "server/functions-config-manifest.json").get("functions", {})):
        # In Node's runtime it stands here, and without matchers it sees everything.
        found = own["/_middleware"].get("matchers", [{"regexp": ".*"}]) if "/_middleware" in own else None
    return [matcher["regexp"] for matcher in found or []]


def handlers(built: Path, routes: Mapping[str, Any]) -> list[str]:
    """Patterns of the paths that take other methods than GET: route handlers, API pages, pages with server actions.

    Args:
        built: `.next`.
        routes: its routes-manifest.json.
    """
    known = {
        r["page"]: r["regex"] for r in (*routes.get("staticRoutes", []), *routes.get("dynamicRoutes", []))
    }
    return [known.get(page, f"^{re.escape(page)}/?$") for page in sorted(set(_pages(built)))]


def _pages(built: Path) -> Iterator[str]:
    app = _read(built, "app-path-routes-manifest.json")
    yield from (
        page for entry, page in app.items() if entry.endswith("/route") and not _METADATA.search(entry)
    )
    yield from (page for page in _read(built, "server/pages-manifest.json") if re.match(r"/api(/|$)", page))
    references = _read(built, "server/server-reference-manifest.json")
    for runtime in ("node", "edge"):
        for action in references.get(runtime, {}).values():
            entries = (entry.removeprefix("app") for entry in action.get("workers", {}))
            yield from (app[entry] for entry in entries if entry in app)


def _read(built: Path, name: str) -> dict[str, Any]:
    path = built / name
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found
