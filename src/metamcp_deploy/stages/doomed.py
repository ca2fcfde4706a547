"""What `destroy` deletes: only what the ledger says this target made, and of that only what is still there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from metamcp_deploy.stages import records
from metamcp_deploy.stages.connection import Site
from metamcp_deploy.stages.converge import ledger
from metamcp_deploy.stages.converge.ledger import Ledger
from metamcp_deploy.stages.converge.plan import OURS, Action, Change, Plan
from metamcp_deploy.stages.records import Record

# Ledger's names by what is asked for together, in the order of deleting: a branch before the one it came from.
APPS = ("app", "former")
DATABASE = ("branches", "database", "role", "branch", "endpoint", "project", "instance")
SECRETS = ("secrets", "scope")
_KINDS = {
    "app": "app",
    "former": "app",
    "branches": "Lakebase branch",
    "database": "Lakebase database",
    "role": "Lakebase role",
    "branch": "Lakebase branch",
    "endpoint": "Lakebase endpoint",
    "project": "Lakebase project",
    "instance": "database instance",
    "secrets": "secret",
    "scope": "secret scope",
}


@dataclass(frozen=True)
class Wishes:
    """What goes besides the app: its data, and its secrets."""

    database: bool = False
    secrets: bool = False


@dataclass(frozen=True)
class Thing:
    """One thing that the target made: its name in the ledger (`what`), and in the workspace."""

    what: str
    name: str


@dataclass(frozen=True)
class Doomed:
    """What a target has, and what of it goes.

    Attributes:
        ledger: as it was read.
        going: in the order of deleting.
        staying: what else the target made.
        others: things of others that the target uses, and why they stay.
        principal: of the app, which owns the tables in the database; empty without one.
        releases: how many are in the workspace.
        deployments: how many are recorded.
        begun: the record of a destruction that was interrupted.
    """

    ledger: Ledger
    going: tuple[Thing, ...]
    staying: tuple[Thing, ...]
    others: tuple[Change, ...]
    principal: str
    releases: int
    deployments: int
    begun: Record | None = None

    @property
    def apps(self) -> list[str]:
        """Apps that go."""
        return [thing.name for thing in self.going if thing.what in APPS]

    @property
    def files_go(self) -> bool:
        """Whether releases go: not while somebody else's app may run one."""
        return not any(change.kind == "app" for change in self.others)

    @property
    def all_goes(self) -> bool:
        """Whether nothing is left that this target made: then its history goes, too."""
        return not self.staying and self.files_go

    @property
    def plan(self) -> Plan:
        """All of it, with what stays."""
        changes = [Change(Action.DELETE, _KINDS[t.what], t.name, OURS) for t in self.going]
        changes += [Change(Action.KEEP, _KINDS[t.what], t.name, OURS, _asked_for(t)) for t in self.staying]
        changes += self.others
        if self.releases and self.files_go:
            changes.append(Change(Action.DELETE, "releases", f"{self.releases} of them", OURS))
        if self.begun and not any(change.differs for change in changes):
            why = f"the destruction of {self.begun.at} was interrupted: its record is completed"
            changes.append(Change(Action.CHANGE, "history", self.begun.deployment, OURS, why))
        elif self.deployments:
            action, why = (Action.DELETE, "") if self.all_goes else (Action.KEEP, "with what stays")
            changes.append(Change(action, "history", f"{self.deployments} records", OURS, why))
        return Plan(tuple(changes))


def _asked_for(thing: Thing) -> str:
    return "--with-database deletes it" if thing.what in DATABASE else "--with-secrets deletes it"


def look(site: Site, wishes: Wishes) -> Doomed:
    """What would go; only reads.

    Raises:
        DeployError: those of the login and the ledger.
    """
    made = ledger.read(site.workspace.files, site.root)
    things = [*_things(made, APPS), *_things(made, _outermost(made)), *_secrets(site, made)]
    there = [thing for thing in things if _there(site, thing)]
    asked = {*APPS, *(DATABASE if wishes.database else ()), *(SECRETS if wishes.secrets else ())}
    app = site.workspace.apps.find(site.project.settings.app.name)
    newest = next(iter(records.newest(site.workspace, site.root, 1)), None)
    return Doomed(
        ledger=made,
        going=tuple(t for t in there if t.what in asked),
        staying=tuple(t for t in there if t.what not in asked),
        others=tuple(_others(site, made, None if app is None else str(app.raw.get("creator") or ""))),
        principal=app.principal if app else "",
        releases=sum(
            entry.folder for entry in site.workspace.files.entries(f"{site.root}/releases").values()
        ),
        deployments=records.count(site.workspace, site.root),
        begun=newest if newest and newest.kind == "destroy" and newest.outcome != "SUCCEEDED" else None,
    )


def _things(made: Ledger, whats: tuple[str, ...]) -> Iterator[Thing]:
    for what in whats:
        names = made.made.get(what) or []
        yield from (Thing(what, str(name)) for name in (names if isinstance(names, list) else [names]))


def _outermost(made: Ledger) -> tuple[str, ...]:
    """The parts of the database that have to be named: a project takes all with it, a branch what is on it."""
    if made.made.get("project"):
        return ("project", "instance")
    inner = () if made.made.get("branch") else ("database", "role")
    return ("branches", *inner, "branch", "instance")


def _secrets(site: Site, made: Ledger) -> Iterator[Thing]:
    """The scope, if it holds nothing of others; else the keys that this target made."""
    scope = made.made.get("scope")
    keys = set(made.made.get("secrets") or [])
    in_scope = str(scope or site.project.settings.secret_scope)
    written = set(site.workspace.secrets.written(in_scope) or {}) if scope or keys else set()
    if scope and written <= keys:
        yield Thing("scope", in_scope)
    else:
        yield from (Thing("secrets", f"{in_scope}/{key}") for key in sorted(written & keys))


def _there(site: Site, thing: Thing) -> bool:
    workspace = site.workspace
    if thing.what in APPS:
        return workspace.apps.find(thing.name) is not None
    if thing.what == "instance":
        return workspace.instances.find(thing.name) is not None
    if thing.what in DATABASE:
        return workspace.lakebase.find(thing.name) is not None
    return thing.what == "secrets" or workspace.secrets.written(thing.name) is not None


def _others(site: Site, made: Ledger, creator: str | None) -> Iterator[Change]:
    """The app of somebody else that the settings name; `creator` is None where there is none."""
    name = site.project.settings.app.name
    if creator is not None and not made.has("app", name):
        yield Change(Action.CHECK, "app", name, creator, "this target did not make it")
