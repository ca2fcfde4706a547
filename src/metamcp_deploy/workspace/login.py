"""Who this tool is in a workspace: the SDK's authentication chain, with its waits cut short and its errors in words."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from metamcp_deploy import __version__, events
from metamcp_deploy.config import hosts
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import login_calls, profiles, sdk_import
from metamcp_deploy.workspace.clock import Clock
from metamcp_deploy.workspace.host_check import HostCheck

if TYPE_CHECKING:
    from metamcp_deploy.network import Network

# With --debug the console adds a handler of its own; without one, Python would print the SDK's warnings bare.
logging.getLogger("databricks.sdk").addHandler(logging.NullHandler())


@dataclass
class Login:
    """A login that works; its tokens are fresh whenever `headers` is called.

    Attributes:
        host: origin of the workspace.
        auth_type: the SDK's name for how (`pat`, `oauth-m2m`, `databricks-cli`, ...).
        user_agent: what requests call themselves.
        source: where it came from, for people.
        config: the SDK's `Config`, which its services read the workspace's id from.
    """

    host: str
    auth_type: str
    user_agent: str
    source: str
    config: Any = field(repr=False)
    _authenticate: Callable[[], dict[str, str]] = field(repr=False)

    @property
    def oauth(self) -> bool:
        """Whether its tokens are OAuth's: apps accept no others."""
        return self.auth_type not in _PLAIN_NAMES

    @property
    def on_gcp(self) -> bool:
        """Whether the workspace is on Google Cloud, which has limits of its own."""
        return bool(self.config.is_gcp)

    @property
    def kind(self) -> str:
        """How it is made, in words."""
        return _PLAIN_NAMES.get(self.auth_type, f"OAuth ({self.auth_type})")

    def headers(self) -> dict[str, str]:
        """Fresh headers of a request to the workspace's API.

        Raises:
            DeployError: AUTH_FAILED, WORKSPACE_UNREACHABLE.
        """
        return {
            **self._authenticate(),
            "User-Agent": self.user_agent,
        }

    def app_headers(self) -> dict[str, str]:
        """Headers that open an app's URL.

        Raises:
            DeployError: AUTH_FAILED, when the login is not OAuth: apps refuse personal access tokens.
        """
        if not self.oauth:
            raise DeployError(
                Code.AUTH_FAILED,
                f"{self.source} logs in to {self.host} with {self.kind}, which apps do not "
                "accept: an OAuth login is needed to open the app or its log.",
                hint=f"databricks auth login --host {self.host} --profile NAME, then -p NAME",
            )
        return self.headers()


_PLAIN_NAMES = {"pat": "a personal access token", "basic": "a user name and password"}


def log_in(
    settings: Settings,
    network: Network,
    *,
    host: str | None = None,
    client_id: str | None = None,
    client_secret: Secret | None = None,
    workspace_id: str | None = None,
    clock: Clock | None = None,
) -> Login:
    """Logs in: with the credentials given, else as the SDK's chain finds them (profile, environment, CLI, CI).

    Args:
        settings: `workspace.profile` names the profile; `workspace.host` is what the login is compared with.
        network: how to reach it.
        host: with client_id and client_secret, of a service principal; nothing of the environment counts then.
        client_id: of it.
        client_secret: of it.
        workspace_id: of it, in place of the settings'.
        clock: of the pauses between tries.

    Raises:
        DeployError: HOST_MISMATCH, AUTH_FAILED, WORKSPACE_UNREACHABLE, CONFIG_INVALID.
    """
    network.configure_sdk()
    wanted, named = profiles.origin(host or settings.workspace.host), workspace_id or settings.workspace.id

    def check(source: str) -> HostCheck:
        return HostCheck(wanted, source, network, clock or Clock(), settings.waits, named)

    if client_id and client_secret:
        given = {
            "host": wanted,
            "client_id": client_id,
            "client_secret": client_secret.reveal(),
            "auth_type": "oauth-m2m",
        }
        with _without_login_variables():
            return _configured(given, check("the given service principal"))
    profile = settings.workspace.profile or os.environ.get("DATABRICKS_CONFIG_PROFILE")
    stated = os.environ.get("DATABRICKS_HOST")
    if not profile and wanted and not stated:
        profile = profiles.of_host(wanted, named)
    if profile:
        # The host in its plain form: what is copied from a browser (`/?o=123`) breaks the SDK's URLs.
        place = profiles.origin(profiles.hosts_of_profiles().get(profile))
        named = _one_workspace(profile, profiles.workspace_of(profile), named)
        return _configured({"profile": profile, "host": place}, check(f"Profile {profile}"))
    named = named or hosts.workspace_id(stated)
    return _configured({"host": profiles.origin(stated) or wanted}, check("The environment's login"))


