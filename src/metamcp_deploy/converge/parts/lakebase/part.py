"""Project, branch, endpoint, role, database: looked at, planned, made and changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from metamcp_deploy import events
from metamcp_deploy.converge.part import Context, Part
from metamcp_deploy.converge.parts.lakebase import fields, kinds, marking, refusals
from metamcp_deploy.errors import DeployError
from metamcp_deploy.plan import ELSEWHERE, OURS, Action, Change, Difference
from metamcp_deploy.target import marks
from metamcp_deploy.target.databases import Autoscaling
from metamcp_deploy.target.ledger import Things

# What a target has of it, in the order of making.
_LABELS = {what: f"Lakebase {what}" for what in ("project", "branch", "endpoint", "role", "database")}
_LATE_SECONDS = 60.0  # for what comes with an existing project


class LakebasePart(Part):
    """What is missing is made, and what the settings state is changed where it differs; nothing is ever deleted."""

    kinds = kinds.KINDS

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
            known = (self.there["endpoint"] or self.there["database"]) and not self.wanted.branch_spec
            self.there["branch"] = {} if known else find(self.wanted.branch)
            if self.wanted.principal and (role := lakebase.role(self.wanted.branch, self.wanted.principal)):
                self.there["role"] = {}
                self.names["role"] = role  # whatever id it was given
        if not self.wanted.managed:
            self._all_there()
        elif self.there["project"] is None and self._names_an_instance():
            raise refusals.named_like_an_instance(
                self.wanted.project.removeprefix("projects/"), self.context.workspace.host
            )
        self._same_version()

    def _same_version(self) -> None:
        present, wanted = (
            self._status("project").get("pg_version"),
            self.wanted.project_spec.get("pg_version"),
        )
        if wanted is not None and present not in (None, wanted):
            raise refusals.other_version(self.wanted.project, present, wanted)

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
        if gone := [
            f"{_LABELS[what]} {self.names[what]}" for what, seen in self.there.items() if seen is None
        ]:
            raise refusals.lacking(self.context.workspace.host, gone)
        if self._disabled:
            raise refusals.disabled(f"{_LABELS['endpoint']} {self.wanted.endpoint}")

    @property
    def _disabled(self) -> bool:
        return self._status("endpoint").get("disabled") is True

    def _status(self, what: str) -> Mapping[str, Any]:
        return fields.status(self.there.get(what))

    def differences(self, what: str) -> tuple[Difference, ...]:
        """The fields of an existing thing that differ; the two fields of suspension count as one."""
        wanted: dict[str, Any] = {}
        if self.wanted.managed and what == "endpoint":
            wanted = {**self._first, **self.wanted.endpoint_spec}
            wanted |= {"disabled": False} if self._disabled else {}
        elif self.wanted.managed and what == "branch":
            wanted = dict(self.wanted.branch_spec)
        elif self.wanted.managed and what == "project":
            wanted = {k: v for k, v in self.wanted.project_spec.items() if k in self.wanted.held}
        stated = self.context.stated(what, self.names[what])
        return fields.differing(wanted, self._status(what), stated, never=what == "endpoint")

    @property
    def _first(self) -> Mapping[str, Any]:
        """What the endpoint that came with a project of this target was to have, defaults included.

        A server may pass over `initial_endpoint_spec`, so that it is compared after the creation.
        """
        return self.wanted.first_endpoint if self._is_made and self.wanted.endpoint in self._implicit else {}

    @property
    def _says(self) -> bool | None:
        """As `Kind.marked`, of the project as it was looked at."""
        return marks.said(self._status("project").get(fields.TAGS), self.context.site.root)

    @property
    def _is_made(self) -> bool:
        """Whether this target made the project."""
        return self.context.ledger.proves("project", self.wanted.project, self._says)

    @property
    def _unmarked(self) -> bool:
        """Whether the project is to get the mark that a version of before did not give it; its owner may do that."""
        mine = self._status("project").get("owner") == self.context.workspace.me
        return self.wanted.managed and mine and self._says is None and self._is_made

    def changes(self) -> tuple[Change, ...]:
        """Project, branch, endpoint, the principal's role, database."""
        return tuple(self._change(what) for what in self.names)

    def _change(self, what: str) -> Change:
        differences, unmarked = self.differences(what), what == "project" and self._unmarked
        action = Action.KEEP
        if not self.wanted.managed:
            action = Action.CHECK
        elif self.there[what] is None:
            action = Action.CREATE
        elif what == "project" and self._adopts():
            action = Action.ADOPT
        elif differences or unmarked:
            action = Action.CHANGE
        reasons = ["made by somebody else, and added to"] if action is Action.ADOPT else []
        reasons += (
            ["it is disabled, and enabled"] if what == "endpoint" and self._disabled and differences else []
        )
        reasons += [marking.REASON] if unmarked else []
        return Change(
            action, _LABELS[what], self.names[what], self._owner(what), "; ".join(reasons), differences
        )

    def _owner(self, what: str) -> str:
        if not self.wanted.managed:
            return ELSEWHERE
        if self.there[what] is None or self._is_made:
            return OURS
        owner = str(self._status("project").get("owner") or "")
        return self.context.ledger.owner(
            what, self.names[what], owner, self._says if what == "project" else None
        )

    def _adopts(self) -> bool:
        """Whether a project of somebody else gets or loses anything."""
        if self._is_made:
            return False
        missing = any(found is None for found in self.there.values())
        return missing or any(bool(self.differences(what)) for what in ("project", "branch", "endpoint"))

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
            if what == "branch" and self.there[what] is None and self.names[what] in self._implicit:
                self._protect()
            if self.there[what] is None and self._is_ours(what, done):
                self.claim(what, [self.names[what]])
            events.emit(events.Changed(done, _LABELS[what], self.names[what]))

    def _is_ours(self, what: str, done: str) -> bool:
        """Whether this run made what was missing, also where the answer was lost."""
        if what == "project":
            workspace, root = self.context.workspace, self.context.site.root
            self.ours = done == "created" or kinds.PROJECT.made_here(workspace, self.names[what], root)
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
                "branch": {
                    "source_branch": f"{wanted.project}/branches/production",
                    "no_expiry": True,
                    **wanted.branch_spec,
                },
                "endpoint": {"endpoint_type": "ENDPOINT_TYPE_READ_WRITE", **wanted.endpoint_spec},
            }
            first = {"initial_endpoint_spec": wanted.first_endpoint} if what == "project" else {}

            def create(spec: Mapping[str, Any]) -> bool:
                return lakebase.create(name, spec, within, **first)

            root = self.context.site.root
            made = marking.marked(create, name, root, specs[what]) if first else create(specs[what])
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
        differences, unmarked = self.differences(what), what == "project" and self._unmarked
        if not (differences or unmarked):
            return "kept"
        name, spec = self.names[what], fields.spec(differences)
        events.emit(events.Progress(f"changes the {_LABELS[what]} {name}"))
        within = self.context.settings.waits.database

        def change(spec: Mapping[str, Any]) -> str:
            if spec:
                self.context.workspace.lakebase.change(name, spec, within)
            return "changed" if spec else "kept"

        if unmarked:
            return marking.marked(change, name, self.context.site.root, spec, self._status("project"))
        return change(spec)

    def _protect(self) -> None:
        """The branch that comes with a project has no spec of its own at its creation."""
        if wanted := {k: v for k, v in self.wanted.branch_spec.items() if v}:
            within = self.context.settings.waits.database
            self.context.workspace.lakebase.change(self.wanted.branch, wanted, within)
