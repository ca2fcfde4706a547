"""Runs git: for work on this machine without anybody's configuration, for the network with the user's own.

What a user has set up for reaching a repository (credential helpers, `url.*.insteadOf`, ssh, proxies) goes on
working; what could change a checkout (autocrlf, hooks, filters, attributes, templates) has no effect. Nothing ever asks
a person: no terminal, no askpass program, ssh in batch mode.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.upstream import git_errors

SILENCE_SECONDS = 30.0
"""A network operation that gives no byte of output for so long is ended; one that moves is never cut."""

# What users and pipelines set to give git its credentials and settings.
_USERS = re.compile(
    r"GIT_(CONFIG_(GLOBAL|SYSTEM|NOSYSTEM|COUNT|(KEY|VALUE)_\d+)|SSH|SSH_COMMAND|SSH_VARIANT|SSL_\w+|HTTP_USER_AGENT)"
)
_QUIET = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # set but empty: neither core.askPass nor SSH_ASKPASS is started
    "GCM_INTERACTIVE": "never",
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
_PROGRESS = re.compile(r"^(remote: )?[A-Z][A-Za-z ]+: +(\d+%|\d+, done|done)")


@dataclass(frozen=True)
class Git:
    """git with one environment. `isolated()` and `for_network()` make them."""

    env: Mapping[str, str]

    def try_(
        self,
        *words: str | Path,
        cwd: Path | None = None,
        silence: float | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> process.Completed:
        """Runs git and returns whatever came of it.

        Raises:
            DeployError: TOOL_MISSING without git; PROCESS_SILENT.
        """
        program = process.find("git", self.env.get("PATH"))
        if program is None:
            raise DeployError(
                Code.TOOL_MISSING,
                "git is not on PATH; it is needed to fetch the upstream.",
                hint="Install git, e.g. `apt install git` or `brew install git`.",
            )
        argv = [program, *_SAFE, *words]
        return process.run(argv, cwd=cwd, env=self.env, silence=silence, on_line=on_line, check=False)

    def out(self, *words: str | Path, cwd: Path | None = None) -> str:
        """Standard output of a command that must work on this machine.

        Raises:
            DeployError: DISK_FULL, PROCESS_FAILED, TOOL_MISSING.
        """
        done = self.try_(*words, cwd=cwd)
        if done.returncode != 0:
            raise git_errors.on_this_machine(complaint(done), done.command, done.returncode)
        return done.stdout.strip()


def isolated() -> Git:
    """git that reads no configuration but a repository's own, for work that stays on this machine."""
    nowhere = os.devnull
    return Git(
        process.base_environment(
            **_QUIET,
            GIT_CONFIG_GLOBAL=nowhere,
            GIT_CONFIG_SYSTEM=nowhere,
            GIT_CONFIG_NOSYSTEM="1",
            GIT_ATTR_NOSYSTEM="1",
            HOME=nowhere,  # git before 2.32 does not know GIT_CONFIG_GLOBAL
            XDG_CONFIG_HOME=nowhere,
        )
    )


def for_network(settings: Mapping[str, str], address: str) -> Git:
    """git as the user has set it up, made unable to ask; `settings` is what `network` adds to the environment."""
    users = {name: value for name, value in os.environ.items() if _USERS.fullmatch(name)}
    # Plain http only where the address itself says so (this machine): not by a redirect.
    http = {"GIT_ALLOW_PROTOCOL": "file:http:https:ssh"} if address.startswith("http://") else {}
    git = Git({**process.base_environment(), **users, **settings, **_QUIET, **http})
    return Git({**git.env, **_ssh(git)})


def complaint(done: process.Completed) -> str:
    """What git wrote on its standard error, without the lines that only show progress."""
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", done.stderr)]
    return "\n".join(line for line in lines if line and not _PROGRESS.match(line))


def _ssh(git: Git) -> dict[str, str]:
    """ssh told not to ask and not to wait; another program than OpenSSH's is left as the user wants it."""
    if "GIT_SSH" in git.env and "GIT_SSH_COMMAND" not in git.env:
        return {}
    users = git.env.get("GIT_SSH_COMMAND") or git.try_("config", "--get", "core.sshCommand").stdout.strip()
    command = users or "ssh"
    try:
        program = PurePath(shlex.split(command)[0]).name
    except (ValueError, IndexError):
        program = ""
    options = " -oBatchMode=yes -oConnectTimeout=15" if program == "ssh" else ""
    return {"GIT_SSH_COMMAND": command + options}
