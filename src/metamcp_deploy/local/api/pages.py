"""Pages for people: self-contained, without scripts, in the style of the launcher's pages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from aiohttp import web

from metamcp_deploy import resources


@cache
def style() -> str:
    """The style sheet of all pages, which the launcher keeps in one of its modules."""
    text = (resources.PACKAGE / "launcher" / "page" / "style.mjs").read_text(encoding="utf-8")
    return text.split("`")[1]


def page(template: str, values: Mapping[str, Any], forms: str = "'none'") -> web.Response:
    """A template of `templates/local/`, rendered with these values and `style`; `forms` is where its forms may lead."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": f"{policy}; form-action {forms}"}
    text = resources.render(f"local/{template}", {**values, "style": style()}).lstrip()
    return web.Response(text=text, content_type="text/html", headers=headers)
