"""What may be asked of Lakebase's resources after they are made: PATCH, DELETE, and one more of them.

Source of the refusals' texts: the fake workspace of Databricks' own command line (libs/testserver/postgres.go, v1.13),
which notes those that were seen on the platform.
"""

from __future__ import annotations

import re
import time
from typing import Any

from metamcp_deploy.local.api.errors import ApiError, invalid
from metamcp_deploy.local.lakebase import branches, records, specs
from metamcp_deploy.local.lakebase.autoscaling import Databases

_POSTGRES_NAME = re.compile(r"[a-z_][a-z0-9_$-]{0,62}")
_EXPIRY = frozenset({"expire_time", "ttl", "no_expiry"})


def check_database(databases: Databases, parent: str, spec: dict[str, Any]) -> None:
    """Refuses at once what can be seen at once.

    Raises:
        ApiError: 400 for a name Postgres refuses, one the branch has under another id, or without an owner; 404
            for an owner that is no role.
    """
    if not spec.get("role"):
        text = "Field 'database.spec.role' is required, expected non-default value (not \"\")!"
        raise invalid(text)
    databases.resource(str(spec["role"]))
    name = str(spec.get("postgres_database") or "")
    if name and not _POSTGRES_NAME.fullmatch(name):
        raise invalid(f"{name!r} is not the name of a Postgres database")
    if name in {d["postgres_database"] for d in databases.resource(parent)["databases"].values()}:
        raise ApiError(400, "BAD_REQUEST", "database with that name already exists")


def check_role(databases: Databases, parent: str, spec: dict[str, Any]) -> None:
    """Refuses a second id for a role of Postgres.

    Raises:
        ApiError: 400.
    """
    roles = databases.resource(parent)["roles"].values()
    if str(spec.get("postgres_role") or "") in {r["postgres_role"] for r in roles}:
        raise ApiError(400, "BAD_REQUEST", "role with that name already exists")


def update(databases: Databases, name: str, spec: Any, mask: str) -> None:
    """PATCH: the fields of a spec that the mask names.

    Raises:
        ApiError: 400, 404.
    """
    record = databases.resource(name)
    kind = name.split("/")[-2]
    if kind == "databases":
        changed = specs.masked(kind, {k: record[k] for k in ("role", "postgres_database")}, spec, mask)
        if changed.get("postgres_database") != record["postgres_database"]:
            raise ApiError(501, "NOT_IMPLEMENTED", "The embedded workspace does not rename databases.")
        databases.resource(changed["role"])
        record["role"] = changed["role"]
    elif kind == "projects":
        _update_project(databases, record, spec, mask)
    elif kind == "branches":
        changed = specs.masked(kind, {"is_protected": record["is_protected"]}, spec, mask)
        record["is_protected"] = bool(changed.get("is_protected"))
        if _EXPIRY & set(changed):
            record["expires"] = branches.expiry(changed, time.time())
    elif kind == "endpoints":
        record["spec"] = specs.masked(kind, record["spec"], spec, mask)
    else:
        held = {k: record[k] for k in specs.FIELDS["roles"] & set(record)}
        record.update(specs.masked(kind, held, spec, mask))
    databases.store.save()


def _update_project(databases: Databases, record: dict[str, Any], spec: Any, mask: str) -> None:
    own = {k: record[k] for k in ("display_name", "pg_version", "default_branch")}
    changed = specs.project_defaults(specs.masked("projects", own | record["settings"], spec, mask))
    if changed["pg_version"] != record["pg_version"]:
        raise invalid("Field spec.pg_version is immutable")
    databases.resource(changed["default_branch"])
    for name in own:
        record[name] = changed.pop(name)
    record["settings"] = changed


def check_delete(databases: Databases, name: str, heir: str | None = None) -> None:
    """Refuses what the platform keeps: what came with its parent, what is protected, its parents, who owns something.

    Args:
        databases: with all resources.
        name: of what is to be deleted.
        heir: the role that a role's databases go to (`reassign_owned_to`).

    Raises:
        ApiError: 400 BAD_REQUEST, 404.
    """
    record = databases.resource(name)
    kind = name.split("/")[-2]
    if kind == "projects" and any(b["is_protected"] for b in record["branches"].values()):
        raise ApiError(400, "BAD_REQUEST", "cannot delete a project with a protected branch")
    if kind == "roles":
        below = databases.resource(name.rsplit("/", 2)[0])["databases"].values()
        owned = [d for d in below if d["role"] == name]
        if owned and heir is None:
            # As Postgres' DROP ROLE (2BP01); the words are a guess.
            raise ApiError(400, "BAD_REQUEST", f"cannot delete role {name}: it owns {owned[0]['name']}")
        for database in owned:
            database["role"] = databases.resource(str(heir))["name"]
    if kind == "endpoints" and record["spec"]["endpoint_type"] == records.READ_WRITE:
        text = f"Cannot delete read-write endpoint '{name}'. Read-write endpoints cannot be deleted."
        raise ApiError(400, "BAD_REQUEST", text)
    if kind != "branches":
        return
    if record["is_protected"]:
        raise ApiError(400, "BAD_REQUEST", "cannot delete protected branch")
    if record["root"]:
        text = f"Cannot delete root branch '{name}'. Root branches cannot be deleted independently."
        raise ApiError(400, "BAD_REQUEST", text)
    siblings = databases.resource(name.rsplit("/", 2)[0])["branches"].values()
    if children := [b["name"] for b in siblings if b.get("source_branch") == name]:
        raise ApiError(400, "BAD_REQUEST", f"cannot delete branch {name}: it has children ({children[0]})")
