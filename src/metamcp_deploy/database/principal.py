"""The app's own login to its database, where the caller may have its secret: a principal, or a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import external
from metamcp_deploy.database import server as servers
from metamcp_deploy.database.server import Login, Server
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

_SECRET = "METAMCP_DATABASE_CLIENT_SECRET"  # noqa: S105 -- the name of a variable
_PASSWORD = "PGPASSWORD"  # noqa: S105


def login(place: Site | Workspace, app: App, role: str) -> tuple[Server, Login] | None:
    """The address and a login as the app's role; None where the caller cannot have its secret."""
    database = servers.of_app(place, app)
    if not database.identity:
        return servers.find(place, app)  # the URL is the app's
    try:
        stored = password(place, app)
        found = stored or secret(place, app)
    except DeployError as e:
        if e.code is not Code.PERMISSION_DENIED:
            raise
        return None
    address = servers.address_of(servers.workspace_of(place), database, servers.commands_of(place))
    if stored:
        return address, Login(role, stored, minted=False)
    made = servers.mint(workspace(place, role, found), database)
    return address, Login(role, made.password, made.ends)


def password(place: Site | Workspace, app: App) -> Secret | None:
    """The app's password, where one is kept in a secret in place of credentials; None where there is none.

    Raises:
        DeployError: PERMISSION_DENIED where the caller may not read it.
    """
    named = external.environment(place, app).get(_PASSWORD) if isinstance(place, Site) else None
    return external.secret(place, app, str(named.get("value_from"))) if named else None


def secret(place: Site | Workspace, app: App) -> Secret:
    """The client secret of the app's database login, from the scope.

    Raises:
        DeployError: PERMISSION_DENIED where that is the app's own, or the caller may not read it.
    """
    if isinstance(place, Site) and (named := external.environment(place, app).get(_SECRET)):
        return external.secret(place, app, str(named.get("value_from")))
    raise DeployError(
        Code.PERMISSION_DENIED,
        f"The platform gives the client secret of {app.principal}, the principal of the app {app.name}, to the app "
        "alone.",
        hint="What the launcher met is in the app's log (metamcp-deploy logs). With a secret that an administrator "
        "made for that principal: metamcp-deploy db credential --as-app --client-secret-file FILE",
    )


def workspace(place: Site | Workspace, client_id: str, client_secret: Secret) -> Workspace:
    """The workspace as that principal.

    Raises:
        DeployError: AUTH_FAILED.
    """
    from metamcp_deploy.config.model import Settings
    from metamcp_deploy.workspace import Workspace

    own = servers.workspace_of(place)
    settings = place.project.settings if isinstance(place, Site) else Settings(target="")
    return Workspace.connect(
        settings,
        own.network,
        host=own.host,
        client_id=client_id,
        client_secret=client_secret,
        clock=own.clock,
    )