def _one_workspace(profile: str, theirs: str | None, wanted: str | None) -> str | None:
    """The workspace of a profile's login, which on a host of several is not proven by the host.

    Raises:
        DeployError: HOST_MISMATCH.
    """
    if theirs and wanted and theirs != wanted:
        raise DeployError(
            Code.HOST_MISMATCH,
            f"Profile {profile} is a login for the workspace {theirs}, but the target's workspace.id is {wanted}. "
            "Nothing was changed.",
            hint=f"Use a profile whose workspace_id is {wanted}: -p NAME; or correct workspace.id (`?o=` of the host).",
        )
    return wanted or theirs


def _configured(given: dict[str, Any], check: HostCheck) -> Login:
    events.emit(events.Progress(f"logging in to {check.wanted or check.source}"))
    if check.workspace_id:
        given["workspace_id"] = check.workspace_id
    if given["host"]:
        check.origin(given["host"])  # before the SDK, which gives up later
    return login_calls.twice(lambda: _tried(given, check), check)


def _tried(given: dict[str, Any], check: HostCheck) -> Login:
    version = re.match(r"\d+\.\d+\.\d+", __version__)
    try:
        config = sdk_import.module("config").Config(
            **given,
            product="metamcp-deploy",
            product_version=version.group() if version else "0.0.0",
            credentials_strategy=_Strategy(check),
            retry_timeout_seconds=1,
            # Of its first question to the host, which it may leave unanswered.
            http_timeout_seconds=check.waits.answer / 4,
        )
    except ValueError as e:  # the SDK's word for whatever is wrong with a login
        refused = login_calls.not_logged_in(check.wanted or check.host, check.source, str(e))
        raise check.explained(refused) from e
    return Login(
        host=profiles.origin(config.host) or "",
        auth_type=str(config.auth_type),
        user_agent=config.user_agent,
        source=check.source,
        config=config,
        _authenticate=lambda: login_calls.twice(lambda: _asked(config.authenticate, check), check),
    )


class _Strategy:
    """The SDK's own chain, entered only after the host was compared and has answered."""

    def __init__(self, check: HostCheck) -> None:
        self._default = sdk_import.module("credentials_provider").DefaultCredentials()
        self._check = check

    def auth_type(self) -> str:
        return str(self._default.auth_type())

    def __call__(self, config: Any) -> Any:
        config.host = self._check.origin(config.host)  # without the `?o=…` that people copy from the browser
        return _asked(lambda: self._default(config), self._check)


def _asked(call: Callable[[], Any], check: HostCheck) -> Any:
    try:
        return login_calls.bounded(call, check)
    except DeployError as e:
        raise check.explained(e) from e


@contextmanager
def _without_login_variables() -> Iterator[None]:
    """Hides the user's own login from the SDK, which would otherwise mix it with the credentials given."""
    prefixes = ("DATABRICKS_", "ARM_", "GOOGLE_CREDENTIALS")
    hidden = {k: v for k, v in os.environ.items() if k.startswith(prefixes)}
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
