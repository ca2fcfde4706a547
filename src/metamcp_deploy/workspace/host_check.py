"""Checks of a login's host: it is the target's, it answers, and it lets this network in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy.config.model import Waits
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import causes, profiles, refusals, transport
from metamcp_deploy.workspace.clock import Clock

if TYPE_CHECKING:
    from metamcp_deploy.network import Network


@dataclass
class HostCheck:
    """The checks of one login's host.

    Attributes:
        wanted: what the login's host must be; None takes any.
        source: where the login comes from, for the errors.
        network: how the host is reached.
        clock: of the pauses between tries.
        waits: the user's.
        workspace_id: of the workspace, where known.
        host: origin that was checked; empty before.
        oddity: what is unusual about its answer; no failure by itself.
    """

    wanted: str | None
    source: str
    network: Network
    clock: Clock
    waits: Waits
    workspace_id: str | None = None
    host: str = ""
    oddity: str | None = None
    _began: float = 0.0

    def begin(self) -> None:
        """A login begins."""
        self._began = self.clock.now()

    @property
    def waited(self) -> float:
        """Seconds since the login began."""
        return self.clock.now() - self._began

    def origin(self, address: str | None) -> str:
        """Gives a host's origin after it was compared with `wanted` and has answered, once.

        Raises:
            DeployError: AUTH_FAILED without a host; HOST_MISMATCH; WORKSPACE_UNREACHABLE, after well under 30 s;
                ADDRESS_REFUSED.
        """
        host = profiles.origin(address)
        if not host:
            raise DeployError(
                Code.AUTH_FAILED,
                f"{self.source} names no workspace: there is no host.",
                hint="Set workspace.host in metamcp.yaml, or log in: databricks auth login --host "
                "https://<workspace>",
            )
        if self.wanted and host != self.wanted:
            raise DeployError(
                Code.HOST_MISMATCH,
                f"{self.source} is a login for {host}, but the target's workspace.host is {self.wanted}. "
                "Nothing was changed.",
                hint=f"Use a login for that host: databricks auth login --host {self.wanted} --profile NAME, "
                "then -p NAME",
            )
        if host != self.host:
            self.host, self.oddity = host, self._oddity(host, "/.well-known/databricks-config")
        return host

    def explained(self, error: DeployError) -> DeployError:
        """A failed login's error, with what else is known of the host: the SDK does not say why a token was refused.

        Nor does it tell a host that vanished from a credential that was refused.
        """
        if error.code is not Code.AUTH_FAILED or not self.host:
            return error
        try:
            self._oddity(
                self.host, "/api/2.0/preview/scim/v2/Me"
            )  # refused for its address before its credential
        except DeployError as e:
            if e.code is Code.WORKSPACE_UNREACHABLE and isinstance(e.__cause__, Exception):
                return causes.unreachable(self.host, "the request for a token", e.__cause__, self.waited)
            return e if e.code is Code.ADDRESS_REFUSED else error
        if not self.oddity:
            return error
        text = f"{self.host} did not answer as a workspace does ({self.oddity}): is the host right?"
        return DeployError(error.code, f"{error.message} {text}", hint=error.hint, detail=error.detail)

    def _oddity(self, host: str, path: str) -> str | None:
        # Half of the patience: a silent host is reported well before the whole is over.
        waits = self.waits.model_copy(update={"answer": self.waits.answer / 2})
        # By hand, both paths: without a login there is no client of the SDK's.
        known = transport.Unconfigured(self.workspace_id)
        asked = transport.Transport(
            host, self.network.requests_session, dict, self.clock, waits, config=lambda: known
        )
        try:
            asked.do("GET", path)
        except refusals.ApiError as e:
            if e.code is Code.ADDRESS_REFUSED:
                raise
            return e.message.removesuffix(".")
        return None
