"""Lakebase autoscaling as the embedded workspace keeps it: projects, branches, databases, endpoints, roles.

A project's first branch (`production`), endpoint (`primary`) and database (`databricks_postgres`) come with it.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

from metamcp_deploy.local.api.errors import ApiError, invalid, not_found
from metamcp_deploy.local.lakebase import records, specs
from metamcp_deploy.local.lakebase.server import Lakebase
from metamcp_deploy.local.store import Store

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
RESERVED_SECONDS = 7 * 86_400.0  # of a deleted project's id (docs.databricks.com, Lakebase: delete a project)
SHORTEST_ID = 4  # of databases and roles
_PERSON = {"identity_type": "USER", "auth_method": "LAKEBASE_OAUTH_V1"}

_IDENTITIES = ("USER", "SERVICE_PRINCIPAL")  # of roles that can log in


class Databases:
    """What the API's resource names stand for, over one real Postgres."""

    def __init__(self, store: Store, lakebase: Lakebase, user: str) -> None:
        self.store = store
        self.lakebase = lakebase
        self.user = user
        self.projects = store.family("projects")
        self.deleted = store.family("deleted_projects")  # their ids are reserved, and they can come back
        for project in self.projects.values():
            _complete(project)

    def resource(self, name: str) -> dict[str, Any]:
        """The record of `projects/P[/branches/B[/databases|endpoints|roles/X]]`.

        Raises:
            ApiError: 404, naming the first part that does not exist.
        """
        words = name.split("/")
        kinds = (("projects",), ("branches",), ("databases", "endpoints", "roles"))
        if len(words) % 2 or len(words) > 6:
            raise invalid(f"{name} is not a resource name")
        here: dict[str, Any] = {"projects": self.projects}
        for depth, (kind, identifier) in enumerate(zip(words[::2], words[1::2], strict=True)):
            if kind not in kinds[depth]:
                raise invalid(f"{name} is not a resource name")
            if identifier not in here[kind]:
                what = "branch" if kind == "branches" else kind[:-1]
                raise not_found(f"{what} id not found: {'/'.join(words[: 2 * depth + 2])}")
            here = here[kind][identifier]
        return here

    async def create_project(self, project_id: str, spec: dict[str, Any], endpoint: dict[str, Any]) -> str:
        """Makes a project with its implicit branch, endpoint (of this size) and database; returns its name."""
        name = f"projects/{project_id}"
        branch = records.branch(f"{name}/branches/production", default=True)
        await self.lakebase.catalog.make_superuser(self.user)
        branch["roles"]["owner"] = records.role(
            branch["name"], "owner", {"postgres_role": self.user, **_PERSON}
        )
        branch["endpoints"]["primary"] = records.endpoint(
            branch["name"], "primary", {"endpoint_type": records.READ_WRITE, **endpoint}
        )
        branch["databases"]["databricks-postgres"] = await self._database(
            branch["name"], "databricks-postgres", {"postgres_database": "databricks_postgres"}
        )
        settings = specs.project_defaults(spec)
        # Whole or not at all: whoever asks meanwhile, or after a kill -9, finds no project without its branch.
        self.projects[project_id] = records.made(name) | {
            "project_id": project_id,
            "branches": {"production": branch},
            "default_branch": branch["name"],
            "display_name": settings.pop("display_name", project_id),
            "pg_version": settings.pop("pg_version", 16),
            "settings": settings,
        }
        self.store.save()
        return name

    async def expire(self, now: float) -> None:
        """Deletes branches whose time is over."""
        for project in list(self.projects.values()):
            for branch in list(project["branches"].values()):
                if (branch.get("expires") or float("inf")) <= now:
                    await self.delete(branch["name"])
        for project in [p for p in self.deleted.values() if p["purged"] <= now]:
            await self.delete(project["name"], purge=True)

    def create_endpoint(self, parent: str, endpoint_id: str, spec: dict[str, Any]) -> str:
        """Makes an endpoint's record; all of them lead to the one Postgres. Its name.

        Raises:
            ApiError: 400 for a second one that writes.
        """
        endpoints = self.resource(parent)["endpoints"]
        kind = spec.get("endpoint_type")
        if kind is None:
            raise invalid("Field 'endpoint.spec.endpoint_type' is required, expected non-default value")
        if kind == records.READ_WRITE and any(e["spec"]["endpoint_type"] == kind for e in endpoints.values()):
            raise ApiError(400, "BAD_REQUEST", f"{parent} has a read-write endpoint already")
        made = records.endpoint(parent, endpoint_id, spec)
        endpoints[endpoint_id] = made
        self.store.save()
        return str(made["name"])

    def create_role(self, parent: str, role_id: str, spec: dict[str, Any]) -> str:
        """Makes a role's record: one that owns databases and cannot log in. Its name."""
        made = records.role(parent, role_id, spec)
        self.resource(parent)["roles"][role_id] = made
        self.store.save()
        return str(made["name"])

    async def create_login(self, parent: str, role_id: str, spec: dict[str, Any]) -> str:
        """Makes a role that a person or service principal logs in with, in Postgres too; its name."""
        await self.lakebase.catalog.ensure_role(str(spec["postgres_role"]))
        return self.create_role(parent, role_id, spec)

    async def create_database(self, parent: str, database_id: str, spec: dict[str, Any]) -> str:
        """Makes a database in Postgres, with the user able to connect and create in it; its name."""
        made = await self._database(parent, database_id, spec)
        owner = self.resource(made["role"])
        if owner.get("identity_type") in _IDENTITIES:
            await self.lakebase.catalog.grant(str(owner["postgres_role"]), made["physical"])
        self.resource(parent)["databases"][database_id] = made
        self.store.save()
        return str(made["name"])

    async def _database(self, parent: str, database_id: str, spec: dict[str, Any]) -> dict[str, Any]:
        postgres_name = spec.get("postgres_database") or database_id.replace("-", "_")
        physical = self.physical(parent, postgres_name)
        await self.lakebase.catalog.create_database(physical)
        await self.lakebase.catalog.grant(self.user, physical)
        return records.made(f"{parent}/databases/{database_id}") | {
            "database_id": database_id,
            "postgres_database": postgres_name,
            "physical": physical,
            "role": spec.get("role") or f"{parent}/roles/owner",
        }

    def physical(self, parent: str, postgres_name: str) -> str:
        """The name in the one Postgres behind all projects: the same, unless another branch uses it already."""
        mine = f"{parent}/"
        taken = {
            d["physical"]
            for p in (*self.projects.values(), *self.deleted.values())
            for b in p["branches"].values()
            for d in b["databases"].values()
            if not d["name"].startswith(mine)
        }
        if postgres_name not in taken:
            return postgres_name
        _, project, _, branch = parent.split("/")
        return f"{postgres_name[:40]}_{uuid.uuid5(uuid.NAMESPACE_URL, f'{project}/{branch}/{postgres_name}').hex[:8]}"

    def named(self, branch: str, postgres_name: str) -> str | None:
        """The database that a name means at an endpoint of a branch; None when the branch has none of that name."""
        try:
            below = self.resource(branch)["databases"].values()
        except ApiError:
            return None  # the branch is gone
        return next((str(d["physical"]) for d in below if d["postgres_database"] == postgres_name), None)

    def endpoints(self) -> list[str]:
        """The full names of all endpoints."""
        branches = [b for p in self.projects.values() for b in p["branches"].values()]
        return [str(e["name"]) for b in branches for e in b["endpoints"].values()]

    def disabled(self) -> set[str]:
        """The full names of the endpoints that take no connections."""
        return {name for name in self.endpoints() if self.resource(name)["spec"].get("disabled")}

    def physicals(self) -> set[str]:
        """All databases of projects, by their names in the one Postgres; also of deleted ones, which can come back."""
        projects = (*self.projects.values(), *self.deleted.values())
        return {name for project in projects for name in _physicals(project)}

    async def delete(self, name: str, *, purge: bool = False, now: float = 0.0) -> None:
        """Deletes a resource and what is below it, with the data; a project only with `purge`, else it can come back.

        Args:
            name: of the resource.
            purge: for good, also a project that was deleted before.
            now: seconds since the epoch.
        """
        project_id = name.removeprefix("projects/")
        if purge and project_id in self.deleted:
            record = self.deleted[project_id]
        elif project_id in self.projects and not purge:
            await self._set_aside(project_id, now)
            return
        else:
            record = self.resource(name)
        for physical in _physicals(record):
            await self.lakebase.catalog.drop_database(physical)
        parent, kind, identifier = name.rsplit("/", 2) if name.count("/") > 1 else ("", *name.split("/"))
        holder = self.resource(parent)[kind] if parent else self.projects
        holder.pop(identifier, None)  # a second request may have come while this one dropped the data
        self.deleted.pop(project_id, None)
        self.store.save()

    async def _set_aside(self, project_id: str, now: float) -> None:
        record = self.projects.pop(project_id)
        self.deleted[project_id] = record | {"deleted": now, "purged": now + RESERVED_SECONDS}
        self.store.save()
        for physical in _physicals(record):
            await self.lakebase.catalog.allow(physical, logins=False)

    async def undelete(self, name: str) -> None:
        """Takes a deleted project back, with its data."""
        project_id = name.removeprefix("projects/")
        record = self.deleted[project_id]
        for physical in _physicals(record):
            await self.lakebase.catalog.allow(physical, logins=True)
        self.projects[project_id] = {k: v for k, v in record.items() if k not in ("deleted", "purged")}
        del self.deleted[project_id]
        self.store.save()

    def attachment(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The database record that an app's postgres resource names.

        Raises:
            ApiError: 400, when branch and database are not full names of existing things that fit each other.
        """
        branch, database = str(resource.get("branch")), str(resource.get("database"))
        if branch.count("/") != 3 or not database.startswith(f"{branch}/databases/"):
            raise invalid(
                "Invalid postgres resource parameters: branch must be projects/{project}/branches/{branch} and "
                "database projects/{project}/branches/{branch}/databases/{database}"
            )
        if resource.get("permission") != "CAN_CONNECT_AND_CREATE":
            raise invalid("Invalid postgres resource parameters: permission must be CAN_CONNECT_AND_CREATE")
        return self.resource(database)

    def endpoint_of(self, branch: str) -> str:
        """The full name of the branch's read-write endpoint: what `valueFrom` a postgres resource gives."""
        endpoints = self.resource(branch)["endpoints"]
        if not endpoints:
            raise not_found(f"branch {branch} has no endpoint")
        return str(next(iter(endpoints.values()))["name"])


def check_id(identifier: str, shortest: int = 1) -> str:
    """The id of a new resource.

    Raises:
        ApiError: 400.
    """
    if not _ID.fullmatch(identifier) or len(identifier) < shortest:
        raise invalid(
            f"{identifier!r} is not a valid id: {shortest} to 63 characters, a lower-case letter first, then "
            "lower-case letters, digits and hyphens"
        )
    return identifier


def _complete(project: dict[str, Any]) -> None:
    """Adds what a project of an earlier version of this tool lacks."""
    project["settings"] = specs.project_defaults(project["settings"])
    project.setdefault("default_branch", f"{project['name']}/branches/production")
    for branch in project["branches"].values():
        branch.setdefault("root", branch["branch_id"] == "production")
        branch.setdefault("is_protected", False)


def _physicals(record: dict[str, Any]) -> list[str]:
    if "physical" in record:
        return [record["physical"]]
    below = (child for kind in ("branches", "databases") for child in record.get(kind, {}).values())
    return [physical for child in below for physical in _physicals(child)]
