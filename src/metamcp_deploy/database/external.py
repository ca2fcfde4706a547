"""The login to a database outside of the workspace: the URL in the secret that the app's DATABASE_URL comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import records
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target.site import Site
from metamcp_deploy.target.variables import secret_resource

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

_URL, _PASSWORD = "DATABASE_URL", "PGPASSWORD"
# As the launcher takes them; `require` checks the certificate, as it does there (databases/external.mjs).
_MODES = {
    "disable": "disable",
    "require": "verify-full",
    "verify-ca": "verify-ca",
    "verify-full": "verify-full",
}


@dataclass(frozen=True)
class Url:
    """A database's URL without its password."""

    host: str
    port: int
    database: str
    user: str
    sslmode: str


def login(place: Site | Workspace, app: App) -> tuple[Url, Secret]:
    """The app's URL and its password, as its secrets say them.

    Raises:
        DeployError: NOT_DEPLOYED where nothing says which secret it is, PERMISSION_DENIED where the caller may not
            read it, CONFIG_INVALID for a URL that the launcher would refuse.
    """
    names = _resources(place, app)
    text = secret(place, app, names.get(_URL))
    url, password = parsed(text)
    stored = password or (secret(place, app, names[_PASSWORD]).reveal() if _PASSWORD in names else "")
    return url, Secret(stored)


def parsed(text: Secret) -> tuple[Url, str]:
    """A URL and the password in it.

    Raises:
        DeployError: CONFIG_INVALID; the URL is never shown.
    """
    try:
        parts = urlsplit(text.reveal())
        mode = parse_qs(parts.query).get("sslmode", ["require"])[-1]
        url = Url(
            parts.hostname or "",
            parts.port or 5432,
            unquote(parts.path[1:]),
            unquote(parts.username or ""),
            _MODES[mode],
        )
        password = unquote(parts.password or "")
    except (ValueError, KeyError) as e:
        raise _invalid() from e
    if parts.scheme not in ("postgresql", "postgres") or not (url.host and url.database and url.user):
        raise _invalid()
    return url, password


def _invalid() -> DeployError:
    return DeployError(
        Code.CONFIG_INVALID,
        "The secret with the database's URL holds none: postgresql://user:password@host:port/database is expected, "
        "with sslmode disable, require, verify-ca or verify-full.",
        hint="Write it anew: metamcp-deploy secrets set NAME",
    )


def _resources(place: Site | Workspace, app: App) -> dict[str, str]:
    """Variable → the app's resource that its value comes from: by the deployment's record, else by the settings."""
    found: dict[str, str] = {}
    if isinstance(place, Site):
        if not place.project.bare:
            stated = place.project.settings.database.references
            keys = {_URL: stated.get("url"), _PASSWORD: stated.get("password")}
            found = {name: secret_resource(key.secret) for name, key in keys.items() if key}
        env = environment(place, app)
        found |= {
            name: env[name]["value_from"] for name in (_URL, _PASSWORD) if "value_from" in env.get(name, {})
        }
    return {_URL: secret_resource(_URL), **found}


def environment(site: Site, app: App) -> dict[str, Mapping[str, Any]]:
    """The environment of the deployment that runs, by its record; empty where there is none."""
    record = records.find(site, app.active.id) if app.active else None
    return {str(one["name"]): one for one in (record.raw.get("env") or [] if record else [])}


def secret(place: Site | Workspace, app: App, resource: str | None) -> Secret:
    """The value of one of the app's secrets.

    Raises:
        DeployError: NOT_DEPLOYED without that resource, PERMISSION_DENIED where the caller may not read it.
    """
    workspace = place.workspace if isinstance(place, Site) else place
    raw = next((one for one in app.resources if one.get("name") == resource and one.get("secret")), None)
    if raw is None:
        raise DeployError(
            Code.NOT_DEPLOYED,
            f"The app {app.name} has no database among its resources, and none with the URL of one.",
            hint="Run the command with -t TARGET in the folder of its metamcp.yaml, or attach a database: "
            "metamcp-deploy bundle-deploy",
        )
    named = raw["secret"]
    value = workspace.secrets.get(str(named.get("scope")), str(named.get("key")))
    if value is None:
        raise DeployError(
            Code.PERMISSION_DENIED,
            f"{workspace.me} may not read the secret {named.get('key')} of the scope {named.get('scope')}, which holds "
            "the database's URL.",
            hint=f"Ask somebody who manages the scope for READ: databricks secrets put-acl {named.get('scope')} "
            f"{workspace.me} READ",
        )
    return value
