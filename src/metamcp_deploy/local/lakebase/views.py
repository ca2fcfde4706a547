"""Lakebase's resources as GET gives them: `status`, never `spec`."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.local.lakebase.autoscaling import Databases
from metamcp_deploy.local.timing import stamp


def shown(databases: Databases, name: str) -> dict[str, Any]:
    """A resource as GET gives it: `status`, never `spec`."""
    record = databases.resource(name)
    result = {k: record[k] for k in ("name", "uid", "create_time")}
    if "/" in (parent := name.rsplit("/", 2)[0]):
        result["parent"] = parent
    return result | {"status": _status(databases, record)}


def shown_deleted(record: dict[str, Any]) -> dict[str, Any]:
    """A deleted project as a list with `show_deleted` gives it."""
    times = {"delete_time": stamp(record["deleted"]), "purge_time": stamp(record["purged"])}
    known = {k: record[k] for k in ("name", "uid", "create_time")}
    return known | times | {"status": {k: record[k] for k in ("project_id", "display_name", "pg_version")}}


def _status(databases: Databases, record: dict[str, Any]) -> dict[str, Any]:
    if "project_id" in record:
        known = ("project_id", "display_name", "pg_version", "default_branch")
        return {**record["settings"], **{k: record[k] for k in known}, "owner": _owner(databases, record)}
    if "branch_id" in record:
        return _branch_status(databases, record)
    if "endpoint_id" in record:
        # On the platform each endpoint is a host of its own, and the port is always 5432.
        hosts = {"host": databases.lakebase.host, "port": databases.store.family("doors").get(record["name"])}
        state = "IDLE" if record["spec"].get("disabled") else "ACTIVE"
        shown = {"endpoint_id": record["endpoint_id"], "current_state": state, "hosts": hosts}
        return _inherited(databases, record["name"]) | dict(record["spec"]) | shown
    if "database_id" in record:
        return {k: record[k] for k in ("database_id", "postgres_database", "role")}
    of_role = ("role_id", "postgres_role", "identity_type", "auth_method", "attributes", "membership_roles")
    return {k: record[k] for k in of_role if k in record}


def _owner(databases: Databases, project: dict[str, Any]) -> str:
    """Whoever made a project stands first in its access list, where it has one."""
    holders = databases.store.family("acls").get(f"database-{project['name']}") or {}
    return next(iter(holders), "").partition(":")[2] or databases.user


def _branch_status(databases: Databases, record: dict[str, Any]) -> dict[str, Any]:
    project = databases.resource(record["name"].rsplit("/", 2)[0])
    origin = ("source_branch", "source_branch_time", "source_branch_lsn")
    result = {k: record[k] for k in ("branch_id", "is_protected", *origin) if k in record}
    if record.get("expires"):
        result["expire_time"] = stamp(record["expires"])
    return result | {"default": project["default_branch"] == record["name"], "current_state": "READY"}


def _inherited(databases: Databases, endpoint: str) -> dict[str, Any]:
    """What an endpoint takes from its project where its own spec says nothing."""
    settings = databases.resource("/".join(endpoint.split("/")[:2]))["settings"]
    defaults = dict(settings["default_endpoint_settings"])
    if {"no_suspension", "suspend_timeout_duration"} & set(databases.resource(endpoint)["spec"]):
        defaults.pop("suspend_timeout_duration", None)
        defaults.pop("no_suspension", None)
    defaults.pop("pg_settings", None)
    return defaults
