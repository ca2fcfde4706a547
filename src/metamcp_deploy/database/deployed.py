"""What a deployed app says of its database: the role that it logs in as, the schema, the migrations of its release."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database import external
from metamcp_deploy.database.server import workspace_of
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.release import archive
from metamcp_deploy.target import databases
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.workspace import Workspace
    from metamcp_deploy.workspace.apps import App

_SCHEMA = "metamcp_app"  # where nothing says another
_PRINCIPAL = "METAMCP_DATABASE_CLIENT_ID"


@dataclass(frozen=True)
class Migration:
    """One migration of a release: its name, its `when` in milliseconds since the epoch, its SQL's SHA-256, its SQL."""

    name: str
    when: int
    hash: str
    sql: str = ""


@dataclass(frozen=True)
class Deployed:
    """The app's side of its database.

    Attributes:
        place: of the target, or its workspace alone.
        app: as the workspace describes it.
        role: that the app logs in as.
        about: release.json of the release that runs; empty where it cannot be read.
        path: of that release in the workspace; empty without one.
    """

    place: Site | Workspace
    app: App
    role: str
    about: Mapping[str, Any]
    path: str

    @property
    def schema(self) -> str:
        """The schema of everything that the app makes: by its release, else by the settings."""
        stated = _SCHEMA
        if isinstance(self.place, Site) and not self.place.project.bare:
            stated = self.place.project.settings.database.schema_
        return str(self.about.get("schema") or stated)

    @cached_property
    def migrations(self) -> tuple[Migration, ...] | None:
        """Those of the release that runs, in the journal's order; None where the release cannot be read."""
        file = ((self.about.get("parts") or {}).get("migrations") or {}).get("file")
        if not (file and self.path):
            return None
        try:
            packed = workspace_of(self.place).files.read(f"{self.path}/{file}")
        except DeployError as e:
            if e.code is not Code.PERMISSION_DENIED:
                raise
            return None
        return None if packed is None else journal(packed)


def look(place: Site | Workspace, app: App) -> Deployed:
    """The app's side; two or three requests."""
    path = app.active.source_code_path if app.active else str(app.raw.get("default_source_code_path") or "")
    return Deployed(place, app, role_of(place, app), _about(place, path), path)


def role_of(place: Site | Workspace, app: App) -> str:
    """The role that the app logs in as: its principal's, unless the settings name another login."""
    if not databases.attached(app.resources).identity:
        return external.login(place, app)[0].user
    if not isinstance(place, Site):
        return app.principal
    if named := external.environment(place, app).get(_PRINCIPAL, {}).get("value"):
        return str(named)
    if not place.project.bare and (login := place.project.settings.database.login):
        return login.client_id
    return app.principal


def journal(packed: bytes) -> tuple[Migration, ...] | None:
    """The migrations in a release's archive; None for one that is not as this tool packs it."""
    with suppress(ValueError, KeyError):
        files = {entry.path: entry.content for entry in archive.unpack(packed)}
        entries = json.loads(files["drizzle/meta/_journal.json"])["entries"]
        return tuple(
            Migration(e["tag"], int(e["when"]), hashlib.sha256(sql).hexdigest(), sql.decode())
            for e in entries
            for sql in (files[f"drizzle/{e['tag']}.sql"],)
        )
    return None


_MADE = re.compile(
    r'^\s*(CREATE|DROP) (TABLE|TYPE) (?:IF (?:NOT )?EXISTS )?"[^"]+"\."([^"]+)"', re.IGNORECASE | re.MULTILINE
)
_RENAMED = re.compile(
    r'^\s*ALTER (TABLE|TYPE) "[^"]+"\."([^"]+)" RENAME TO "([^"]+)"', re.IGNORECASE | re.MULTILINE
)


def objects_of(migrations: tuple[Migration, ...]) -> frozenset[str]:
    """Names of the tables and types that are there after these migrations, as the migrator reads them from the SQL."""
    names: set[str] = set()
    for statement in (s for one in migrations for s in one.sql.split("--> statement-breakpoint")):
        for verb, _, name in _MADE.findall(statement):
            (names.add if verb.upper() == "CREATE" else names.discard)(name)
        for _, before, after in _RENAMED.findall(statement):
            names.discard(before)
            names.add(after)
    return frozenset(names)


def _about(place: Site | Workspace, path: str) -> Mapping[str, Any]:
    if not path:
        return {}
    try:
        found = json.loads(workspace_of(place).files.read(f"{path}/release.json") or b"{}")
    except (ValueError, DeployError):  # of another's code, or not for this login
        return {}
    return found if isinstance(found, dict) else {}
