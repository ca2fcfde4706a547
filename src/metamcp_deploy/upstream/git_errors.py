"""What git's complaints mean: a table of texts, since git has no codes. Texts as of git 2.39, LC_ALL=C."""

from __future__ import annotations

import re
from dataclasses import dataclass

from metamcp_deploy.errors import Code, DeployError


@dataclass(frozen=True)
class _Meaning:
    pattern: str
    code: Code
    message: str
    hint: str


_DISK_FULL = _Meaning(
    r"no space left on device|disk quota exceeded|out of disk",
    Code.DISK_FULL,
    "The disk is full: git could not write a file.",
    "Free some space, in the working folder and in the cache (METAMCP_CACHE_DIR, or your user cache folder), then "
    "run it again.",
)
# The first that matches counts.
_NETWORK = (
    _DISK_FULL,
    _Meaning(
        r"transport '.*' not allowed|protocol .* (not supported|disabled)|unsupported protocol",
        Code.UPSTREAM_REFUSED,
        "{url} leads to a transport that is not allowed.",
        "Use https, ssh, a file URL or a path; look at `url.*.insteadOf` in `git config --list`.",
    ),
    _Meaning(
        r"dubious ownership",
        Code.UPSTREAM_REFUSED,
        "{url} belongs to another user, so git refuses to read it.",
        "Run `git config --global --add safe.directory <that folder>` if you trust it.",
    ),
    _Meaning(
        r"host key verification failed",
        Code.UPSTREAM_AUTH,
        "The ssh host of {url} is not known on this machine.",
        "Run `ssh -T <that host>` once by hand and compare its key, or add it to known_hosts.",
    ),
    _Meaning(
        r"could not read (username|password)|terminal prompts disabled|authentication failed|permission denied \("
        r"|invalid username or|access denied|returned error: 40[13]",
        Code.UPSTREAM_AUTH,
        "{url} asks for a login and got none that it accepts, or there is no such repository.",
        "Run `git ls-remote {url}` by hand; set up a credential helper or an ssh key until that works.",
    ),
    _Meaning(
        r"certificate|ssl|tls|gnutls",
        Code.UPSTREAM_UNREACHABLE,
        "The TLS connection to {url} failed.",
        "Behind an intercepting proxy, set `network.ca_bundle` in metamcp.yaml to its certificates.",
    ),
    _Meaning(
        r"could not resolve|name or service not known|temporary failure in name resolution",
        Code.UPSTREAM_UNREACHABLE,
        "The host of {url} has no address.",
        "Check `upstream.url` and the network; behind a proxy, set `network.proxy` in metamcp.yaml.",
    ),
    _Meaning(
        r"connection refused|couldn't connect|failed to connect|timed out|unreachable|connection reset|proxy",
        Code.UPSTREAM_UNREACHABLE,
        "{url} cannot be reached.",
        "Check `upstream.url` and the network; behind a proxy, set `network.proxy` in metamcp.yaml.",
    ),
    _Meaning(
        r"not found|is this a git repository|does not appear to be a git repository|not a git repository",
        Code.UPSTREAM_UNREACHABLE,
        "There is no git repository at {url}.",
        "Correct `upstream.url` in metamcp.yaml, or --url.",
    ),
)
NOT_OFFERED = re.compile(
    r"not our ref|unadvertised object|couldn't find remote ref|not allow request|not support shallow"
)
"""The server does not hand out a commit by its id."""


def from_network(text: str, url: str) -> DeployError:
    """The error for a failed `ls-remote` or `fetch`."""
    for meaning in _NETWORK:
        if re.search(meaning.pattern, text, re.IGNORECASE):
            break
    else:
        meaning = _Meaning(
            "",
            Code.UPSTREAM_UNREACHABLE,
            "git could not fetch from {url}.",
            "Run `git ls-remote {url}` by hand.",
        )
    return DeployError(
        meaning.code, meaning.message.format(url=url), hint=meaning.hint.format(url=url), detail=_last(text)
    )


def empty(url: str) -> DeployError:
    """The error for an answer without a single branch or tag: git takes any web page for an empty repository."""
    return DeployError(
        Code.UPSTREAM_UNREACHABLE,
        f"{url} lists no branch and no tag: an empty repository, or another page, such as one to log in.",
        hint="Open it in a browser; correct `upstream.url` in metamcp.yaml, or --url.",
    )


def silent(url: str, seconds: float) -> DeployError:
    """The error for a network operation that gave no byte for so long."""
    return DeployError(
        Code.UPSTREAM_UNREACHABLE,
        f"{url} gave no sign of life for {seconds:g} s.",
        hint=f"Try `git ls-remote {url}` by hand; behind a proxy, set `network.proxy` in metamcp.yaml.",
    )


def on_this_machine(text: str, command: str, returncode: int) -> DeployError:
    """The error for a failed command that needs no network."""
    # A checkout does not tell why it could not go on writing a file that it had opened.
    if re.search(f"{_DISK_FULL.pattern}|unable to write file", text, re.IGNORECASE):
        return DeployError(_DISK_FULL.code, _DISK_FULL.message, hint=_DISK_FULL.hint, detail=_last(text))
    return DeployError(
        Code.PROCESS_FAILED,
        f"`{command}` ended with exit code {returncode}.",
        hint="Run it again with `--no-cache`; if that fails too, run the command above by hand.",
        detail=_last(text),
    )


def _last(text: str) -> str | None:
    return "\n".join(text.splitlines()[-8:]) or None
