"""Lakebase autoscaling: project, branch, endpoint, database, role.

What changes something is an operation that takes time. `clock.poll` waits for it, not the SDK's operations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import sdk_import, services
from metamcp_deploy.workspace.clock import gone, poll
from metamcp_deploy.workspace.services import content, optional
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    from databricks.sdk.service.postgres import PostgresAPI

_WITHIN_SECONDS = 1200.0
_OWNER = "metamcp-owner"
# Collection in a name → the word in the SDK's methods and classes (`get_branch`, `Branch`).
_KINDS = {
    "projects": "project",
    "branches": "branch",
    "endpoints": "endpoint",
    "databases": "database",
    "roles": "role",
}
_HINT = "Run the same command again: it goes on from there; or wait longer: --set waits.database=SECONDS"


class Lakebase:
    """Databases of a workspace; names are whole paths (`projects/P/branches/B`)."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    @property
    def _service(self) -> PostgresAPI:
        return services.postgres(self._transport)

    def _answer(self, verb: str, name: str, *more: Any, **fields: Any) -> dict[str, Any]:
        """Calls the SDK's method for a thing's kind; what is read stays as it came, states and fields included."""
        method = getattr(self._service, f"{verb}_{_kind(name)}")
        return self._transport.answer(lambda: method(*more, **fields))

    def find(self, name: str) -> dict[str, Any] | None:
        """What the workspace reports of a project, branch, endpoint, database or role; None when there is none."""
        return optional(lambda: self._answer("get", name, name))

    def create(self, name: str, spec: Mapping[str, Any], within: float = _WITHIN_SECONDS) -> bool:
        """Creates a thing and waits until it exists.

        A project comes with its branch `production` and that branch's endpoint `primary`.

        Args:
            name: whole path; without an id of its own the platform would generate one.
            spec: of the thing.
            within: seconds to wait.

        Returns:
            False when it existed, or somebody else is creating it.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        kind, wanted_id = _kind(name), name.rsplit("/", 1)[-1]
        fields = {kind: _content(name, spec), f"{kind}_id": wanted_id}
        try:
            operation = self._answer("create", name, *_parents(name), **fields)
        except DeployError as e:
            # Databases and roles that exist are refused with 400 instead of 409.
            existed = e.code is Code.ALREADY_EXISTS
            if existed or (e.code is Code.REQUEST_REFUSED and self.find(name) is not None):
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
        masks = sdk_import.module("common.types.fieldmask")
        mask = masks.FieldMask([f"spec.{field}" for field in sorted(spec)])
        operation = self._answer("update", name, name, _content(name, spec), mask)
        self._finished(operation, f"change {name}", within)

    def create_database(
        self, name: str, postgres_name: str, user: str, within: float = _WITHIN_SECONDS
    ) -> bool:
        """Creates a database; False when it existed.

        Args:
            name: whole path.
            postgres_name: what Postgres calls it.
            user: whose role owns it. Where the branch has none for them, one is created that nobody logs in as: the
                platform wants an owner named.
            within: seconds to wait.
        """
        branch = name.rsplit("/", 2)[0]
        role = self.role(branch, user) or self._owner(branch, within)
        return self.create(name, {"postgres_database": postgres_name, "role": role}, within)

    def branch_at(self, name: str, source: str, at: str, within: float = _WITHIN_SECONDS) -> bool:
        """Creates a branch with the data that another had at a moment (RFC 3339); True when it was created.

        It needs CAN MANAGE on the project, and takes with it databases and roles; its endpoint may come by itself.
        """
        spec = {"source_branch": source, "source_branch_time": at, "no_expiry": True}
        return self._ensure(name, spec, within)

    def delete(self, name: str, within: float = _WITHIN_SECONDS) -> None:
        """Deletes a thing with all that is in it, and waits until it is gone; one that does not exist is fine.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        if optional(lambda: self._answer("delete", name, name)) is not None:
            gone(lambda: self.find(name), name, within, self._transport.clock)

    def children(self, parent: str, collection: str) -> list[str]:
        """Names of all `branches` of a project, or `endpoints`, `databases`, `roles` of a branch."""
        return [str(one.name) for one in getattr(self._service, f"list_{collection}")(parent)]

    def ensure_endpoint(self, name: str, within: float = _WITHIN_SECONDS) -> bool:
        """Creates a read-write endpoint; True when it was created."""
        return self._ensure(name, {"endpoint_type": "ENDPOINT_TYPE_READ_WRITE"}, within)

    def role(self, branch: str, user: str) -> str | None:
        """The name of the branch's role of a user or client id; None when there is none that can be seen."""
        roles = optional(lambda: list(self._service.list_roles(branch)), Code.PERMISSION_DENIED)
        return next((str(r.name) for r in roles or [] if r.status and r.status.postgres_role == user), None)

    def _owner(self, branch: str, within: float) -> str:
        """A role that owns databases and nothing else, as databricks.yml has it; created when it is missing."""
        name = f"{branch}/roles/{_OWNER}"
        self.create(name, {"postgres_role": _OWNER.replace("-", "_"), "auth_method": "NO_LOGIN"}, within)
        return name

    def _ensure(self, name: str, spec: Mapping[str, Any], within: float) -> bool:
        return self.find(name) is None and self.create(name, spec, within)

    def appears(self, name: str, within: float) -> bool:
        """Whether a thing that another brings with it exists within so many seconds."""
        try:
            self._visible(name, within)
        except DeployError as e:
            if e.code is Code.DEADLINE:
                return False
            raise
        return True

    def _visible(self, name: str, within: float) -> None:
        """Waits for a thing that somebody is creating, or created a moment ago."""
        poll(
            lambda: self.find(name),
            what=f"{name} to be there",
            within=within,
            hint=_HINT,
            clock=self._transport.clock,
        )

    def _finished(self, operation: dict[str, Any], what: str, within: float) -> None:
        def look() -> dict[str, Any] | None:
            state = operation
            if not operation.get("done"):
                state = self._transport.answer(lambda: self._service.get_operation(str(operation["name"])))
            return state if state.get("done") else None

        ended = poll(look, what=f"Lakebase to {what}", within=within, hint=_HINT, clock=self._transport.clock)
        if error := ended.get("error"):
            raise DeployError(
                Code.REQUEST_REFUSED,
                f"Lakebase could not {what}: {error.get('error_code') or error.get('code') or ''} "
                f"{error.get('message', '')}".rstrip(),
                hint="Look at the Lakebase project in the workspace, then run the same command again.",
            )


def _kind(name: str) -> str:
    return _KINDS[name.rsplit("/", 2)[-2]]


def _parents(name: str) -> list[str]:
    """What a thing lies inside: nothing for a project."""
    return name.rsplit("/", 2)[:-2]


def _content(name: str, spec: Mapping[str, Any]) -> Any:
    return content("postgres", _kind(name).capitalize(), {"spec": dict(spec)})
