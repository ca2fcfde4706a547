"""The environments that git runs with: local work reads nobody's configuration, the network the user's own.

What a user has set up for reaching a repository (credential helpers, `url.*.insteadOf`, ssh, proxies) goes on
working; what could change a checkout (autocrlf, hooks, filters, attributes, templates) has no effect. Nothing ever asks
a person: no terminal, no askpass program, ssh in batch mode. None holds the caller's secrets.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import PurePath

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError

# What users and pipelines set to give git its credentials and settings.
_USERS = re.compile(
    r"GIT_(CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|(KEY|VALUE)_\d+)|SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|HTTP_USER_AGENT)"
)
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # set but empty: neither core.askPass nor SSH_ASKPASS is started
    "GCM_INTERACTIVE": "never",
    "GIT_OPTIONAL_LOCKS": "0",  # looking at a repository writes nothing
    "LC_ALL": "C",
    "GIT_ALLOW_PROTOCOL": "file:https:ssh",  # holds for what insteadOf and redirects lead to, too
}
# Given on the command line, these win over the user's files.
_SAFE = (
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", "core.fsmonitor=false"),
    *("-c", "gc.auto=0"),
    *("-c", "maintenance.auto=false"),
    *("-c", "protocol.version=2"),
    *("-c", "advice.detachedHead=false"),
)


def program(env: Mapping[str, str]) -> list[str]:
    """git and the options that every command gets.

    Raises:
        DeployError: TOOL_MISSING without git.
    """
    found = process.find("git", env.get("PATH"))
    if found is None:
        raise DeployError(
            Code.TOOL_MISSING,
            "git is not on PATH; it is needed to fetch the upstream.",
            hint="Install git, e.g. `apt install git` or `brew install git`.",
        )
    return [str(found), *_SAFE]


def local() -> dict[str, str]:
    """For work on this machine: no configuration but the repository's own."""
    nowhere = os.devnull
    return process.base_environment(
        **_QUIET,
        GIT_CONFIG_GLOBAL=nowhere,
        GIT_CONFIG_SYSTEM=nowhere,
        GIT_CONFIG_NOSYSTEM="1",
        GIT_ATTR_NOSYSTEM="1",
        GIT_TEMPLATE_DIR="",  # a new repository without hooks
        HOME=nowhere,  # git before 2.32 does not know GIT_CONFIG_GLOBAL
        XDG_CONFIG_HOME=nowhere,
    )


def users() -> dict[str, str]:
    """For repositories of the user's own: their ignore files and their trust in folders hold."""
    return {**process.base_environment(), **_set_by_the_user(), **_QUIET}


def network(settings: Mapping[str, str], address: str) -> dict[str, str]:
    """For the network: as the user has set git up, made unable to ask.

    Args:
        settings: what `network` adds to the environment.
        address: of the upstream; plain http is allowed only where it says so (this machine), not by a redirect.
    """
    http = {"GIT_ALLOW_PROTOCOL": "file:http:https:ssh"} if address.startswith("http://") else {}
    env = {**users(), **settings, **_QUIET, **http}
    return {**env, **_ssh(env)}


def _set_by_the_user() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if _USERS.fullmatch(name)}


def _ssh(env: Mapping[str, str]) -> dict[str, str]:
    """ssh that neither asks nor waits; a program other than OpenSSH's stays as the user wants it."""
    if "GIT_SSH" in env and "GIT_SSH_COMMAND" not in env:
        return {}
    command = env.get("GIT_SSH_COMMAND")
    if not command:
        asked = [*program(env), "config", "--get", "core.sshCommand"]
        command = process.run(asked, env=env, check=False).stdout.strip() or "ssh"
    try:
        name = PurePath(shlex.split(command)[0]).name
    except (ValueError, IndexError):
        name = ""
    options = " -oBatchMode=yes -oConnectTimeout=15" if name == "ssh" else ""
    return {"GIT_SSH_COMMAND": command + options}
