"""All routes of the embedded workspace: each family's table, then what is not imitated."""

from __future__ import annotations

from metamcp_deploy.local.access_lists import AccessLists
from metamcp_deploy.local.api import (
    apps,
    database,
    landing,
    local,
    oidc,
    permissions,
    postgres,
    scim,
    secrets,
    workspace,
)
from metamcp_deploy.local.api.authorization import Authorization
from metamcp_deploy.local.api.errors import ApiError
from metamcp_deploy.local.api.requests import Call
from metamcp_deploy.local.api.routes import Route, Table
from metamcp_deploy.local.apps.apps import Apps
from metamcp_deploy.local.context import Context
from metamcp_deploy.local.directory import Directory
from metamcp_deploy.local.faults.injection import Faults
from metamcp_deploy.local.repair import Repair


def whole(
    context: Context,
    hosted: Apps,
    faults: Faults,
    lists: AccessLists,
    access: Authorization,
    repair: Repair,
) -> Table:
    """The whole table; a family is the file of the same name as its path."""
    apps_api, directory = apps.AppsApi(hosted, access), Directory(context.store)
    return Table(
        [
            *oidc.Oidc(context).routes(),
            *scim.Scim(directory).routes(),
            *workspace.Workspace(context.files, access).routes(),
            *secrets.Secrets(context.secrets, directory).routes(),
            *postgres.Postgres(context, lists).routes(),
            *database.Database(context, lists).routes(),
            *apps_api.routes(),
            *permissions.Permissions(lists, hosted, directory).routes(),
            *local.Local(context, apps_api, faults, repair).routes(),
            *landing.Landing(context, apps_api, faults).routes(),
            Route("*", "/{public:\\.well-known|oidc}/{anything:.*}", _unknown, raw=True, public=True),
            Route("*", "/{anything:.*}", _unknown, raw=True),
        ]
    )


def _unknown(call: Call) -> None:
    """Fails loudly, so that nobody takes a route that is not imitated for one that works."""
    asked = f"{call.request.method} {call.request.path}"
    raise ApiError(501, "NOT_IMPLEMENTED", f"The embedded workspace does not imitate {asked}.")
