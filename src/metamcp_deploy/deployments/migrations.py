"""Reports, before a deployment begins, which migrations it brings and how they can be taken back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from metamcp_deploy import events
from metamcp_deploy.deployments import point_in_time, records
from metamcp_deploy.deployments.records import Record, Wanted
from metamcp_deploy.target import databases
from metamcp_deploy.target.databases import Database
from metamcp_deploy.target.site import Site


def report(site: Site, before: Record | None, wanted: Wanted, about: Mapping[str, Any]) -> None:
    """Compares the release's migrations with those of the deployment before it, on the same database.

    New ones: how long `rollback --to-database` reaches the moment before them. Missing ones: the database is ahead.

    Args:
        site: of the target.
        before: record of the newest deployment; None without one.
        wanted: what is deployed.
        about: release.json of its release.
    """
    names = records.journal(about)
    if before is None or names is None or before.migrations is None:
        return
    database = databases.attached(wanted.resources)
    if database.identity != databases.attached(before.resources).identity:
        return
    if ahead := [name for name in before.migrations if name not in names]:
        text = f"The database holds {', '.join(ahead)}, which this release does not know: it runs on the newer schema."
        events.emit(events.Warned(text, "If something is missing, deploy the newer release again."))
    if new := [name for name in names if name not in before.migrations]:
        _way_back(site, ", ".join(new), database)


def _way_back(site: Site, names: str, database: Database) -> None:
    project = database.holder
    if not database.branch_name:
        text = f"This release brings the migrations {names}. Of this kind of database no earlier state can be had."
        events.emit(events.Warned(text, "Where its data matter, make a backup first."))
        return
    kept = point_in_time.kept_seconds(database.find(site.workspace))
    if not kept:
        text = f"This release brings the migrations {names}, and {project} states no history to go back to."
        events.emit(
            events.Warned(text, "database.history_days sets how far back `rollback --to-database` reaches.")
        )
        return
    until = datetime.now(UTC) + timedelta(seconds=kept)
    reach = f"until {until:%Y-%m-%d} `rollback --to-database` reaches the data from before them"
    events.emit(events.Note(f"This release brings the migrations {names}; {reach}."))
