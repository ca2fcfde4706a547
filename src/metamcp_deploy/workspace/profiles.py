"""The user's databrickscfg: which profile is a login for which host."""

from __future__ import annotations

import configparser
import os
from pathlib import Path

from metamcp_deploy.config import hosts
from metamcp_deploy.errors import Code, DeployError


def origin(host: str | None) -> str | None:
    """`dev.example.com/?o=1` → `https://dev.example.com`.

    Raises:
        DeployError: CONFIG_INVALID.
    """
    if not host:
        return None
    try:
        return hosts.origin(host)
    except ValueError as e:
        raise DeployError(
            Code.CONFIG_INVALID,
            f"The workspace's host {e}.",
            hint="Set workspace.host, or the host of the login, to something like https://dev.example.com",
        ) from None


def of_host(host: str, workspace_id: str | None = None) -> str | None:
    """The one profile of the user's databrickscfg for this host, as the official command line finds it.

    Args:
        host: origin.
        workspace_id: where known; a profile of another workspace on the same host does not count.
    """
    found = [name for name, stated in hosts_of_profiles().items() if _same_host(stated, host)]
    if workspace_id:
        found = [name for name in found if workspace_of(name) in (None, workspace_id)]
        found = [name for name in found if workspace_of(name)] or found
    if len(found) > 1:
        raise DeployError(
            Code.AUTH_FAILED,
            f"There are {len(found)} profiles for {host}: {', '.join(found)}.",
            hint=f"Name one: -p {found[0]}",
        )
    return found[0] if found else None


def workspace_of(profile: str) -> str | None:
    """The id of the workspace that a profile names, on a host that may serve several; None without one."""
    stated = _sections().get(profile, {})
    # `none` is how the official command line writes that a profile is of an account.
    named = stated.get("workspace_id", "").strip().removesuffix("none")
    return named or hosts.workspace_id(stated.get("host"))


def hosts_of_profiles() -> dict[str, str]:
    """Profile → host, of the user's databrickscfg."""
    return {name: stated["host"] for name, stated in _sections().items() if stated.get("host")}


def _sections() -> dict[str, dict[str, str]]:
    path = Path(os.environ.get("DATABRICKS_CONFIG_FILE") or "~/.databrickscfg").expanduser()
    parser = configparser.ConfigParser(interpolation=None, default_section="\0")
    try:
        parser.read(path)
    except (configparser.Error, OSError, UnicodeDecodeError) as e:
        raise DeployError(
            Code.AUTH_FAILED,
            f"{path} cannot be read.",
            hint=f"Repair {path}, or name the login with DATABRICKS_* variables.",
            detail=f"{type(e).__name__} {getattr(e, 'lineno', '')}".rstrip(),
        ) from e
    return {name: dict(parser[name]) for name in parser.sections()}


def _same_host(stated: str, host: str) -> bool:
    try:
        return origin(stated) == host
    except DeployError:
        return False
