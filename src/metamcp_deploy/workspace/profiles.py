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


def of_host(host: str) -> str | None:
    """The one profile of the user's databrickscfg for this host, as the official command line finds it."""
    found = [name for name, stated in hosts_of_profiles().items() if _same_host(stated, host)]
    if len(found) > 1:
        raise DeployError(
            Code.AUTH_FAILED,
            f"There are {len(found)} profiles for {host}: {', '.join(found)}.",
            hint=f"Name one: -p {found[0]}",
        )
    return found[0] if found else None


def hosts_of_profiles() -> dict[str, str]:
    """Profile → host, of the user's databrickscfg."""
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
    return {name: parser[name]["host"] for name in parser.sections() if parser[name].get("host")}


def _same_host(stated: str, host: str) -> bool:
    try:
        return origin(stated) == host
    except DeployError:
        return False
