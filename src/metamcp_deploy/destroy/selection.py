"""Selects what `destroy` deletes: what this target made by its ledger, what exists, and what the settings manage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metamcp_deploy.converge import ownership
from metamcp_deploy.converge.kinds import PARTS
from metamcp_deploy.converge.part import Kind
from metamcp_deploy.deployments import records
from metamcp_deploy.deployments.records import Record
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, OURS, Action, Change, Plan
from metamcp_deploy.target import desired, ledger
from metamcp_deploy.target.ledger import Ledger
from metamcp_deploy.target.site import Site

if TYPE_CHECKING:
    from metamcp_deploy.target.desired import Desired
    from metamcp_deploy.workspace.apps import App

_SECTIONS = ("app", "database", "secrets")


@dataclass(frozen=True)
class Wishes:
    """What is deleted besides the app: its data, and its secrets.

    Attributes:
        database: the data, too.
        secrets: the secrets, too.
        purge: id of the Lakebase project that is deleted for good; its name is the consent.
        named: whole names of things that are deleted although the settings name others by now, or although nothing but
            an unsigned ledger says that this target made them.
    """

    database: bool = False
    secrets: bool = False
    purge: str | None = None
    named: tuple[str, ...] = ()


@dataclass(frozen=True)
class Thing:
    """One thing that the target made.

    Attributes:
        kind: of it.
        name: of it.
        former: the settings name another by now.
        purged: it is deleted for good.
        said: whether it says itself that the target made it; None where it says nothing.
        proven: it says so, or says nothing, and a signed ledger says so.
    """

    kind: Kind
    name: str
    former: bool = False
    purged: bool = False
    said: bool | None = None
    proven: bool = True

    def doubt(self) -> Change | None:
        """Why it is deleted only when it is named; None where it needs no naming."""
        if self.proven and not self.former:
            return None
        unproven = "neither it nor a signed ledger says that this target made it"
        why = "" if self.proven else self.kind.others if self.said is False else unproven
        return self.change(
            Action.CHECK, OURS if self.proven else "", f"{why}; --named {self.name} deletes it".lstrip("; ")
        )

    def change(self, action: Action, owner: str = OURS, reason: str = "") -> Change:
        """What a plan says about it."""
        former = "of before: the settings name another" if self.former else ""
        after = ""
        if action is Action.DELETE and self.kind.purge:
            after = (
                "for good: nobody can take it back" if self.purged else "its id stays reserved for seven days"
            )
        said = "; ".join(filter(None, (former, reason, after)))
        return Change(action, self.kind.label, self.name, owner, said)


@dataclass(frozen=True)
class Selection:
    """What a target has, and what of it is deleted.

    Attributes:
        ledger: as it was read.
        deleted: in the order of deleting.
        kept: what else the target made.
        others: things of others that the target uses, and why they stay.
        principal: of the app, which owns the tables in the database; empty without one.
        releases: how many are in the workspace.
        deployments: how many are recorded.
        interrupted: the record of a destruction that did not end.
        doubtful: what is deleted only when it is named.
    """

    ledger: Ledger
    deleted: tuple[Thing, ...]
    kept: tuple[Thing, ...]
    others: tuple[Change, ...]
    principal: str
    releases: int
    deployments: int
    interrupted: Record | None = None
    doubtful: tuple[Thing, ...] = ()

    @property
    def deletes_app(self) -> bool:
        """Whether an app is deleted."""
        return any(thing.kind.section == "app" for thing in self.deleted)

    @property
    def deletes_files(self) -> bool:
        """Whether releases are deleted: not while somebody else's app may run one."""
        doubted = (thing.kind.name for thing in self.doubtful if not thing.former)
        return not any(change.kind == "app" for change in self.others) and "app" not in doubted

    @property
    def deletes_all(self) -> bool:
        """Whether nothing is left that this target made: then its history is deleted, too."""
        return not self.kept and not self.doubtful and self.deletes_files

    @property
    def plan(self) -> Plan:
        """All of it, with what stays."""
        changes = [thing.change(Action.DELETE) for thing in self.deleted]
        changes += [
            thing.change(Action.KEEP, reason=f"--with-{thing.kind.section} deletes it") for thing in self.kept
        ]
        changes += (doubt for thing in self.doubtful if (doubt := thing.doubt()))
        changes += self.others
        if self.releases and self.deletes_files:
            changes.append(Change(Action.DELETE, "releases", f"{self.releases} of them", OURS))
        if self.interrupted and not any(change.differs for change in changes):
            why = f"the destruction of {self.interrupted.at} was interrupted: its record is completed"
            changes.append(Change(Action.CHANGE, "history", self.interrupted.deployment, OURS, why))
        elif self.deployments:
            action, why = (Action.DELETE, "") if self.deletes_all else (Action.KEEP, "with what stays")
            changes.append(Change(action, "history", f"{self.deployments} records", OURS, why))
        return Plan(tuple(changes))


