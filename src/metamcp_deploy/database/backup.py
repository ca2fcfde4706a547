"""`db backup`: MetaMCP's schema in one file of pg_dump's own format, proved by restoring it beside."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metamcp_deploy import __version__, atomic, events, fingerprint, process
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import content, encryption, forwarder, opening, tools
from metamcp_deploy.database import server as servers
from metamcp_deploy.database.facts import asking
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.postgres import Cluster, binaries

if TYPE_CHECKING:
    import psycopg

    from metamcp_deploy.database.opening import Opened

_STATEMENT_SECONDS = 600.0  # reading every row of a large table


@dataclass(frozen=True)
class About:
    """What stands beside a backup, in `FILE.json`.

    Attributes:
        app: whose data they are.
        host: of the workspace.
        schema: that was saved.
        owner: of the schema.
        server: version of PostgreSQL.
        release: that ran; empty where that is not known.
        at: when (ISO 8601, UTC).
        sha256: of the file.
        bytes: of the file.
        encrypted: whether a passphrase opens it.
        tables: table → rows and the sum of their hashes.
        tool: version of this tool.
    """

    app: str
    host: str
    schema: str
    owner: str
    server: str
    release: str
    at: str
    sha256: str
    bytes: int
    encrypted: bool
    tables: Mapping[str, list[str]]
    tool: str = __version__


@dataclass(frozen=True)
class Saved:
    """A backup that was written; `proof` says how it was checked."""

    path: Path
    about: About
    proof: str
    seconds: float


def beside(path: Path) -> Path:
    """Where what is known of a backup stands."""
    return path.with_name(f"{path.name}.json")


def save(project: Project, path: Path, *, passphrase: Secret | None = None, overwrite: bool = False) -> Saved:
    """Writes a backup, whole or not at all.

    Args:
        project: with the target's settings.
        path: of the file.
        passphrase: encrypts it.
        overwrite: over one that is there.

    Raises:
        DeployError: FILE_ACCESS for a file that is there, TOOL_MISSING without pg_dump of the server's version,
            NOT_FOUND without a schema, DATABASE_REFUSED where this login may not read all of it.
    """
    began = time.monotonic()
    _checked_path(path, overwrite)
    with opening.opened(project, statement_timeout=_STATEMENT_SECONDS) as seen, _work(path) as folder:
        _readable(seen)
        dump_tool = tools.program("pg_dump", seen.settings.major)
        plain = folder / "dump"
        tables = _dumped(seen, dump_tool, plain)
        events.emit(events.Progress("checks the backup"))
        proof = prove(plain, seen.schema.name, tables, seen.settings.major)
        final = plain
        if passphrase is not None:
            final = folder / "encrypted"
            encryption.encrypt(plain, final, passphrase)
        about = About(
            app=seen.app.name,
            host=servers.workspace_of(seen.place).host,
            schema=seen.schema.name,
            owner=str(seen.schema.owner),
            server=seen.settings.version,
            release=str(seen.deployed.about.get("id") or ""),
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            sha256=fingerprint.of_file(final),
            bytes=final.stat().st_size,
            encrypted=passphrase is not None,
            tables=tables,
        )
        final.chmod(0o600)
        os.replace(final, path)  # noqa: PTH105 -- one name, two files: pathlib has the same
        atomic.write(beside(path), json.dumps(asdict(about), indent=1) + "\n", 0o600)
    return Saved(path, about, proof, time.monotonic() - began)


def _checked_path(path: Path, overwrite: bool) -> None:
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise DeployError(
            Code.FILE_ACCESS, f"{path} is no place for a file.", hint="Name a file in a folder that exists."
        )
    if path.exists() and not overwrite:
        raise DeployError(
            Code.FILE_ACCESS,
            f"{path} exists already.",
            hint="Name another file, or write over it: metamcp-deploy db backup --overwrite FILE",
        )


@contextmanager
def _work(path: Path) -> Iterator[Path]:
    """A private folder beside the file: the same file system, so that the file comes at once."""
    folder = Path(tempfile.mkdtemp(prefix=".metamcp-backup-", dir=path.absolute().parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _readable(seen: Opened) -> None:
    found = seen.schema
    if not found.exists or not found.objects:
        raise DeployError(
            Code.NOT_FOUND,
            f"The database has nothing to save: the schema {found.name} "
            + ("is empty." if found.exists else "is not there."),
            hint="metamcp-deploy db status",
        )
    if not (seen.identity.reads_all or seen.identity.member or seen.identity.superuser):
        raise DeployError(
            Code.DATABASE_REFUSED,
            f"{seen.identity.role} may not read all of the schema {found.name}.",
            hint="As the project's creator: GRANT pg_read_all_data TO "
            f'"{seen.identity.role}"; then run the same command again.',
        )


def _dumped(seen: Opened, tool: Path, target: Path) -> dict[str, list[str]]:
    """Dumps the schema as of one moment; gives the tables' content of just that moment."""
    workspace = servers.workspace_of(seen.place)
    server, login = seen.fresh()
    made = seen.connection
    asking.execute(made, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
    snapshot = asking.row(made, "SELECT pg_export_snapshot() AS id")["id"]
    tables = content.of(made, seen.schema.name)
    events.emit(events.Progress(f"saves {len(tables)} tables of {seen.schema.name}"))
    with forwarder.opened(server, login, workspace.network.trust.combined()) as door:
        words = [
            *("--format=custom", "--compress=6", "--lock-wait-timeout=20s", "--no-password"),
            *(f"--schema={pattern(seen.schema.name)}", f"--snapshot={snapshot}", f"--file={target}"),
        ]
        run(tool, words, door, "Nothing was written.")
    asking.execute(made, "ROLLBACK")
    return tables


def pattern(schema: str) -> str:
    """A schema's name for pg_dump, which takes patterns."""
    return '"' + schema.replace('"', '""') + '"'


def run(tool: Path, words: list[str], door: forwarder.Door, after: str) -> str:
    """Runs a program of PostgreSQL through a door; its standard output.

    Raises:
        DeployError: PROCESS_FAILED with its words.
    """
    done = process.run(
        [tool, *words],
        env={**binaries.ENVIRONMENT, **door.environment},
        hint=f"Look at the words of {tool.name} below. {after}",
    )
    return done.stdout


def prove(dump: Path, schema: str, tables: Mapping[str, list[str]], major: int) -> str:
    """Restores a dump into a throw-away cluster and compares it; where there is none of that version, reads it whole.

    Raises:
        DeployError: BACKUP_INVALID, with what differs.
    """
    if not tools.in_wheel(major):
        process.run([tools.program("pg_restore", major), "--file=/dev/null", dump], env=binaries.ENVIRONMENT)
        return f"read whole (no PostgreSQL {major} is here to restore it into)"
    with Cluster.throwaway() as cluster:
        login = {
            "PGHOST": str(cluster.socket_folder),
            "PGUSER": binaries.SUPERUSER,
            "PGPASSWORD": cluster.password().reveal(),
            "PGDATABASE": binaries.SUPERUSER,
        }
        process.run(
            [
                tools.program("pg_restore", major),
                *("--no-owner", "--no-privileges", "--exit-on-error", "--single-transaction"),
                *(f"--dbname={binaries.SUPERUSER}", dump),
            ],
            env={**binaries.ENVIRONMENT, **login},
            code=Code.BACKUP_INVALID,
            hint="Nothing was written. Look at the words of pg_restore below.",
        )
        with _superuser(cluster) as made:
            restored = content.of(made, schema)
    if different := differences(tables, restored):
        raise DeployError(
            Code.BACKUP_INVALID,
            "The backup, restored into a throw-away cluster, is not what was saved.",
            hint="Nothing was written. Run the same command again; report it if it happens twice.",
            detail="\n".join(different),
        )
    return f"restored into a throw-away PostgreSQL {major}: all rows of {len(tables)} tables are the same"


@contextmanager
def _superuser(cluster: Cluster) -> Iterator[psycopg.Connection[Any]]:
    import psycopg

    with psycopg.connect(cluster.uri().reveal(), autocommit=True) as made:
        yield made


def differences(saved: Mapping[str, list[str]], there: Mapping[str, list[str]]) -> list[str]:
    """The tables whose rows differ, in words."""
    names = sorted({*saved, *there})
    return [
        f"{name}: {saved.get(name, ['no table'])[0]} rows saved, {there.get(name, ['no table'])[0]} there"
        for name in names
        if saved.get(name) != there.get(name)
    ]
