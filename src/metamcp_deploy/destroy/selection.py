"""What `destroy` deletes: only what the ledger says this target made, what is there, and what the settings manage."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from metamcp_deploy.converge import claims
from metamcp_deploy.deployments import records
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.plan import ELSEWHERE, OURS, Action, Change, Plan
from metamcp_deploy.target import desired, ledger
from metamcp_deploy.target.ledger import Ledger
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.target.desired import Desired
    from metamcp_deploy.workspace.apps import App

# Ledger's names by what is asked for together, in the order of deleting: a branch before the one it came from.
APPS = ("app",)
DATABASE = ("branches", "database", "role", "branch", "endpoint", "project", "instance")
SECRETS = ("secrets", "scope")
_KINDS = {
    "app": "app",
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
    """One thing that the target made: its kind in the ledger, its name, whether the settings name another by now."""

    what: str
    name: str
    former: bool = False

    @property
    def told(self) -> str:
        """What a plan says about it."""
        return "of before: the settings name another" if self.former else ""


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
        changes = [Change(Action.DELETE, _KINDS[t.what], t.name, OURS, t.told) for t in self.going]
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
    asked = "--with-database deletes it" if thing.what in DATABASE else "--with-secrets deletes it"
    return "; ".join(filter(None, (thing.told, asked)))


def look(site: Site, wishes: Wishes) -> Doomed:
    """What would go; only reads.

    Raises:
        DeployError: those of the login and the ledger.
    """
    workspace, name = site.workspace, site.project.settings.app.name
    made = claims.recognised(workspace, ledger.read(workspace.files, site.root))
    app = workspace.apps.find(name)
    found = [*_apps(site, made, app), *_database(site, made), *_secrets(site, made)]
    wanted = desired.of(site.project.settings, site.root)
    things = [replace(thing, former=_is_former(wanted, thing)) for thing in found]
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
            *_unclear(site, made),
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


def _unclear(site: Site, made: Ledger) -> Iterator[Change]:
    """What a run was about to make when it was killed, and what does not tell who made it."""
    why = "whether this target made it is not known"
    for what, names in made.intended.items():
        for name in names:
            if what != "endpoint" and claims.there(site.workspace, what, name):
                yield Change(Action.CHECK, _KINDS[what], name, "", why)


def _is_former(wanted: Desired, thing: Thing) -> bool:
    now = wanted.app.name if thing.what in APPS else wanted.secrets.scope
    if thing.what in DATABASE:
        now = wanted.database.holder
    return not now or not f"{thing.name}/".startswith(f"{now}/")


def _apps(site: Site, made: Ledger, app: App | None) -> Iterator[Thing]:
    """The app, and those that the target made under other names, where they are there."""
    for name in made.names("app"):
        known = app if app is not None and app.name == name else None
        if known or (name != site.project.settings.app.name and site.workspace.apps.find(name)):
            yield Thing("app", name)


def _database(site: Site, made: Ledger) -> Iterator[Thing]:
    """What of the database is there and has to be named: a project takes all with it, a branch what is on it."""
    with_others = {pair for what in DATABASE for name in made.names(what) for pair in made.inside(what, name)}
    for what in DATABASE:
        for name in made.names(what):
            alone = (what, name) not in with_others and what != "endpoint"
            if alone and claims.there(site.workspace, what, name):
                yield Thing(what, name)


def _secrets(site: Site, made: Ledger) -> Iterator[Thing]:
    """Each scope, if it holds nothing of others; else the keys that this target made."""
    for scope in sorted({*made.names("scope"), *(name.partition("/")[0] for name in made.names("secrets"))}):
        written = site.workspace.secrets.written(scope)
        if written is None:
            continue
        names = {f"{scope}/{key}" for key in written}
        if made.has("scope", scope) and names <= set(made.names("secrets")):
            yield Thing("scope", scope)
        else:
            yield from (Thing("secrets", name) for name in sorted(names & set(made.names("secrets"))))
