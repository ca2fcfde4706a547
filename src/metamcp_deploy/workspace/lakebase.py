"""Lakebase autoscaling: project, branch, endpoint, database. What changes something is an operation that takes time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace.api import Api
from metamcp_deploy.workspace.clock import poll

_ROOT = "/api/2.0/postgres"
_WITHIN_SECONDS = 1200.0
_OWNER = "metamcp-owner"
_ID_OF = {
    "projects": "project_id",
    "branches": "branch_id",
    "endpoints": "endpoint_id",
    "databases": "database_id",
    "roles": "role_id",
}


_HINT = "Run the same command again: it goes on from there; or wait longer: --set waits.database=SECONDS"


class Lakebase:
    """Databases of a workspace; names are whole paths (`projects/P/branches/B`)."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def find(self, name: str) -> dict[str, Any] | None:
        """What the workspace says of a project, branch, endpoint or database; None when there is none."""
        return self._api.find(f"{_ROOT}/{name}")

    def create(self, name: str, spec: Mapping[str, Any], within: float = _WITHIN_SECONDS) -> bool:
        """Makes a thing and waits until it is there.

        A project comes with its branch `production` and that branch's endpoint `primary`.

        Args:
            name: whole path; without an id of its own the platform would generate one.
            spec: of the thing.
            within: seconds to wait.

        Returns:
            False when it was there, or somebody else is making it.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        collection, wanted_id = name.rsplit("/", 1)
        query = {_ID_OF[collection.rsplit("/", 1)[-1]]: wanted_id}
        try:
            operation = self._api.call(
                "POST", f"{_ROOT}/{collection}", query=query, body={"spec": dict(spec)}
            )
        except DeployError as e:
            # Databases and roles that are there are refused with 400 instead of 409.
            there = e.code is Code.ALREADY_EXISTS
            if there or (e.code is Code.REQUEST_REFUSED and self.find(name) is not None):
                self._visible(name, within)
                return False
            raise
        self._finished(operation, f"make {name}", within)
        return True

    def change(self, name: str, spec: Mapping[str, Any], within: float = _WITHIN_SECONDS) -> None:
        """Changes these fields of a thing's spec and no others, and waits until that is done.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        query = {"update_mask": ",".join(f"spec.{field}" for field in sorted(spec))}
        operation = self._api.call("PATCH", f"{_ROOT}/{name}", query=query, body={"spec": dict(spec)})
        self._finished(operation, f"change {name}", within)

    def create_database(
        self, name: str, postgres_name: str, user: str, within: float = _WITHIN_SECONDS
    ) -> bool:
        """Makes a database; False when it was there.

        Args:
            name: whole path.
            postgres_name: what Postgres calls it.
            user: whose role owns it. Where the branch has none for them, one is made that nobody logs in as: the
                platform wants an owner named.
            within: seconds to wait.
        """
        branch = _parent(name)
        role = self.role(branch, user) or self._owner(branch, within)
        return self.create(name, {"postgres_database": postgres_name, "role": role}, within)

    def branch_at(self, name: str, source: str, at: str, within: float = _WITHIN_SECONDS) -> bool:
        """Makes a branch with the data that another had at a moment (RFC 3339); True when it was made.

        It needs CAN MANAGE on the project, and takes with it databases and roles; its endpoint may come by itself.
        """
        spec = {"source_branch": source, "source_branch_time": at, "no_expiry": True}
        return self._ensure(name, spec, within)

    def delete(self, name: str, within: float = _WITHIN_SECONDS) -> None:
        """Deletes a thing with all that is in it, and waits until it is gone; one that is not there is fine.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        try:
            self._api.call("DELETE", f"{_ROOT}/{name}")
        except DeployError as e:
            if e.code is not Code.NOT_FOUND:
                raise
            return
        poll(
            lambda: True if self.find(name) is None else None,
            what=f"{name} to be gone",
            within=within,
            hint="Run the same command again; or wait longer: --set waits.database=SECONDS",
            clock=self._api.clock,
        )

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

    def ensure_endpoint(self, name: str, within: float = _WITHIN_SECONDS) -> bool:
        """Makes a read-write endpoint; True when it was made."""
        return self._ensure(name, {"endpoint_type": "ENDPOINT_TYPE_READ_WRITE"}, within)

    def role(self, branch: str, user: str) -> str | None:
        """The name of the branch's role of a user or client id; None when there is none that can be seen."""
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

    def _owner(self, branch: str, within: float) -> str:
        """A role that owns databases and nothing else, as databricks.yml has it; made when it is missing."""
        name = f"{branch}/roles/{_OWNER}"
        self.create(name, {"postgres_role": _OWNER.replace("-", "_"), "auth_method": "NO_LOGIN"}, within)
        return name

    def _ensure(self, name: str, spec: Mapping[str, Any], within: float) -> bool:
        return self.find(name) is None and self.create(name, spec, within)

    def appears(self, name: str, within: float) -> bool:
        """Whether a thing that another brings with it is there within so many seconds."""
        try:
            self._visible(name, within)
        except DeployError as e:
            if e.code is Code.DEADLINE:
                return False
            raise
        return True

    def _visible(self, name: str, within: float) -> None:
        """Waits for a thing that somebody is making, or made a moment ago."""
        poll(
            lambda: self.find(name),
            what=f"{name} to be there",
            within=within,
            hint=_HINT,
            clock=self._api.clock,
        )

    def _finished(self, operation: dict[str, Any], what: str, within: float) -> None:
        def look() -> dict[str, Any] | None:
            state: dict[str, Any] = (
                operation if operation.get("done") else self._api.call("GET", f"{_ROOT}/{operation['name']}")
            )
            return state if state.get("done") else None

        ended = poll(look, what=f"Lakebase to {what}", within=within, hint=_HINT, clock=self._api.clock)
        if error := ended.get("error"):
            raise DeployError(
                Code.REQUEST_REFUSED,
                f"Lakebase could not {what}: {error.get('error_code') or error.get('code') or ''} "
                f"{error.get('message', '')}".rstrip(),
                hint="Look at the Lakebase project in the workspace, then run the same command again.",
            )


def _parent(name: str) -> str:
    return name.rsplit("/", 2)[0]
