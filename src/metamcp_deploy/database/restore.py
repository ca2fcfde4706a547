"""`db restore`: a backup into a database where MetaMCP's schema is not there, or empty; all of it or nothing."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events, fingerprint, process
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import backup, content, encryption, facts, forwarder, opening, owner, tools
from metamcp_deploy.database import server as servers
from metamcp_deploy.database.facts import asking
from metamcp_deploy.database.ownership import quoted
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action, Change, Plan
from metamcp_deploy.postgres import binaries

if TYPE_CHECKING:
    from metamcp_deploy.database.opening import Opened

_STATEMENT_SECONDS = 600.0
_DUMPED_FROM = re.compile(r"Dumped from database version: (\d+)")
_SCHEMA = re.compile(r"^\d+; \d+ \d+ SCHEMA - (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Opening:
    """A backup that is open.

    Attributes:
        file: pg_dump's own format, plain.
        major: of the server that it was taken from.
        schema: in it.
        tables: rows and sums by table, where FILE.json is there.
        list: pg_restore's table of contents.
    """

    file: Path
    major: int
    schema: str
    tables: dict[str, list[str]] | None
    list: str


@dataclass(frozen=True)
class Restored:
    """What a restore did; `compared` is whether the rows were compared with those that were saved."""

    schema: str
    owner: str
    tables: int
    compared: bool
    seconds: float


def plan(project: Project, path: Path, passphrase: Secret | None) -> Plan:
    """What `restore` would do.

    Raises:
        DeployError: as `restore`.
    """
    with _read(path, passphrase) as found, opening.opened(project, as_app=True) as seen:
        chosen = _allowed(seen, found)
        changes = (
            [Change(Action.CREATE, "role", chosen.name)] if "CREATE ROLE" in "".join(chosen.before) else []
        )
        reason = f"{len(found.tables)} tables" if found.tables is not None else "from the backup"
        changes.append(Change(Action.CREATE, "schema", found.schema, owner=chosen.name, reason=reason))
        return Plan(tuple(changes))


def restore(project: Project, path: Path, passphrase: Secret | None) -> Restored:
    """Restores a backup.

    Args:
        project: with the target's settings.
        path: that `backup.save` wrote, or any dump of pg_dump's custom format.
        passphrase: of an encrypted one.

    Raises:
        DeployError: BACKUP_INVALID for a file that is none or was changed, SCHEMA_OCCUPIED, NO_OWNER, TOOL_MISSING.
    """
    began = time.monotonic()
    with (
        _read(path, passphrase) as found,
        opening.opened(project, read_only=False, statement_timeout=_STATEMENT_SECONDS, as_app=True) as seen,
    ):
        with _alone(seen, found.schema):
            chosen = _allowed(seen, found)
            _filled(seen, found, chosen)
        there = content.of(_as_owner(seen, chosen), found.schema)
        if found.tables is not None and (different := backup.differences(found.tables, there)):
            raise DeployError(
                Code.BACKUP_INVALID,
                f"The schema {found.schema} was restored, and is not what was saved.",
                hint="Somebody wrote to it meanwhile, or the file is damaged. Look at it: metamcp-deploy db check",
                detail="\n".join(different),
            )
    return Restored(found.schema, chosen.name, len(there), found.tables is not None, time.monotonic() - began)


@contextmanager
def _read(path: Path, passphrase: Secret | None) -> Iterator[Opening]:
    """Opens a backup, decrypted into a private folder."""
    if not path.is_file():
        raise DeployError(Code.FILE_ACCESS, f"There is no file {path}.", hint="Name the file of a backup.")
    about = _about(path)
    with tempfile.TemporaryDirectory(prefix="metamcp-restore-") as folder:
        file = path
        if encryption.is_encrypted(path):
            if passphrase is None:
                raise DeployError(
                    Code.USAGE,
                    f"{path} is encrypted.",
                    hint="Give its passphrase: metamcp-deploy db restore --passphrase-file FILE BACKUP",
                )
            file = Path(folder, "dump")
            encryption.decrypt(path, file, passphrase)
        listed = _listed(file)
        version, schemas = _DUMPED_FROM.search(listed), _SCHEMA.findall(listed)
        if version is None or len(schemas) != 1:
            raise _invalid(path, f"it holds {len(schemas)} schemas, expected one")
        yield Opening(file, int(version[1]), schemas[0], about and about.get("tables"), listed)


def _about(path: Path) -> dict[str, Any] | None:
    """What is known of the backup; the file has to be the one that it is about."""
    with suppress(OSError, ValueError):
        about: dict[str, Any] = json.loads(backup.beside(path).read_text(encoding="utf-8"))
        if about.get("sha256") != fingerprint.of_file(path):
            raise _invalid(path, f"its content is not the one that {backup.beside(path).name} is about")
        return about
    return None


def _listed(file: Path) -> str:
    done = process.run(
        [tools.newest("pg_restore"), "--list", file],
        env=binaries.ENVIRONMENT,
        code=Code.BACKUP_INVALID,
        hint="Name a file that `metamcp-deploy db backup FILE` wrote.",
    )
    return done.stdout


def _invalid(path: Path, why: str) -> DeployError:
    return DeployError(
        Code.BACKUP_INVALID,
        f"{path} is no backup of MetaMCP's schema: {why}.",
        hint="Take another copy of the file, as `metamcp-deploy db backup FILE` wrote it.",
    )


@contextmanager
def _alone(seen: Opened, schema: str) -> Iterator[None]:
    """Keeps the app from migrating meanwhile: its migrator takes the same lock."""
    key = f"metamcp-deploy migrate {schema}"
    taken = seen.connection.execute(
        "SELECT pg_catalog.pg_try_advisory_lock(pg_catalog.hashtextextended(%s, 0))", (key,)
    ).fetchone()
    if not taken or not taken[0]:
        raise DeployError(
            Code.SCHEMA_OCCUPIED,
            f"Somebody is migrating the schema {schema} right now, or restoring into it.",
            hint="Stop the app (metamcp-deploy stop), then run the same command again.",
        )
    try:
        yield
    finally:
        with suppress(Exception):  # the lock ends with the connection
            seen.connection.execute(
                "SELECT pg_catalog.pg_advisory_unlock(pg_catalog.hashtextextended(%s, 0))", (key,)
            )


def _allowed(seen: Opened, found: Opening) -> owner.Owner:
    """Who will own it.

    Raises:
        DeployError: SCHEMA_OCCUPIED, BACKUP_INVALID for a dump of a newer version, NO_OWNER.
    """
    if found.major > seen.settings.major:
        raise DeployError(
            Code.BACKUP_INVALID,
            f"The backup is of PostgreSQL {found.major}, and the database is {seen.settings.version}: a dump of a "
            "newer version does not load into an older one.",
            hint="Restore it into a database of that version or a newer one.",
        )
    if found.schema != seen.deployed.schema:
        raise DeployError(
            Code.BACKUP_INVALID,
            f"The backup is of the schema {found.schema}, and the app uses {seen.deployed.schema}.",
            hint=f"Set database.schema to {found.schema}, build and deploy; then run the same command again.",
        )
    there = facts.schema(seen.connection, found.schema, seen.deployed.role)
    if there.objects:
        raise DeployError(
            Code.SCHEMA_OCCUPIED,
            f"The schema {found.schema} holds {len(there.objects)} objects: nothing is written over data.",
            hint="Restore into another database or Lakebase branch; or save it (metamcp-deploy db backup FILE), then "
            f"as its owner {there.owner}: DROP SCHEMA {quoted(found.schema)} CASCADE;",
        )
    return owner.choose(seen.connection, seen.identity, found.schema)


def _filled(seen: Opened, found: Opening, chosen: owner.Owner) -> None:
    """Makes the schema as its owner's, and everything in it; nothing of it stays where that fails."""
    tool = tools.program("pg_restore", seen.settings.major)
    made = seen.connection
    name = quoted(found.schema)
    with made.transaction():
        for statement in chosen.before:
            asking.execute(made, statement)
        existing = facts.schema(made, found.schema, seen.deployed.role)
        if existing.exists and existing.owner != chosen.name:
            asking.execute(made, f"ALTER SCHEMA {name} OWNER TO {quoted(chosen.name)}")
        elif not existing.exists:
            asking.execute(made, f"CREATE SCHEMA {name} AUTHORIZATION {quoted(chosen.name)}")
    events.emit(events.Progress(f"restores {found.schema} as {chosen.name}"))
    try:
        _loaded(seen, found, chosen, tool)
    except BaseException:
        if not existing.exists:
            with suppress(Exception), made.transaction():  # it is empty: pg_restore's transaction did not end
                asking.execute(made, f"SET LOCAL ROLE {quoted(chosen.name)}")
                asking.execute(made, f"DROP SCHEMA {name}")
        raise
    with made.transaction():
        for statement in chosen.after:
            asking.execute(made, statement)


def _loaded(seen: Opened, found: Opening, chosen: owner.Owner, tool: Path) -> None:
    server, login = seen.fresh()
    trusted = servers.workspace_of(seen.place).network.trust.combined()
    with forwarder.opened(server, login, trusted) as door:
        kept = door.folder / "contents"
        kept.write_text(_SCHEMA.sub(r";\g<0>", found.list), encoding="utf-8")
        words = [
            *("--no-owner", "--no-privileges", "--no-comments", "--exit-on-error", "--single-transaction"),
            *("--no-password", f"--role={chosen.name}", f"--use-list={kept}"),
            *(f"--dbname={server.database}", str(found.file)),
        ]
        backup.run(tool, words, door, "Nothing was restored.")


def _as_owner(seen: Opened, chosen: owner.Owner) -> Any:
    asking.execute(seen.connection, f"SET ROLE {quoted(chosen.name)}")
    return seen.connection
