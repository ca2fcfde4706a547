"""A workspace as one user: what other parts use."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from metamcp_deploy.config.model import Settings, Waits
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import services
from metamcp_deploy.workspace.apps import Apps
from metamcp_deploy.workspace.clock import Clock
from metamcp_deploy.workspace.files import Files
from metamcp_deploy.workspace.instances import Instances
from metamcp_deploy.workspace.lakebase import Lakebase
from metamcp_deploy.workspace.login import Login, log_in
from metamcp_deploy.workspace.permissions import Permissions
from metamcp_deploy.workspace.secrets import Secrets
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    import requests

    from metamcp_deploy.network import Network
    from metamcp_deploy.workspace.warehouse import Warehouse


class Workspace:
    """A workspace as one user.

    Attributes:
        host: its origin.
        network: how it is reached.
        files: workspace files.
        apps: Databricks Apps.
        lakebase: databases of the autoscaling kind.
        instances: those of the provisioned kind.
        secrets: secret scopes.
        permissions: access lists.
        clock: of all waits.
        waits: the user's.
    """

    def __init__(
        self,
        log_in: Callable[[], Login],
        network: Network,
        clock: Clock | None = None,
        waits: Waits | None = None,
        session: Callable[[], requests.Session] | None = None,
    ) -> None:
        self.waits = waits or Waits()
        self.clock = replace(clock or Clock(), patience=self.waits.outage)
        self.network = network
        self._log_in = log_in
        self._login = log_in()
        self.host = self._login.host
        # Through lambdas, so that `renew` counts from the next call on.
        self._transport = Transport(
            self.host,
            session or network.requests_session,
            lambda: self._login.headers(),
            self.clock,
            self.waits,
            self.renew,
            lambda: self._login.config,
        )
        self.files = Files(self._transport)
        self.apps = Apps(self._transport)
        self.lakebase = Lakebase(self._transport)
        self.instances = Instances(self._transport)
        self.secrets = Secrets(self._transport)
        self.permissions = Permissions(self._transport)

    @classmethod
    def connect(
        cls,
        settings: Settings,
        network: Network,
        *,
        client_id: str | None = None,
        client_secret: Secret | None = None,
        host: str | None = None,
        workspace_id: str | None = None,
        clock: Clock | None = None,
    ) -> Workspace:
        """Logs in; nothing is read or written yet.

        Args:
            settings: `workspace.profile`, `workspace.host` and `workspace.id`; a login for another host is refused.
            network: how to reach it.
            client_id: with client_secret and host, a service principal to log in as.
            client_secret: of it.
            host: of it.
            workspace_id: of it, in place of the settings'.
            clock: of all waits.

        Raises:
            DeployError: HOST_MISMATCH, AUTH_FAILED, WORKSPACE_UNREACHABLE, CONFIG_INVALID.
        """

        def login() -> Login:
            return log_in(
                settings,
                network,
                host=host,
                client_id=client_id,
                client_secret=client_secret,
                workspace_id=workspace_id,
                clock=clock,
            )

        return cls(login, network, clock, settings.waits)

    def warehouse(self, id_: str) -> Warehouse:
        """A SQL warehouse."""
        from metamcp_deploy.workspace.warehouse import Warehouse

        return Warehouse(self._transport, self.clock, id_)

    def renew(self) -> None:
        """Logs in anew: a token that was refused before its time is not used again."""
        self._login = self._log_in()

    @property
    def login(self) -> Login:
        """How it is logged in."""
        return self._login

    @functools.cached_property
    def identity(self) -> dict[str, Any]:
        """Who the login is, in SCIM's words: `userName`, `groups`, ...

        Raises:
            DeployError: AUTH_FAILED, WORKSPACE_ANSWER, ...
        """
        found = self._transport.answer(services.current_user(self._transport).me)
        if not found.get("userName"):
            raise DeployError(
                Code.WORKSPACE_ANSWER,
                f"{self.host} was asked who is logged in, and names nobody.",
                hint="Check workspace.host (or the profile's host): it is the origin of a workspace.",
                detail=str(found)[:300],
            )
        return found

    @property
    def me(self) -> str:
        """The login's user name (a service principal's is its client id)."""
        return str(self.identity["userName"])

    def app_headers(self) -> dict[str, str]:
        """Headers that open an app's URL, with a fresh OAuth token.

        Raises:
            DeployError: AUTH_FAILED, also when the login is not OAuth.
        """
        return self._login.app_headers()

    def token(self) -> str:
        """The OAuth token alone."""
        return self.app_headers()["Authorization"].removeprefix("Bearer ")
