"""`db psql`: psql on the app's database, read only unless asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from metamcp_deploy import process
from metamcp_deploy.config.project import Project
from metamcp_deploy.database import connection, deployed, facts, forwarder, opening, tools
from metamcp_deploy.database import server as servers
from metamcp_deploy.database.ownership import quoted


def psql(project: Project, words: Sequence[str], *, write: bool, seconds: float = opening.SECONDS) -> int:
    """Runs psql with this terminal; its exit code.

    The password is in a file that only the caller can read and that goes with psql; what psql needs is in its own
    environment, nothing in its arguments. Read only is the session's default: a guard against mistakes.

    Args:
        project: with the target's settings.
        words: further arguments of psql.
        write: allow writes.
        seconds: until the database answers.

    Raises:
        DeployError: TOOL_MISSING; as `connection.connect`, before psql starts.
    """
    place, app = opening.app_of(project)
    workspace = servers.workspace_of(place)
    server, login = servers.find(place, app)
    until = time.monotonic() + seconds
    with connection.open_(server, login, workspace, until=until, place=servers.commands_of(place)) as made:
        major = facts.settings(made, "").major
    tool = tools.newest("psql", major)
    schema = deployed.look(place, app).schema
    with forwarder.opened(server, login, workspace.network.trust.combined()) as door:
        start = door.folder / "psqlrc"
        start.write_text(_start(schema, write), encoding="utf-8")
        environment = {
            **process.base_environment("PAGER", "PSQL_PAGER", "EDITOR", "COLUMNS"),
            **door.environment,
        }
        environment["PSQLRC"] = str(start)
        return process.attached([tool, *words], environment)


def _start(schema: str, write: bool) -> str:
    """What psql runs first: the user's own file, then the limits of this session."""
    own = os.environ.get("PSQLRC") or str(Path.home() / ".psqlrc")
    lines = [f"\\i {_literal(own)}"] if Path(own).is_file() else []
    lines.append("\\set QUIET on")
    lines.append(f"SET search_path = {quoted(schema)}, pg_catalog;")
    if not write:
        lines.append("SET default_transaction_read_only = on;")
        lines.append("\\set PROMPT1 '%/ (read only)%R%# '")
    lines.append("\\unset QUIET")
    return "\n".join(lines) + "\n"


def _literal(path: str) -> str:
    return "'" + path.replace("\\", "\\\\").replace("'", "\\'") + "'"
