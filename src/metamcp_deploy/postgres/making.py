"""A cluster's data folder: made whole or not at all, and of the right version."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import binaries
from metamcp_deploy.postgres.place import Place

SUPERUSER = "postgres"
ENVIRONMENT = MappingProxyType({"PATH": os.defpath, "LANG": "C", "LC_ALL": "C"})
# How the folder of a socket is recognised as ours before it is removed.
SOCKET_PREFIX = "metamcp-pg-"
_LONGEST_TEMPORARY = 60  # bytes; the system allows 103 (macOS) for it, our folder in it, and `/.s.PGSQL.5432`


def initialise(place: Place, programs: Path, *, durable: bool) -> None:
    """Makes the data folder by initdb.

    Raises:
        DeployError: POSTGRES_FAILED with initdb's words; nothing is left of the folder then.
    """
    fresh = place.data.with_name("data.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    place.give(fresh)
    secret_folder = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=short_folder()))
    try:
        # Given away last: in a folder of another user, root could be led elsewhere by a link.
        password_file = secret_folder / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(place.password().reveal(), encoding="utf-8")
        place.give(password_file)
        place.give(secret_folder)
        process.run(
            [
                programs / "initdb",
                *("-D", fresh, "-U", SUPERUSER, "-E", "UTF8", "--locale=C", "--auth=password"),
                f"--pwfile={password_file}",
                *(() if durable else ("--no-sync",)),
            ],
            cwd=Path("/"),
            env=ENVIRONMENT,
            user=place.user,
            log=place.log,
            code=Code.POSTGRES_FAILED,
            hint=f"Look at the output below and in {place.log}, then run the same command again.",
        )
        fresh.rename(place.data)
    finally:
        shutil.rmtree(secret_folder, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)


def check_version(place: Place) -> None:
    """Refuses data that another major version of PostgreSQL made.

    Raises:
        DeployError: POSTGRES_FAILED.
    """
    file = place.data / "PG_VERSION"
    found = file.read_text(encoding="utf-8").strip() if file.is_file() else "unknown"
    if found != binaries.MAJOR:
        raise DeployError(
            Code.POSTGRES_FAILED,
            f"The data in {place.data} are of PostgreSQL {found}; this tool has version {binaries.MAJOR}.",
            hint=f"Give up these data (rm -r {place.home}), or use the version of this tool that made them.",
        )


def temporary_folder(place: Place) -> Path:
    """A new folder, 0700, of the cluster's user, whose path is short enough for a socket in it."""
    folder = Path(tempfile.mkdtemp(prefix=SOCKET_PREFIX, dir=short_folder()))
    place.give(folder)
    return folder


def short_folder() -> Path:
    """A temporary folder whose path fits into a socket's address, needs no quoting, and is open to all users."""
    chosen = Path(tempfile.gettempdir())
    fits = len(os.fsencode(chosen)) <= _LONGEST_TEMPORARY and re.fullmatch(r"[\w./+-]+", str(chosen))
    usable = fits and binaries.reachable(chosen / "x", binaries.account())
    return chosen if usable else Path("/tmp")  # noqa: S108 -- mkdtemp makes private folders in it
