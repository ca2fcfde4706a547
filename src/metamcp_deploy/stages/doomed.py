"""What `destroy` deletes: only what the ledger says this target made, what is there, and what the settings manage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy.stages import records
from metamcp_deploy.stages.connection import Site
from metamcp_deploy.stages.converge import ledger
from metamcp_deploy.stages.converge.ledger import Ledger
from metamcp_deploy.stages.converge.plan import ELSEWHERE, OURS, Action, Change, Plan
from metamcp_deploy.stages.records import Record

if TYPE_CHECKING:
    from metamcp_deploy.workspace.apps import App

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
    workspace, name = site.workspace, site.project.settings.app.name
    made = ledger.read(workspace.files, site.root)
    app = workspace.apps.find(name)
    things = [*_apps(site, made, app), *_database(site, made), *_secrets(site, made)]
    asked = {*APPS, *(DATABASE if wishes.database else ()), *(SECRETS if wishes.secrets else ())}
    handed = _handed_over(site)
    kept, newest = records.counted(workspace, site.root)
    return Doomed(
        ledger=made,
        going=tuple(t for t in things if t.what in asked - handed),
        staying=tuple(t for t in things if t.what not in asked | handed),
        others=(
            *(() if app is None or made.has("app", name) else (_not_ours(app),)),
            *(Change(Action.CHECK, _KINDS[t.what], t.name, ELSEWHERE) for t in things if t.what in handed),
        ),
        principal=app.principal if app else "",
        releases=sum(entry.folder for entry in workspace.files.entries(f"{site.root}/releases").values()),
        deployments=kept,
        begun=newest if newest and newest.kind == "destroy" and newest.outcome != "SUCCEEDED" else None,
    )


def _handed_over(site: Site) -> set[str]:
    """What somebody else manages by now, though the target made it: the settings say so."""
    settings = site.project.settings
    parts = ((settings.app, APPS), (settings.database, DATABASE), (settings.secrets, SECRETS))
    return {what for part, whats in parts if not part.managed for what in whats}


def _not_ours(app: App) -> Change:
    """An app that somebody else made under the name that the settings say."""
    creator = str(app.raw.get("creator") or "")
    return Change(Action.CHECK, "app", app.name, creator, "this target did not make it")


def _things(made: Ledger, whats: tuple[str, ...]) -> Iterator[Thing]:
    for what in whats:
        names = made.made.get(what) or []
        yield from (Thing(what, str(name)) for name in (names if isinstance(names, list) else [names]))


def _apps(site: Site, made: Ledger, app: App | None) -> Iterator[Thing]:
    """The app, and those that the target made under other names, where they are there."""
    for thing in _things(made, APPS):
        known = app if app is not None and app.name == thing.name else None
        if known or (thing.name != site.project.settings.app.name and site.workspace.apps.find(thing.name)):
            yield thing


def _database(site: Site, made: Ledger) -> Iterator[Thing]:
    """What of the database is there and has to be named: a project takes all with it, a branch what is on it."""
    inner = () if made.made.get("branch") else ("database", "role")
    whats = (
        ("project", "instance") if made.made.get("project") else ("branches", *inner, "branch", "instance")
    )
    for thing in _things(made, whats):
        look = site.workspace.instances.find if thing.what == "instance" else site.workspace.lakebase.find
        if look(thing.name) is not None:
            yield thing


def _secrets(site: Site, made: Ledger) -> Iterator[Thing]:
    """The scope, if it holds nothing of others; else the keys that this target made."""
    scope, keys = made.made.get("scope"), set(made.made.get("secrets") or [])
    if not (scope or keys):
        return
    in_scope = str(scope or site.project.settings.secret_scope)
    written = site.workspace.secrets.written(in_scope)
    if written is None:
        return
    if scope and set(written) <= keys:
        yield Thing("scope", in_scope)
    else:
        yield from (Thing("secrets", f"{in_scope}/{key}") for key in sorted(keys & set(written)))
