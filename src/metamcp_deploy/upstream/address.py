"""Which upstream URLs are let through to git, and in which form."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from metamcp_deploy.errors import Code, DeployError

_HELPER = re.compile(r"^[A-Za-z0-9][A-Za-z0-9+.-]*::")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*)://")
# user@host:path, as scp writes it; a slash before the colon makes it a path.
_SCP = re.compile(r"^(?:[A-Za-z0-9_][\w.+-]*@)?[A-Za-z0-9\[][\w.:\]-]*:(?!/{2})[^:]")
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_TOKEN = re.compile(r"^(gh[a-z]_|github_pat_|glpat-|x-access-token$|x-token-auth$|oauth2$)", re.IGNORECASE)
_SECRET = re.compile(
    r"token|secret|passw|pwd|api.?key|auth|credential|jwt|^(key|sig|signature|pat)$", re.IGNORECASE
)


def checked(url: str, folder: Path) -> str:
    """The URL to hand to git.

    Args:
        url: https, ssh, file or scp-like URL, or a path (`~` is the home, relative ones start at `folder`).
        folder: the working folder.

    Raises:
        DeployError: UPSTREAM_REFUSED when git must not see it, UPSTREAM_UNREACHABLE when a path does not exist.
    """
    if not url.strip():
        raise _refused("is empty", url)
    if re.search(r"[\x00-\x1f\x7f]", url) or ("://" in url and " " in url):
        raise _refused("holds spaces or control characters", url)
    if url.startswith("-") or re.match(r"[^/:]*@-", url):
        raise _refused("begins with `-`, or its host does, which could be taken for an option", url)
    if helper := _HELPER.match(url):
        raise _refused(f"uses `{helper.group()}`, which lets a URL start programs", url)
    if scheme := _SCHEME.match(url):
        return _checked_url(url, scheme.group(1).lower(), folder)
    path = _path(url, folder)
    if _SCP.match(url) and not path.exists():
        return url
    return _existing(path)


def _checked_url(url: str, scheme: str, folder: Path) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as e:
        raise _refused(f"is no valid URL ({e})", url) from None
    del port  # reading it checks it
    if scheme == "file":
        if host not in ("", "localhost"):
            raise _refused(f"names a host, {host}: a file URL is of this machine", url)
        return _existing(Path(unquote(parts.path)))
    if scheme not in ("https", "http", "ssh"):
        raise _refused(f"uses {scheme}://", url)
    if scheme == "http" and host not in _LOOPBACK:
        raise _refused("uses http://, so anybody on the way could change the code", url)
    if not host or host.startswith("-") or (parts.username or "").startswith("-"):
        raise _refused("names no usable host", url)
    named = scheme != "ssh" and _TOKEN.match(parts.username or "")
    if parts.password is not None or named or _holds_token(parts):
        # The URL itself is not repeated: it holds the secret.
        raise DeployError(
            Code.UPSTREAM_REFUSED,
            f"`upstream.url` (at {host}) holds a password or token, which would end up in process lists and records.",
            hint="Take it out of the URL and give it to git's credential helper: `git credential approve`.",
        )
    return url


def _holds_token(parts: SplitResult) -> bool:
    """Whether the query or the fragment names a secret, or holds what looks like one."""
    given = [
        pair for text in (parts.query, parts.fragment) for pair in parse_qsl(text, keep_blank_values=True)
    ]
    return any(_SECRET.search(name) or _TOKEN.match(value) for name, value in given)


def _path(url: str, folder: Path) -> Path:
    try:
        return (folder / Path(url).expanduser()).resolve()
    except RuntimeError as e:
        raise _refused(f"names a home that does not exist ({e})", url) from None


def _existing(path: Path) -> str:
    if not path.is_dir():
        raise DeployError(
            Code.UPSTREAM_UNREACHABLE,
            f"There is no folder {path}, which `upstream.url` names.",
            hint="Correct `upstream.url` in metamcp.yaml, or --url; a relative path starts at metamcp.yaml's folder.",
        )
    return str(path)


def _refused(why: str, url: str) -> DeployError:
    shown = re.sub(r"//[^/@]*@", "//***@", url)
    return DeployError(
        Code.UPSTREAM_REFUSED,
        f"`upstream.url` {why}: {shown!r}.",
        hint="Use https://, ssh://, file:// or a path in metamcp.yaml or --url.",
    )
