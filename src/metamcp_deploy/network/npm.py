"""The environment that npm and pnpm need, so that the user's own npmrc stays in effect."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from metamcp_deploy.errors import Code, DeployError

# `${NAME}`, npm's `${NAME?}` and pnpm's `${NAME:-default}`.
_REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?:[?:-][^}]*)?\}")
_CERTIFICATES = re.compile(
    r"""^[ \t]*cafile[ \t]*=[ \t]*["']?(?:~|\$\{HOME\})/(.+?)["']?[ \t]*$""", re.MULTILINE
)
# Settings about reaching a registry. Others (a parent `npm run` sets dozens) would change what is built.
_REACHING = re.compile(
    r"npm_config_(userconfig|globalconfig|registry|(https?[-_])?proxy|no_?proxy|ca|cafile|cert|key|strict[-_]ssl"
    r"|_auth\w*|_password|username|email|//.+|@.+:registry)",
    re.IGNORECASE,
)
# An .npmrc that comes with somebody's source must not be able to ask for these.
_OURS = re.compile(r"(DATABRICKS_|ARM_|AZURE_|METAMCP_|LAKEBASE_|PG|BETTER_AUTH|OIDC_|DATABASE_URL)")


def passed_on(environ: Mapping[str, str], project_npmrc: Iterable[Path] = ()) -> dict[str, str]:
    """The npm settings in the environment, and the variables that the user's and the project's npmrc refer to.

    Args:
        environ: the caller's environment.
        project_npmrc: npmrc files that come with the tree to build; they cannot ask for this tool's own secrets.
    """
    values = {k: v for k, v in environ.items() if _REACHING.fullmatch(k)}
    names = {n for file in _user_files(environ) for n in _references(file)}
    names |= {n for file in project_npmrc for n in _references(file) if not _OURS.match(n)}
    return {**values, **{n: environ[n] for n in sorted(names) if n in environ}}


def explicit(environ: Mapping[str, str]) -> dict[str, str]:
    """The user's own npmrc and pnpm rc, for programs that have another HOME: by path, never by content."""
    home, found = _home(environ), {}
    files = {"userconfig": home / ".npmrc", "globalconfig": _pnpm_rc(environ)}
    set_already = {name.lower() for name in environ}
    for name, file in files.items():
        if f"npm_config_{name}" not in set_already and file.is_file():
            found[f"npm_config_{name}"] = str(file)
    # A path below the home is the only value that means something else with another one.
    named = [path for file in reversed(_user_files(environ)) for path in _below_home(file)]
    if named and "npm_config_cafile" not in set_already:
        found["npm_config_cafile"] = str(home / named[-1])
    return found


def checked_registry(settled: str | None, environ: Mapping[str, str]) -> str | None:
    """The registry of the settings, else of npm_config_registry in any case; None leaves it to the npmrc.

    Raises:
        DeployError: CONFIG_INVALID naming the setting or variable.
    """
    url, origin = settled, "network.npm_registry"
    if url is None:
        found = [k for k in environ if k.lower() == "npm_config_registry" and environ[k]]
        if not found:
            return None
        url, origin = environ[found[0]], f"The environment variable {found[0]}"
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        secret = bool(parts.username or parts.password)
    except ValueError:
        good, secret = False, False
    if good and not secret:
        return url
    problem = "it holds credentials, which would be printed" if secret else "it is not an http or https URL"
    raise DeployError(
        Code.CONFIG_INVALID,
        f"{origin} is no usable registry URL: {problem}.",
        hint="Write https://host/path/ there"
        + (" and put the credentials into ~/.npmrc: //host/path/:_authToken=${NPM_TOKEN}" if secret else ""),
    )


def _user_files(environ: Mapping[str, str]) -> list[Path]:
    named = [
        v for k, v in environ.items() if k.lower() in ("npm_config_userconfig", "npm_config_globalconfig")
    ]
    return [_home(environ) / ".npmrc", _pnpm_rc(environ), *map(Path, named)]


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or Path.home())


def _pnpm_rc(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("XDG_CONFIG_HOME") or _home(environ) / ".config") / "pnpm" / "rc"


def _references(file: Path) -> list[str]:
    return _REFERENCE.findall(_text(file))


def _below_home(file: Path) -> list[str]:
    return _CERTIFICATES.findall(_text(file))


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
