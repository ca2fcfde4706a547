"""Lines that the stream no longer has, from the app's telemetry table, through a SQL warehouse.

The platform exports an app's logs to tables of Unity Catalog where that is set up. The columns are documented for what
it ingests by OpenTelemetry: `time`, `service_name`, `body` (VARIANT). Unsure: whether what an app prints is part of it,
and whether `service_name` is the app's name: a table without rows of it is reported.
"""

from __future__ import annotations

from collections.abc import Iterator

from metamcp_deploy import events
from metamcp_deploy.config.project import Project
from metamcp_deploy.events import LogLine
from metamcp_deploy.workspace import Workspace
from metamcp_deploy.workspace.apps import App

_MOST = 200_000  # lines of one query
_KEEPS = (
    "app.telemetry_export_destinations keeps the lines from now on, and app.telemetry_warehouse names the SQL "
    "warehouse that reads them. In the workspace: the app's page, Settings, App telemetry configuration."
)


def table(project: Project, app: App) -> str | None:
    """Where the app's logs go: as the workspace says, else as the settings do."""
    for destination in app.raw.get("telemetry_export_destinations") or ():
        if name := (destination.get("unity_catalog") or {}).get("logs_table"):
            return str(name)
    stated = project.settings.app.telemetry_export_destinations
    return stated[0].unity_catalog.logs_table if stated else None


def lines(project: Project, workspace: Workspace, since: float, until: float) -> Iterator[LogLine]:
    """The app's lines from `since` on and before `until`; without a table or a warehouse, what would have kept them.

    Raises:
        DeployError: REQUEST_REFUSED, DEADLINE, ...
    """
    app = workspace.apps.get(project.settings.app.name)
    name, warehouse = table(project, app), project.settings.app.telemetry_warehouse
    if name is None or warehouse is None:
        reads = (
            f"The table {name} may have them; app.telemetry_warehouse names the SQL warehouse that reads it."
        )
        lacking = _KEEPS if name is None else reads
        events.emit(events.Note(f"The log stream has no older lines. {lacking}"))
        return
    events.emit(events.Note(f"Older lines come from the table {name}."))
    quoted = ".".join(f"`{part.replace('`', '``')}`" for part in name.split("."))
    rows = workspace.warehouse(warehouse).rows(
        f"SELECT unix_micros(time), body::string FROM {quoted} "  # noqa: S608 - quoted, and no parameter can name a table
        "WHERE service_name = :app AND time >= timestamp_micros(:since) AND time < timestamp_micros(:until) "
        f"ORDER BY time, record_id LIMIT {_MOST}",
        {
            "app": (app.name, "STRING"),
            "since": (str(int(since * 1e6)), "BIGINT"),
            "until": (str(int(until * 1e6)), "BIGINT"),
        },
    )
    count = 0
    for micros, body in rows:
        count += 1
        yield LogLine("APP", (body or "").rstrip("\r\n"), int(micros) / 1e6 if micros else None)
    if count == 0:
        events.emit(events.Note(f"The table {name} has no line of the app {app.name} in that time."))
    elif count == _MOST:
        events.emit(
            events.Warned(f"The table has more than {_MOST} lines of that time; ask for less with --until.")
        )
