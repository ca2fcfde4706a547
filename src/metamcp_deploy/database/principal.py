"""The service principal that an app's database login is, where the caller may act as it: `database.principal`."""

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


def login(place: Site | Workspace, app: App, role: str) -> tuple[Server, Login] | None:
    """The address and a fresh login as the app's database principal; None where the caller cannot have its secret."""
    try:
        found = secret(place, app)
    except DeployError as e:
        if e.code is not Code.PERMISSION_DENIED:
            raise
        return None
    database = servers.of_app(place, app)
    made = servers.mint(workspace(place, role, found), database)
    address = servers.address_of(servers.workspace_of(place), database, servers.commands_of(place))
    return address, Login(role, made.password, made.ends)


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
