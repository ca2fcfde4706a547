"""`/`: the workspace for people with a browser."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from metamcp_deploy import __version__
from metamcp_deploy.local.api import overview, pages
from metamcp_deploy.local.api.apps import AppsApi
from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Route
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.faults.injection import Faults
from metamcp_deploy.local.options import USER

_COMMANDS = (
    ("metamcp-deploy local status", "this page as text; --with-credentials also shows logins"),
    ("metamcp-deploy local up", "starts again what died"),
    ("metamcp-deploy local faults list", "failures on purpose"),
    ("metamcp-deploy local down", "ends the workspace; its state stays"),
)


class Landing:
    """The handlers; none needs a login."""

    def __init__(self, context: Context, apps: AppsApi, faults: Faults) -> None:
        self.context = context
        self.apps = apps
        self.faults = faults

    def routes(self) -> list[Route]:
        """The table of this family."""
        return [
            Route("GET", "/", self._page, public=True),
            Route("GET", "/favicon.ico", self._no_icon, public=True),
        ]

    async def _page(self, _: Call) -> web.Response:
        shown = await overview.of(self.context, self.apps, self.faults)
        people = self.context.store.family("people").values()
        values = {
            "url": self.context.url,
            "version": __version__,
            "apps": shown["apps"],
            "database": _database(shown["postgres"]),
            "people": [(USER, "owner, administrator"), *((p["display_name"], _person(p)) for p in people)],
            "faults": [(f["name"], f"{f['what']}, struck {f['struck']} times") for f in shown["faults"]],
            "commands": _COMMANDS,
        }
        return pages.page("workspace.html", values)

    def _no_icon(self, _: Call) -> web.Response:
        return web.Response(status=204)


def _database(shown: dict[str, Any]) -> list[tuple[str, str]]:
    state = " ".join(filter(None, (shown["state"], shown["problem"])))
    logins = shown["logins"]
    return [
        ("State", state + (f", started again {shown['restarts']} times" if shown["restarts"] else "")),
        ("Logins", f"{logins['ok']} accepted, {logins['failed']} refused"),
        *((place, f"{shown['host']}:{port}") for place, port in shown["endpoints"].items()),
    ]


def _person(record: dict[str, Any]) -> str:
    kind = "user" if "@" in record["name"] else f"service principal {record['name']}"
    return f"{kind}, administrator" if record["admin"] else kind
