"""Lakebase autoscaling: project, branch, endpoint, database. Each is made only when it is missing."""

from __future__ import annotations

from typing import Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.api import Api
from metamcp_deploy.workspace.clock import poll

_ROOT = "/api/2.0/postgres"
_WITHIN_SECONDS = 900.0
_OWNER = "metamcp-owner"


class Lakebase:
    """Databases of a workspace; names are whole paths (`projects/P/branches/B`)."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, name: str) -> dict[str, Any] | None:
        """What the workspace says of a project, branch, endpoint or database; None when there is none."""
        return self._api.find(f"{_ROOT}/{name}")

    def ensure_project(self, name: str, display_name: str) -> bool:
        """Makes a project (with its branch `production` and endpoint `primary`); True when it was made."""
        return self._ensure(name, "project_id", {"spec": {"display_name": display_name}})

    def ensure_branch(self, name: str) -> bool:
        """Makes a branch from the project's default one; True when it was made."""
        spec = {"source_branch": f"{_parent(name)}/branches/production", "no_expiry": True}
        return self._ensure(name, "branch_id", {"spec": spec})

    def branch_at(self, name: str, source: str, at: str) -> bool:
        """Makes a branch with the data that another had at a moment (RFC 3339); True when it was made.

        It needs CAN MANAGE on the project, and takes with it databases and roles; its endpoint may come by itself.
        """
        spec = {"source_branch": source, "source_branch_time": at, "no_expiry": True}
        return self._ensure(name, "branch_id", {"spec": spec})

    def children(self, parent: str, kind: str) -> list[dict[str, Any]]:
        """All `branches` of a project, or `endpoints`, `databases`, `roles` of a branch."""
        found: list[dict[str, Any]] = []
        query: dict[str, str] = {}
        while True:
            answer = self._api.call("GET", f"{_ROOT}/{parent}/{kind}", query=query)
            found += answer.get(kind) or []
            if not (token := answer.get("next_page_token")):
                return found
            query = {"page_token": token}

    def ensure_endpoint(self, name: str) -> bool:
        """Makes a read-write endpoint; True when it was made."""
        return self._ensure(name, "endpoint_id", {"spec": {"endpoint_type": "ENDPOINT_TYPE_READ_WRITE"}})

    def ensure_database(self, name: str, postgres_name: str, owner: str) -> bool:
        """Makes a database that belongs to a user; True when it was made.

        Args:
            name: `projects/P/branches/B/databases/D`; without an explicit id the platform generates one, and the
                app's resource would point nowhere.
            postgres_name: what Postgres calls it.
            owner: user name; its role owns the database. Where the branch has none for it, one is made that nobody
                logs in as: the platform wants an owner named.
        """
        if self.find(name) is not None:
            return False
        branch = _parent(name)
        role = self._role(branch, owner) or self._owner(branch)
        return self._ensure(name, "database_id", {"spec": {"postgres_database": postgres_name, "role": role}})

    def _role(self, branch: str, user: str) -> str | None:
        """The branch's role of a user; None when there is none that can be seen."""
        try:
            answer = self._api.call("GET", f"{_ROOT}/{branch}/roles")
        except DeployError as e:
            if e.code in (Code.NOT_FOUND, Code.PERMISSION_DENIED):
                return None
            raise
        for role in answer.get("roles", []):
            if (role.get("status") or {}).get("postgres_role") == user:
                return str(role["name"])
        return None

    def _owner(self, branch: str) -> str:
        """A role that owns databases and nothing else, as databricks.yml has it; made when it is missing."""
        name = f"{branch}/roles/{_OWNER}"
        spec = {"postgres_role": _OWNER.replace("-", "_"), "auth_method": "NO_LOGIN"}
        self._ensure(name, "role_id", {"spec": spec})
        return name

    def _ensure(self, name: str, id_parameter: str, body: dict[str, Any]) -> bool:
        if self.find(name) is not None:
            return False
        collection, wanted_id = name.rsplit("/", 1)
        try:
            operation = self._api.call(
                "POST", f"{_ROOT}/{collection}", query={id_parameter: wanted_id}, body=body
            )
        except DeployError as e:
            # Databases and roles that are there are refused with 400 instead of 409.
            there = e.code is Code.ALREADY_EXISTS
            if there or (e.code is Code.REQUEST_REFUSED and self.find(name) is not None):
                return False
            raise
        self._finished(operation, name)
        return True

    def _finished(self, operation: dict[str, Any], name: str) -> None:
        def look() -> dict[str, Any] | None:
            state: dict[str, Any] = (
                operation if operation.get("done") else self._api.call("GET", f"{_ROOT}/{operation['name']}")
            )
            return state if state.get("done") else None

        ended = poll(
            look,
            what=f"Lakebase to make {name}",
            within=_WITHIN_SECONDS,
            hint="Run the same command again: it goes on from there.",
            clock=self._api.clock,
        )
        if error := ended.get("error"):
            raise DeployError(
                Code.REQUEST_REFUSED,
                f"Lakebase could not make {name}: {error.get('error_code') or error.get('code') or ''} "
                f"{error.get('message', '')}".rstrip(),
                hint="Look at the Lakebase project in the workspace, then run the same command again.",
            )


def _parent(name: str) -> str:
    return name.rsplit("/", 2)[0]
