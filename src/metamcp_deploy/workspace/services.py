"""The SDK's services over our transport, each loaded when it is first used, and the contents of their requests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from metamcp_deploy import events
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import sdk_import
from metamcp_deploy.workspace.clock import Clock
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    from databricks.sdk.mixins.workspace import WorkspaceExt
    from databricks.sdk.service.apps import AppsAPI
    from databricks.sdk.service.database import DatabaseAPI
    from databricks.sdk.service.iam import (
        CurrentUserAPI,
        GroupsV2API,
        PermissionsAPI,
        ServicePrincipalsV2API,
        UsersV2API,
    )
    from databricks.sdk.service.postgres import PostgresAPI
    from databricks.sdk.service.sql import StatementExecutionAPI
    from databricks.sdk.service.workspace import SecretsAPI

T = TypeVar("T")
_BUSY_SECONDS, _BUSY_PAUSE = 120.0, 2.0


def apps(transport: Transport) -> AppsAPI:
    """Databricks Apps."""
    return _over(transport, "service.apps", "AppsAPI")  # type: ignore[no-any-return]


def postgres(transport: Transport) -> PostgresAPI:
    """Lakebase autoscaling."""
    return _over(transport, "service.postgres", "PostgresAPI")  # type: ignore[no-any-return]


def database(transport: Transport) -> DatabaseAPI:
    """Lakebase provisioned."""
    return _over(transport, "service.database", "DatabaseAPI")  # type: ignore[no-any-return]


def files(transport: Transport) -> WorkspaceExt:
    """Workspace files."""
    return _over(transport, "mixins.workspace", "WorkspaceExt")  # type: ignore[no-any-return]


def secrets(transport: Transport) -> SecretsAPI:
    """Secret scopes."""
    return _over(transport, "service.workspace", "SecretsAPI")  # type: ignore[no-any-return]


def permissions(transport: Transport) -> PermissionsAPI:
    """Access lists."""
    return _over(transport, "service.iam", "PermissionsAPI")  # type: ignore[no-any-return]


def current_user(transport: Transport) -> CurrentUserAPI:
    """Who the login is."""
    return _over(transport, "service.iam", "CurrentUserAPI")  # type: ignore[no-any-return]


def statements(transport: Transport) -> StatementExecutionAPI:
    """Queries through a SQL warehouse."""
    return _over(transport, "service.sql", "StatementExecutionAPI")  # type: ignore[no-any-return]


def users(transport: Transport) -> UsersV2API:
    """The workspace's users."""
    return _over(transport, "service.iam", "UsersV2API")  # type: ignore[no-any-return]


def groups(transport: Transport) -> GroupsV2API:
    """The workspace's groups."""
    return _over(transport, "service.iam", "GroupsV2API")  # type: ignore[no-any-return]


def service_principals(transport: Transport) -> ServicePrincipalsV2API:
    """The workspace's service principals."""
    return _over(transport, "service.iam", "ServicePrincipalsV2API")  # type: ignore[no-any-return]


def _over(transport: Transport, module: str, name: str) -> Any:
    return getattr(sdk_import.module(module), name)(transport)


class Verbatim:
    """The content of a request that the SDK's class does not know all of: a newer field, a resource of another kind."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        self._fields = dict(fields)

    def as_dict(self) -> dict[str, Any]:
        """All fields as they are."""
        return self._fields


def content(service: str, name: str, fields: Mapping[str, Any]) -> Any:
    """The content of a request as the SDK's class; as `Verbatim` where that class would drop or change something.

    Args:
        service: of the SDK, as in `databricks.sdk.service.apps`.
        name: of the class.
        fields: as the API spells them.
    """
    try:
        made = getattr(sdk_import.module(f"service.{service}"), name).from_dict(dict(fields))
        return made if made.as_dict() == fields else Verbatim(fields)
    except (KeyError, TypeError, ValueError, AttributeError):
        return Verbatim(fields)


def optional(call: Callable[[], T], *more: Code) -> T | None:
    """What a call gives; None where it fails with NOT_FOUND or one of `more`."""
    try:
        return call()
    except DeployError as e:
        if e.code is not Code.NOT_FOUND and e.code not in more:
            raise
        return None


def when_free(call: Callable[[], T], what: str, clock: Clock, within: float) -> T:
    """What a call gives; while the thing is busy with an earlier change, it is made again.

    As the official command line does, for as long (bundle/direct/dresources/postgres_endpoint.go).

    Args:
        call: that changes something.
        what: for the progress.
        clock: of the pauses.
        within: seconds that it may take, of which two minutes are used.

    Raises:
        DeployError: BUSY, by the last call; others at once.
    """
    began = clock.now()
    while True:
        try:
            return call()
        except DeployError as e:
            if e.code is not Code.BUSY or clock.now() - began + _BUSY_PAUSE > min(within, _BUSY_SECONDS):
                raise
        events.emit(events.Progress(f"{what} is busy with an earlier change; trying again"))
        clock.pause(_BUSY_PAUSE)


def created(call: Callable[[], object]) -> bool:
    """Makes a call that creates something; False where that existed: somebody was faster, or an answer was lost."""
    try:
        call()
    except DeployError as e:
        if e.code is Code.ALREADY_EXISTS:
            return False
        raise
    return True
