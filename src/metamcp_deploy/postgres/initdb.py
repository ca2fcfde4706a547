"""Creates a cluster's data folder, whole or not at all, and checks its version."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import binaries, sockets
from metamcp_deploy.postgres.place import Place

_NAMELESS = "could not look up effective user ID"  # initdb's words


def initialise(place: Place, programs: Path, *, durable: bool) -> None:
    """Makes the data folder by initdb.

    Raises:
        DeployError: POSTGRES_FAILED with initdb's words; nothing is left of the folder then.
    """
    fresh = place.data.with_name("data.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    place.give(fresh)
    secret_folder = Path(tempfile.mkdtemp(prefix=sockets.PREFIX, dir=sockets.short_folder()))
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
                *("-D", fresh, "-U", binaries.SUPERUSER, "-E", "UTF8", "--locale=C", "--auth=password"),
                f"--pwfile={password_file}",
                *(() if durable else ("--no-sync",)),
            ],
            cwd=Path("/"),
            env=binaries.ENVIRONMENT,
            user=place.user,
            log=place.log,
            code=Code.POSTGRES_FAILED,
            hint=f"Look at the output below and in {place.log}, then run the same command again.",
        )
        fresh.rename(place.data)
    except DeployError as e:
        if _NAMELESS not in (e.detail or ""):
            raise
        raise DeployError(
            e.code,
            f"This system has no user for uid {os.geteuid()}, and PostgreSQL runs only as a user with a name.",
            hint="Run metamcp-deploy as a user of this system (`getent passwd` lists them); in a container, add the "
            "uid to /etc/passwd.",
            detail=e.detail,
        ) from None
    finally:
        shutil.rmtree(secret_folder, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)


def check_version(place: Place) -> None:
    """Refuses data that another major version of PostgreSQL made.

    Raises:
        DeployError: POSTGRES_FAILED.
    """
    file = place.data / "PG_VERSION"
    found = file.read_text(encoding="utf-8", errors="replace").strip() if file.is_file() else "unknown"
    if found != binaries.MAJOR:
        raise DeployError(
            Code.POSTGRES_FAILED,
            f"The data in {place.data} are of PostgreSQL {found} (PG_VERSION); this tool has version {binaries.MAJOR}.",
            hint=f"Give up these data (rm -r {place.home}), or use the version of this tool that made them.",
        )
