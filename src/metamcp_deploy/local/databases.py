"""Lakebase autoscaling as the embedded workspace keeps it: projects, branches, databases, endpoints, roles.

A project's first branch (`production`), endpoint (`primary`) and database (`databricks_postgres`) come with it.
"""

from __future__ import annotations

import re
import time
import uuid
from typing import Any

from metamcp_deploy.local.answers import exists, invalid, missing, stamp
from metamcp_deploy.local.lakebase import Lakebase
from metamcp_deploy.local.store import Store

_ID = re.compile(r"[a-z][a-z0-9-]{0,62}")
_POSTGRES_NAME = re.compile(r"[a-z_][a-z0-9_$-]{0,62}")
SHORTEST_ID = 4  # of databases and roles


class Databases:
    """What the API's resource names stand for, over one real Postgres."""

    def __init__(self, store: Store, lakebase: Lakebase, user: str) -> None:
        self.store = store
        self.lakebase = lakebase
        self.user = user
        self.projects = store.family("projects")

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
                raise missing(f"{kind[:-1]} {'/'.join(words[: 2 * depth + 2])} not found")
            here = here[kind][identifier]
        return here

    async def create_project(self, project_id: str, spec: dict[str, Any]) -> str:
        """Makes a project with its implicit branch, endpoint and database; returns its name."""
        name = f"projects/{project_id}"
        branch = self._branch(f"{name}/branches/production", default=True)
        await self.lakebase.ensure_role(self.user)
        endpoint = _endpoint(branch["name"], "primary", {"endpoint_type": "ENDPOINT_TYPE_READ_WRITE"})
        branch["endpoints"]["primary"] = endpoint
        database = {"postgres_database": "databricks_postgres"}
        branch["databases"]["databricks-postgres"] = await self._database(
            branch["name"], "databricks-postgres", database
        )
        # Whole or not at all: whoever asks meanwhile, or after a kill -9, finds no project without its branch.
        self.projects[project_id] = _made(name) | {
            "project_id": project_id,
            "branches": {"production": branch},
            "display_name": spec.get("display_name") or project_id,
            "pg_version": 16,
            "settings": {k: v for k, v in spec.items() if k not in ("display_name", "pg_version")},
        }
        self.store.save()
        return name

    def _branch(self, name: str, *, default: bool) -> dict[str, Any]:
        owner = _made(f"{name}/roles/owner") | {"role_id": "owner", "postgres_role": self.user}
        return _made(name) | {
            "branch_id": name.rpartition("/")[2],
            "default": default,
            "databases": {},
            "endpoints": {},
            "roles": {"owner": owner},
        }

    def create_endpoint(self, parent: str, endpoint_id: str, spec: dict[str, Any]) -> str:
        """Makes an endpoint's record; all of them lead to the one Postgres. Its name."""
        made = _endpoint(parent, endpoint_id, spec)
        self.resource(parent)["endpoints"][endpoint_id] = made
        self.store.save()
        return str(made["name"])

    def create_role(self, parent: str, role_id: str, spec: dict[str, Any]) -> str:
        """Makes a role's record: one that owns databases and cannot log in. Its name."""
        name = f"{parent}/roles/{role_id}"
        made = _made(name) | {"role_id": role_id, "postgres_role": spec.get("postgres_role") or role_id}
        self.resource(parent)["roles"][role_id] = made
        self.store.save()
        return name

    async def create_database(self, parent: str, database_id: str, spec: dict[str, Any]) -> str:
        """Makes a database in Postgres, with the user able to connect and create in it; its name.

        Raises:
            ApiError: 400 for a name Postgres refuses or without an owner, 404 for an owner that is no role, 409 when
                the branch has it under another id.
        """
        branch = self.resource(parent)
        if not spec.get("role"):
            raise invalid("Missing required field: spec.role")
        self.resource(str(spec["role"]))
        made = await self._database(parent, database_id, spec)
        if made["postgres_database"] in {d["postgres_database"] for d in branch["databases"].values()}:
            raise exists(f"database {made['postgres_database']} already exists in {parent}")
        branch["databases"][database_id] = made
        self.store.save()
        return str(made["name"])

    async def _database(self, parent: str, database_id: str, spec: dict[str, Any]) -> dict[str, Any]:
        postgres_name = spec.get("postgres_database") or database_id.replace("-", "_")
        if not _POSTGRES_NAME.fullmatch(postgres_name):
            raise invalid(f"{postgres_name!r} is not the name of a Postgres database")
        physical = self._physical(parent, postgres_name)
        await self.lakebase.create_database(physical)
        await self.lakebase.grant(self.user, physical)
        return _made(f"{parent}/databases/{database_id}") | {
            "database_id": database_id,
            "postgres_database": postgres_name,
            "physical": physical,
            "role": spec.get("role") or f"{parent}/roles/owner",
        }

    def _physical(self, parent: str, postgres_name: str) -> str:
        """The name in the one Postgres behind all projects: the same, unless another branch uses it already."""
        mine = f"{parent}/"
        taken = {
            d["physical"]
            for p in self.projects.values()
            for b in p["branches"].values()
            for d in b["databases"].values()
            if not d["name"].startswith(mine)
        }
        if postgres_name not in taken:
            return postgres_name
        _, project, _, branch = parent.split("/")
        return f"{postgres_name[:40]}_{uuid.uuid5(uuid.NAMESPACE_URL, f'{project}/{branch}/{postgres_name}').hex[:8]}"

    async def delete(self, name: str) -> None:
        """Deletes a resource and what is below it, with the data."""
        record = self.resource(name)
        for physical in _physicals(record):
            await self.lakebase.drop_database(physical)
        parent, kind, identifier = name.rsplit("/", 2) if name.count("/") > 1 else ("", *name.split("/"))
        holder = self.resource(parent)[kind] if parent else self.projects
        del holder[identifier]
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
            raise missing(f"branch {branch} has no endpoint")
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


def _endpoint(parent: str, endpoint_id: str, spec: dict[str, Any]) -> dict[str, Any]:
    return _made(f"{parent}/endpoints/{endpoint_id}") | {"endpoint_id": endpoint_id, "spec": spec}


def _made(name: str) -> dict[str, Any]:
    return {"name": name, "uid": str(uuid.uuid4()), "create_time": stamp(time.time())}


def _physicals(record: dict[str, Any]) -> list[str]:
    if "physical" in record:
        return [record["physical"]]
    below = (child for kind in ("branches", "databases") for child in record.get(kind, {}).values())
    return [physical for child in below for physical in _physicals(child)]
