"""A database of Lakebase autoscaling: project, branch, endpoint, database."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.converge.part import Context, Kind, Part
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, OURS, Action, Change, Difference
from metamcp_deploy.target.databases import Autoscaling
from metamcp_deploy.target.databases.autoscaling import SUSPENSION, suspension
from metamcp_deploy.target.ledger import Things

if TYPE_CHECKING:
    from metamcp_deploy.config.model import Waits
    from metamcp_deploy.workspace import Workspace

# What a target has of it, in the order of making.
_LABELS = {what: f"Lakebase {what}" for what in ("project", "branch", "endpoint", "role", "database")}
_LATE_SECONDS = 60.0  # for what comes with an existing project


def _exists(workspace: Workspace, name: str) -> bool:
    return workspace.lakebase.find(name) is not None


def _delete(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.lakebase.delete(name, within.database)


def _purge(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.lakebase.delete(name, within.database, purge=True)


def _owner(workspace: Workspace, project: str) -> str:
    return str(((workspace.lakebase.find(project) or {}).get("status") or {}).get("owner") or "")


def _kind(name: str, *inside: str, label: str = "", **more: Any) -> Kind:
    return Kind(name, f"Lakebase {label or name}", "database", _exists, _delete, inside=inside, **more)


_ON_BRANCH = ("project", "branch", "branches")


class LakebasePart(Part):
    """What is missing is made, and what the settings state is changed where it differs; nothing is ever deleted."""

    kinds = (
        # Made by rollbacks; each is deleted before the branch that it came from.
        _kind("branches", "project", label="branch"),
        _kind("database", *_ON_BRANCH),
        _kind("role", *_ON_BRANCH),
        _kind("branch", "project"),
        _kind("endpoint", *_ON_BRANCH, alone=False),
        _kind("project", creator=_owner, purge=_purge),
    )

    @classmethod
    def of(cls, context: Context) -> LakebasePart | None:
        """For `database.kind: autoscaling`."""
        wanted = context.desired.database
        return cls(context, wanted) if isinstance(wanted, Autoscaling) else None

    def __init__(self, context: Context, wanted: Autoscaling) -> None:
        super().__init__(context)
        self.wanted = wanted
        role = {"role": f"{wanted.branch}/roles/{wanted.role[0]}"} if wanted.role else {}
        own = {what: str(getattr(wanted, what)) for what in ("project", "branch", "endpoint", "database")}
        self.names = {what: name for what in _LABELS if (name := (own | role).get(what))}
        self.there: dict[str, dict[str, Any] | None] = {}
        self.ours = False  # the project, once `apply` has made it

    def look(self) -> None:
        """Two requests where nothing exists, three where all does; one more for a principal's role.

        Raises:
            DeployError: NOT_FOUND and REQUEST_REFUSED, for a database of others that is not there or disabled;
                ID_RESERVED, for the id of a deleted project.
        """
        lakebase = self.context.workspace.lakebase
        find = lakebase.find
        self.there = dict.fromkeys(self.names)
        self.there["project"] = find(self.wanted.project)
        makes = self.wanted.managed and not self.there["project"]
        if makes and (hindrance := self.wanted.hindrance(self.context.workspace)):
            raise hindrance
        if self.there["project"]:
            self.there["endpoint"] = find(self.wanted.endpoint)
            self.there["database"] = find(self.wanted.database)
            # Either of them proves that the branch exists, too.
            known = self.there["endpoint"] or self.there["database"]
            self.there["branch"] = {} if known else find(self.wanted.branch)
            if self.wanted.principal and (role := lakebase.role(self.wanted.branch, self.wanted.principal)):
                self.there["role"] = {}
                self.names["role"] = role  # whatever id it was given
        if not self.wanted.managed:
            self._all_there()
        elif self.there["project"] is None and self._names_an_instance():
            name, host = self.wanted.project.removeprefix("projects/"), self.context.workspace.host
            raise DeployError(
                Code.CONFIG_CONFLICT,
                f"{name} is a database instance of {host}, and there is no Lakebase project of that name: one "
                "would be made, and it would be empty.",
                hint=f"To use the instance, set database.kind: provisioned and database.instance: {name}; "
                "for the predecessor's app `metamcp-deploy init --from-predecessor` writes that. For a new project, "
                "choose another database.project (LAKEBASE_INSTANCE_NAME).",
            )

    def _names_an_instance(self) -> bool:
        """Whether the project that is stated is an instance, as LAKEBASE_INSTANCE_NAME of the predecessor was."""
        name = getattr(self.context.settings.database, "project", None)
        if name in (None, self.context.desired.app.name):
            return False
        try:
            return self.context.workspace.instances.find(str(name)) is not None
        except DeployError:
            return False  # a workspace without instances, or one that does not show them

    def _all_there(self) -> None:
        lacking = [
            f"{_LABELS[what]} {self.names[what]}" for what, found in self.there.items() if found is None
        ]
        if lacking:
            raise DeployError(
                Code.NOT_FOUND,
                f"{self.context.workspace.host} has no {', no '.join(lacking)}, and the settings say that the "
                "database is managed elsewhere.",
                hint="Ask its owner to make that, or correct the names in `database`; database.managed: true lets this "
                "tool make it.",
            )
        if self._disabled:
            raise DeployError(
                Code.REQUEST_REFUSED,
                f"The {_LABELS['endpoint']} {self.wanted.endpoint} is disabled: it takes no connection.",
                hint="Ask its owner to enable it (spec.disabled: false); database.managed: true lets this tool do it.",
            )

    @property
    def _disabled(self) -> bool:
        return self._status("endpoint").get("disabled") is True

    def _status(self, what: str) -> Mapping[str, Any]:
        return (self.there.get(what) or {}).get("status") or {}

    def differences(self, what: str) -> tuple[Difference, ...]:
        """The fields of an existing thing that differ; the two fields of suspension count as one."""
        wanted: dict[str, Any] = {}
        if self.wanted.managed and what == "endpoint":
            wanted = _plain({**self._first, **self.wanted.endpoint_spec})
            wanted |= {"disabled": False} if self._disabled else {}
        elif self.wanted.managed and what == "project":
            wanted = {k: v for k, v in self.wanted.project_spec.items() if k in self.wanted.held}
        present = _plain(self._status(what), never=what == "endpoint")
        stated = _plain(self.context.stated(what, self.names[what]))
        return tuple(
            Difference(
                k,
                present.get(k),
                v,
                "hand" if k in stated and _seconds(stated[k]) == _seconds(v) else "settings",
            )
            for k, v in wanted.items()
            if _seconds(present.get(k)) != _seconds(v)
        )

    @property
    def _first(self) -> Mapping[str, Any]:
        """What the endpoint that came with a project of this target was to have, defaults included.

        A server may pass over `initial_endpoint_spec`, so that it is compared after the creation.
        """
        ours = self.context.ledger.has("project", self.wanted.project)
        return self.wanted.first_endpoint if ours and self.wanted.endpoint in self._implicit else {}

    def changes(self) -> tuple[Change, ...]:
        """Project, branch, endpoint, the principal's role, database."""
        return tuple(self._change(what) for what in self.names)

    def _change(self, what: str) -> Change:
        differences = self.differences(what)
        action = Action.KEEP
        if not self.wanted.managed:
            action = Action.CHECK
        elif self.there[what] is None:
            action = Action.CREATE
        elif what == "project" and self._adopts():
            action = Action.ADOPT
        elif differences:
            action = Action.CHANGE
        reasons = ["made by somebody else, and added to"] if action is Action.ADOPT else []
        reasons += (
            ["it is disabled, and enabled"] if what == "endpoint" and self._disabled and differences else []
        )
        return Change(
            action, _LABELS[what], self.names[what], self._owner(what), "; ".join(reasons), differences
        )

    def _owner(self, what: str) -> str:
        if not self.wanted.managed:
            return ELSEWHERE
        if self.there[what] is None or self.context.ledger.has("project", self.wanted.project):
            return OURS
        status = (self.there["project"] or {}).get("status") or {}
        return self.context.ledger.owner(what, self.names[what], str(status.get("owner") or ""))

    def _adopts(self) -> bool:
        """Whether a project of somebody else gets or loses anything."""
        if self.context.ledger.has("project", self.wanted.project):
            return False
        missing = any(found is None for found in self.there.values())
        return missing or any(bool(self.differences(what)) for what in ("project", "endpoint"))

    def makes(self) -> Things:
        """What is missing. What comes with a project is its."""
        if not self.wanted.managed:
            return {}
        return {what: [self.names[what]] for what, found in self.there.items() if found is None}

    def apply(self) -> None:
        """In their order: each is in the one before."""
        if not self.wanted.managed:
            return
        for what in self.names:
            done = self._made(what) if self.there[what] is None else self._changed(what)
            if self.there[what] is None and self._is_ours(what, done):
                self.claim(what, [self.names[what]])
            events.emit(events.Changed(done, _LABELS[what], self.names[what]))

    def _is_ours(self, what: str, done: str) -> bool:
        """Whether this run made what was missing, also where the answer was lost."""
        if what == "project":
            workspace = self.context.workspace
            self.ours = done == "created" or _owner(workspace, self.names[what]) == workspace.me
            return self.ours
        # What comes with a project is whoever's the project is.
        return self.ours or self.names[what] not in self._implicit

    def _made(self, what: str) -> str:
        lakebase, wanted = self.context.workspace.lakebase, self.wanted
        within, name = self.context.settings.waits.database, self.names[what]
        if self._comes_with_project(what):
            return "created"
        if name in self._implicit and lakebase.appears(name, min(within, _LATE_SECONDS)):
            return "kept"
        events.emit(events.Progress(f"makes the {_LABELS[what]} {name}"))
        if what == "database":
            owner = wanted.principal or self.context.workspace.me
            made = lakebase.create_database(name, wanted.postgres_name, owner, within)
        else:
            specs: dict[str, Mapping[str, Any]] = {
                "role": wanted.role[1] if wanted.role else {},
                "project": wanted.project_spec,
                "branch": {"source_branch": f"{wanted.project}/branches/production", "no_expiry": True},
                "endpoint": {"endpoint_type": "ENDPOINT_TYPE_READ_WRITE", **wanted.endpoint_spec},
            }
            first = {"initial_endpoint_spec": wanted.first_endpoint} if what == "project" else {}
            made = lakebase.create(name, specs[what], within, **first)
        if what == "role" and self.there["database"] is not None:
            self._ask_to_grant()
        return "created" if made else "kept"

    def _ask_to_grant(self) -> None:
        """A role that comes after its database may do nothing in it, and no API gives it more."""
        database, role = self.wanted.postgres_name, self.wanted.principal
        text = f"The role of database.principal may not make anything in {database} yet, which was there before it."
        grant = f'GRANT CONNECT, CREATE ON DATABASE "{database}" TO "{role}"'
        events.emit(events.Warned(text, f"As the database's owner: {grant}"))

    def _comes_with_project(self, what: str) -> bool:
        return self.there["project"] is None and self.names[what] in self._implicit

    @property
    def _implicit(self) -> tuple[str, str]:
        """What every project has; unsure whether a project that is being made shows before them."""
        branch = f"{self.wanted.project}/branches/production"
        return branch, f"{branch}/endpoints/primary"

    def _changed(self, what: str) -> str:
        differences = self.differences(what)
        if not differences:
            return "kept"
        name = self.names[what]
        events.emit(events.Progress(f"changes the {_LABELS[what]} {name}"))
        spec: dict[str, Any] = {}
        for difference in differences:
            chosen = suspension(difference.after) if difference.field == "suspension" else {}
            spec |= chosen or {difference.field: difference.after}
        self.context.workspace.lakebase.change(name, spec, self.context.settings.waits.database)
        return "changed"


def _plain(fields: Mapping[str, Any], *, never: bool = False) -> dict[str, Any]:
    """Fields of a spec or status with both of suspension as one, `suspension`: `300s` or `never`.

    Args:
        fields: as the API spells them.
        never: neither of them means that nothing is suspended: a status has the duration alone.
    """
    plain = {k: v for k, v in fields.items() if k not in SUSPENSION}
    after = None if fields.get("no_suspension") else fields.get("suspend_timeout_duration")
    if fields.get("no_suspension") or (never and fields and _seconds(after) in (None, 0.0)):
        after = "never"
    return {**plain, "suspension": after} if after else plain


def _seconds(value: Any) -> Any:
    """A value of a spec so that `300s` and `300.0s` are the same."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)s", value) if isinstance(value, str) else None
    return float(match[1]) if match else value