def look(site: Site, wishes: Wishes) -> Selection:
    """What would be deleted; only reads.

    Raises:
        DeployError: those of the login and the ledger; USAGE, where the project to purge is none that is deleted, or
            what is named is nothing that the ledger names.
    """
    workspace, settings = site.workspace, site.project.settings
    made = ownership.recognised(site, ledger.read(site))
    app = workspace.apps.find(settings.app.name)

    def exists(kind: Kind, name: str) -> bool:
        """Without another request for the app that was looked at."""
        if (kind.name, name) == ("app", settings.app.name):
            return app is not None
        return kind.exists(workspace, name)

    wanted = desired.of(settings, site.root)
    found = [named for part in PARTS for named in part.deletable(workspace, made, exists)]
    things = [
        Thing(
            kind,
            name,
            former=_is_former(wanted, kind, name),
            purged=name == f"projects/{wishes.purge}",
            said=(said := kind.marked(workspace, name, site.root)),
            proven=made.proves(kind.name, name, said),
        )
        for kind, name in found
    ]
    _are_known(wishes.named, made, things)
    handed_over = {s for s in _SECTIONS if not getattr(settings, s).managed}
    asked = {"app", *(s for s in ("database", "secrets") if getattr(wishes, s))} - handed_over
    doubtful = tuple(t for t in things if t.doubt() and t.name not in wishes.named)
    things = [t for t in things if t not in doubtful]
    if wishes.purge and not any(t.purged and t.kind.section in asked for t in things):
        raise _nothing_to_purge(
            wishes.purge, [t.name for t in things if t.kind.purge and t.kind.section in asked]
        )
    count, newest = records.counted(site)
    return Selection(
        ledger=made,
        deleted=tuple(t for t in things if t.kind.section in asked),
        kept=tuple(t for t in things if t.kind.section not in asked | handed_over),
        others=(
            *(() if app is None or made.has("app", app.name) else (_not_ours(app),)),
            *(
                Change(Action.CHECK, t.kind.label, t.name, ELSEWHERE)
                for t in things
                if t.kind.section in handed_over
            ),
            *_unclear(made, exists),
        ),
        principal=app.principal if app else "",
        releases=sum(entry.folder for entry in workspace.files.entries(f"{site.root}/releases").values()),
        deployments=count,
        doubtful=tuple(t for t in doubtful if t.kind.section not in handed_over),
        interrupted=newest if newest and newest.kind == "destroy" and newest.outcome != "SUCCEEDED" else None,
    )


def _are_known(named: tuple[str, ...], made: Ledger, things: list[Thing]) -> None:
    """What is named may be gone already, or not there yet: a second run ends as the first."""
    known = {thing.name for thing in things}.union(*made.made.values(), *made.intended.values())
    for name in named:
        if name not in known:
            there = ", ".join(sorted(thing.name for thing in things)) or "nothing"
            raise DeployError(
                Code.USAGE,
                f"--named {name} is nothing that the ledger of this target names. What it names and is there: {there}.",
                hint="See the whole names with: metamcp-deploy destroy --plan",
            )


def _nothing_to_purge(named: str, deleted: list[str]) -> DeployError:
    ids = " or ".join(name.removeprefix("projects/") for name in deleted)
    hint = (
        f"--purge {ids}"
        if ids
        else "Ask for the database with --with-database; --plan shows what would be deleted."
    )
    return DeployError(
        Code.USAGE, f"--purge names the project {named}, which is none of those that are deleted.", hint=hint
    )


def _not_ours(app: App) -> Change:
    """An app that somebody else made under the name that the settings say."""
    creator = str(app.raw.get("creator") or "")
    return Change(Action.CHECK, "app", app.name, creator, "this target did not make it")


def _unclear(made: Ledger, exists: Callable[[Kind, str], bool]) -> Iterator[Change]:
    """What a killed run was about to make, and nobody knows who made it."""
    for kind in (kind for part in PARTS for kind in part.kinds if kind.alone):
        for name in made.intended.get(kind.name, ()):
            if exists(kind, name):
                why = "whether this target made it is not known"
                yield Change(Action.CHECK, kind.label, name, "", why)


def _is_former(wanted: Desired, kind: Kind, name: str) -> bool:
    holder = getattr(wanted, kind.section).holder
    return not holder or not f"{name}/".startswith(f"{holder}/")
