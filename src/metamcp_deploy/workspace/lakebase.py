"""Lakebase autoscaling: project, branch, endpoint, database, role.

What changes something is an operation that takes time. `clock.poll` waits for it, not the SDK's operations.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import knowledge
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.workspace import sdk_import, services
from metamcp_deploy.workspace.clock import gone, poll
from metamcp_deploy.workspace.credential import Credential
from metamcp_deploy.workspace.services import content, optional
from metamcp_deploy.workspace.transport import Transport

if TYPE_CHECKING:
    from databricks.sdk.service.postgres import PostgresAPI

# The fields of which a spec has one.
SUSPENSION = frozenset({"no_suspension", "suspend_timeout_duration"})
_PAGE = 100
_VISIBLE_SECONDS = 300.0  # for what somebody else is creating
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

    def _done(self, verb: str, name: str, within: float, *more: Any, **fields: Any) -> dict[str, Any]:
        """As `_answer`, for what changes something: waits while the thing is busy with an earlier change."""
        call = functools.partial(self._answer, verb, name, *more, **fields)
        return services.when_free(call, name, self._transport.clock, within)

    def find(self, name: str) -> dict[str, Any] | None:
        """What the workspace reports of a project, branch, endpoint, database or role; None when there is none."""
        return optional(lambda: self._answer("get", name, name))

    def deleted(self, project: str) -> dict[str, Any] | None:
        """A project that was deleted, while its id is reserved and `find` gives nothing; None where there is none."""
        listed = functools.partial(self._service.list_projects, page_size=_PAGE, show_deleted=True)
        pages = optional(
            lambda: self._transport.answers(lambda: list(listed())),
            Code.PERMISSION_DENIED,
            Code.REQUEST_REFUSED,
        )
        found = (one for page in pages or [] for one in page.get("projects") or [])
        return next((one for one in found if one.get("name") == project and one.get("delete_time")), None)

    def create(
        self, name: str, spec: Mapping[str, Any], within: float = _WITHIN_SECONDS, **beside: Mapping[str, Any]
    ) -> bool:
        """Creates a thing and waits until it exists.

        A project comes with its branch `production` and that branch's endpoint `primary`.

        Args:
            name: whole path; without an id of its own the platform would generate one.
            spec: of the thing.
            within: seconds to wait.
            beside: what counts at its creation only, as `initial_endpoint_spec`.

        Returns:
            False when it existed, or somebody else is creating it.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE; ID_RESERVED, for the id of a deleted project.
        """
        kind, wanted_id = _kind(name), name.rsplit("/", 1)[-1]
        fields = {kind: _content(name, spec, **beside), f"{kind}_id": wanted_id}
        try:
            operation = self._done("create", name, within, *_parents(name), **fields)
        except DeployError as e:
            # Databases and roles that exist are refused with 400 instead of 409.
            existed = e.code is Code.ALREADY_EXISTS
            if existed or (e.code is Code.REQUEST_REFUSED and self.find(name) is not None):
                self._not_reserved(name)
                self._visible(name, min(within, _VISIBLE_SECONDS))
                return False
            raise
        self._finished(operation, f"make {name}", within)
        self._settled(name, within)
        return True

    def _not_reserved(self, name: str) -> None:
        """Refuses the name of a deleted project, which create calls taken, and find does not know."""
        if _kind(name) == "project" and self.find(name) is None and (deleted := self.deleted(name)):
            raise reserved(deleted)

    def change(self, name: str, spec: Mapping[str, Any], within: float = _WITHIN_SECONDS) -> None:
        """Changes these fields of a thing's spec and no others, and waits until that is done.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        fieldmask = sdk_import.module("common.types.fieldmask").FieldMask
        masks = _masks(spec)
        for paths in masks:
            mask = fieldmask([f"spec.{path}" for path in paths])
            try:
                operation = self._done("update", name, within, name, _content(name, spec), mask)
            except DeployError as e:
                if e.code is not Code.REQUEST_REFUSED or paths is masks[-1]:
                    raise
            else:
                break
        self._finished(operation, f"change {name}", within)
        self._settled(name, within)

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

    def delete(self, name: str, within: float = _WITHIN_SECONDS, purge: bool = False) -> None:
        """Deletes a thing with all that is in it, and waits until it is gone; one that does not exist is fine.

        Args:
            name: whole path.
            within: seconds to wait.
            purge: of a project or branch, for good: it cannot be undeleted, and its id is free at once.

        Raises:
            DeployError: REQUEST_REFUSED, DEADLINE.
        """
        fields = {"purge": True} if purge else {}
        if optional(lambda: self._done("delete", name, within, name, **fields)) is not None:
            listed = self.deleted if purge and _kind(name) == "project" else self.find
            gone(lambda: self.find(name) or listed(name), name, within, self._transport.clock)

    def credential(self, endpoint: str) -> Credential:
        """A new password of this login for an endpoint; earlier ones stay valid.

        Raises:
            DeployError: NOT_FOUND, PERMISSION_DENIED; WORKSPACE_ANSWER without a token.
        """
        made = self._transport.answer(lambda: self._service.generate_database_credential(endpoint))
        return Credential.of(made, endpoint)

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

    def roles(self, branch: str) -> set[str]:
        """What Postgres calls the roles that the workspace lists for a branch."""
        listed = self._service.list_roles(branch)
        return {str(r.status.postgres_role) for r in listed if r.status and r.status.postgres_role}

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

    def _settled(self, name: str, within: float) -> None:
        """Waits until an endpoint or branch is reconciled: until then it refuses the next change."""
        if _kind(name) not in ("endpoint", "branch"):
            return

        def look() -> bool | None:
            return None if ((self.find(name) or {}).get("status") or {}).get("pending_state") else True

        what = f"{name} to be reconciled"
        poll(look, what=what, within=within, hint=_HINT, clock=self._transport.clock)

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


def _content(name: str, spec: Mapping[str, Any], **beside: Mapping[str, Any]) -> Any:
    more = {field: dict(value) for field, value in beside.items()}
    return content("postgres", _kind(name).capitalize(), {"spec": dict(spec), **more})


def _masks(spec: Mapping[str, Any]) -> list[list[str]]:
    """The masks to try for a change: the two fields of suspension are one choice, which newer servers name as one."""
    plain = sorted(spec)
    chosen = sorted({"suspension" if field in SUSPENSION else field for field in plain})
    return [chosen, plain] if chosen != plain else [plain]


def reserved(deleted: Mapping[str, Any]) -> DeployError:
    """The error for the id of a deleted project, as `Lakebase.deleted` gives it."""
    name = str(deleted["name"])
    known = knowledge.by_id("platform", "project-id-reserved")
    until = str(deleted.get("purge_time") or "seven days later")
    return known.error_of(None, {"project": name, "at": str(deleted["delete_time"]), "until": until})
