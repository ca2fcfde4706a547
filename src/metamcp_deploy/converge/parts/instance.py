"""A database of a provisioned Lakebase instance, the older kind. Its database comes with it: no API makes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from metamcp_deploy import events
from metamcp_deploy.config import database as config
from metamcp_deploy.converge.part import Context, Kind, Part
from metamcp_deploy.converge.parts.lakebase import fields, marking
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, OURS, Action, Change, Difference
from metamcp_deploy.target import marks
from metamcp_deploy.target.databases import Provisioned
from metamcp_deploy.target.ledger import Things

if TYPE_CHECKING:
    from metamcp_deploy.config.model import Waits
    from metamcp_deploy.workspace import Workspace

_LABEL = "database instance"
_LEGACY = "of the older kind: Databricks moves these to Lakebase autoscaling (database.kind: autoscaling)"


def _exists(workspace: Workspace, name: str) -> bool:
    return workspace.instances.find(name) is not None


def _delete(workspace: Workspace, name: str, within: Waits) -> None:
    workspace.instances.delete(name, within.database)


def _creator(workspace: Workspace, name: str) -> str:
    return str((workspace.instances.find(name) or {}).get("creator") or "")


def _marked(workspace: Workspace, name: str, root: str) -> bool | None:
    return marks.said((workspace.instances.find(name) or {}).get(fields.TAGS), root)


class InstancePart(Part):
    """An instance that is missing is made, a stopped one started, what the settings state kept; nothing is deleted."""

    kinds = (
        Kind(
            *("instance", _LABEL, "database", _exists, _delete),
            creator=_creator,
            marked=_marked,
            others=marks.SAYS_ANOTHER,
        ),
    )

    @classmethod
    def of(cls, context: Context) -> InstancePart | None:
        """For `database.kind: provisioned`."""
        wanted = context.desired.database
        return cls(context, wanted) if isinstance(wanted, Provisioned) else None

    def __init__(self, context: Context, wanted: Provisioned) -> None:
        super().__init__(context)
        self.wanted = wanted
        self.found: dict[str, Any] | None = None

    def look(self) -> None:
        """One request."""
        self.found = self.context.workspace.instances.find(self.wanted.name)
        if (
            self.found is None
            and self.wanted.managed
            and self.wanted.database != config.Provisioned.default_name
        ):
            raise DeployError(
                Code.NOT_FOUND,
                f"The database instance {self.wanted.name} would be made with the database "
                f"{config.Provisioned.default_name} alone, and the settings name {self.wanted.database}.",
                hint="Leave database.name out (LAKEBASE_DATABASE_NAME), or name an instance that has that database.",
            )
        if self._state == "DELETING":
            raise self._cannot(
                "is being deleted", "Wait until it is gone, or choose another database.instance."
            )
        if self.wanted.managed or self._state == "AVAILABLE":
            return
        if self.found is None:
            raise self._cannot(
                "is not there", "Ask its owner to make it; database.managed: true lets this tool do it."
            )
        if self._state == "STOPPED":
            raise self._cannot(
                "is STOPPED", "Ask its owner to start it; database.managed: true lets this tool do it."
            )

    def _cannot(self, what: str, hint: str) -> DeployError:
        name, host = self.wanted.name, self.context.workspace.host
        code = Code.NOT_FOUND if self.found is None else Code.REQUEST_REFUSED
        return DeployError(code, f"The database instance {name} of {host} {what}.", hint=hint)

    @property
    def _state(self) -> str:
        return str((self.found or {}).get("state") or "")

    @property
    def _differences(self) -> tuple[Difference, ...]:
        if self.found is None:
            return ()
        stated = self.context.stated("instance", self.wanted.name)
        return fields.differing(self.wanted.held, self.found, stated)

    @property
    def _says(self) -> bool | None:
        """As `Kind.marked`, of the instance as it was looked at."""
        return marks.said((self.found or {}).get(fields.TAGS), self.context.site.root)

    @property
    def _unmarked(self) -> bool:
        """Whether the instance is to get the mark that a version of before did not give it; its maker may do that."""
        mine = (self.found or {}).get("creator") == self.context.workspace.me
        made = self.context.ledger.proves("instance", self.wanted.name)
        return self.wanted.managed and mine and self._says is None and made

    def changes(self) -> tuple[Change, ...]:
        """The instance."""
        name, managed = self.wanted.name, self.wanted.managed
        if self.found is None:
            return (Change(Action.CREATE, _LABEL, name, OURS, f"takes minutes; {_LEGACY}"),)
        creator = str(self.found.get("creator") or "")
        owner = self.context.ledger.owner("instance", name, creator, self._says)
        action, reason = Action.KEEP if managed else Action.CHECK, ""
        if managed and self._state == "STOPPED":
            action, reason = Action.START, "it is STOPPED"
        elif managed and (self._differences or self._unmarked):
            action = Action.CHANGE
        elif self._state != "AVAILABLE":
            action, reason = Action.WAIT, f"it is {self._state}"
        differences = self._differences if managed else ()
        if owner != OURS and action in (Action.START, Action.CHANGE):
            done = "started" if action is Action.START else "changed"
            action, reason = Action.ADOPT, f"made by somebody else, and {done}"
        reason = "; ".join(filter(None, (reason, marking.REASON if self._unmarked else "")))
        return (Change(action, _LABEL, name, owner if managed else ELSEWHERE, reason, differences),)

    def makes(self) -> Things:
        """The instance, where it is missing."""
        return {"instance": [self.wanted.name]} if self.found is None else {}

    def apply(self) -> None:
        """Makes, starts or changes it, and waits for it."""
        instances, name = self.context.workspace.instances, self.wanted.name
        within = self.context.settings.waits.database
        (change,) = self.changes()
        starting, changes = self._state == "STOPPED", fields.spec(change.differences)
        done = "started" if starting else "changed" if changes or self._unmarked else "kept"
        if self.found is None:
            events.emit(events.Warned(f"The database instance {name} is {_LEGACY}."))
            created = marking.marked(self._create, name, self.context.site.root, self.wanted.spec)
            done = "created" if created else "kept"
            self.claim_created(self.kinds[0], name, done == "created")
        elif starting:
            instances.change(name, {"stopped": False})
        if change.differs:
            events.emit(events.Progress(f"waits for the database instance {name} (minutes)"))
            self._available(within, starting)
        if self._unmarked:
            marking.marked(self._change, name, self.context.site.root, changes, self.found)
        elif changes:
            self._change(changes)
        events.emit(events.Changed(done, _LABEL, name))

    def _create(self, spec: Mapping[str, Any]) -> bool:
        return self.context.workspace.instances.create(self.wanted.name, spec)

    def _change(self, spec: Mapping[str, Any]) -> None:
        if spec:
            self.context.workspace.instances.change(self.wanted.name, spec)
            self._available(self.context.settings.waits.database)

    def _available(self, within: float, starting: bool = False) -> None:
        self.context.workspace.instances.available(name=self.wanted.name, within=within, starting=starting)
