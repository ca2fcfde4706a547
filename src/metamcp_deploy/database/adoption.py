"""`db adopt`: the app was made anew, its principal is another, and the schema belongs to the one before."""

from __future__ import annotations

from dataclasses import dataclass

from metamcp_deploy.database import owner, ownership
from metamcp_deploy.database.facts import asking
from metamcp_deploy.database.opening import Opened
from metamcp_deploy.database.ownership import quoted
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action, Change, Difference, Plan
from metamcp_deploy.target import locate
from metamcp_deploy.target.site import Site

REASSIGN, GRANT, COPY = "reassign", "grant", "copy"


@dataclass(frozen=True)
class Adoption:
    """What would be done.

    Attributes:
        way: `reassign` hands the objects over, `grant` makes the app a member of their owner, `copy` is a backup and a
            restore into another database, by hand.
        owners: roles that own something and whose rights the app does not have.
        statements: of one transaction; none for `copy`.
        steps: commands, for `copy`.
        plan: all of it.
    """

    way: str
    owners: tuple[str, ...]
    statements: tuple[str, ...]
    steps: tuple[str, ...]
    plan: Plan


def look(seen: Opened) -> Adoption | None:
    """How this login can give the app its schema; None where the app has it.

    Raises:
        DeployError: NOT_FOUND without a schema, NO_OWNER where the app has no role.
    """
    found, who = seen.schema, seen.identity
    if not found.exists:
        raise DeployError(
            Code.NOT_FOUND,
            f"There is no schema {found.name} to adopt: the app's first start makes it.",
            hint="metamcp-deploy db status",
        )
    if not who.app_exists:
        raise DeployError(
            Code.NO_OWNER,
            f"The server has no role {who.app}, as which the app logs in.",
            hint="Attach the database first, which makes the role: metamcp-deploy bundle-deploy",
        )
    foreign = {one.owner for one in found.foreign} | (set() if found.owned_by_app else {str(found.owner)})
    if not foreign:
        return None
    owners = tuple(sorted(foreign))
    roles = [owner.role(seen.connection, name) for name in owners]
    if all(one.may_become for one in roles):
        try:
            return _reassigned(seen, owners)
        except DeployError as e:
            if e.code is not Code.NO_OWNER:
                raise
    if all(one.may_grant for one in roles):
        return _granted(seen, owners)
    return _copied(seen, owners)


def adopt(seen: Opened, found: Adoption) -> None:
    """Does it, in one transaction.

    Raises:
        DeployError: NO_OWNER where only a copy is possible, with its steps.
    """
    if found.way == COPY:
        raise DeployError(
            Code.NO_OWNER,
            f"{seen.identity.role} may neither hand over what belongs to {', '.join(found.owners)}, nor grant "
            "that role.",
            hint="As a role that may (its members, or who made it) run this again; or copy the data: "
            + "; then ".join(found.steps),
        )
    with seen.connection.transaction():
        for statement in found.statements:
            asking.execute(seen.connection, statement)


def _reassigned(seen: Opened, owners: tuple[str, ...]) -> Adoption:
    chosen = owner.choose(seen.connection, seen.identity, seen.schema.name)
    handed = tuple(ownership.statements(seen.schema, chosen.name))
    objects = [
        (one.kind.lower(), f"{one.schema}.{one.name}", one.owner)
        for one in seen.schema.objects
        if one.owner != chosen.name
    ]
    if seen.schema.owner != chosen.name:
        objects.insert(0, ("schema", seen.schema.name, str(seen.schema.owner)))
    changes = [_change(kind, name, before, chosen.name) for kind, name, before in objects]
    if chosen.after:
        changes.insert(
            0, Change(Action.CREATE, "role", chosen.name, reason=f"granted to {seen.identity.app}")
        )
    statements = (*chosen.before, *handed, *chosen.after)
    return Adoption(REASSIGN, owners, statements, (), Plan(tuple(changes)))


def _granted(seen: Opened, owners: tuple[str, ...]) -> Adoption:
    app = seen.identity.app
    statements = tuple(f"GRANT {quoted(name)} TO {quoted(app)};" for name in owners)
    changes = tuple(
        Change(Action.CHANGE, "role", name, differences=(Difference("members", None, app),))
        for name in owners
    )
    return Adoption(GRANT, owners, statements, (), Plan(changes))


def _copied(seen: Opened, owners: tuple[str, ...]) -> Adoption:
    on = locate.called(seen.place.project) if isinstance(seen.place, Site) else f"--app {seen.app.name}"
    steps = (
        f"metamcp-deploy db backup {on} FILE",
        "set another database.name in metamcp.yaml",
        f"metamcp-deploy bundle-deploy {on}",
        f"metamcp-deploy db restore {on} FILE",
        f"metamcp-deploy app-deploy {on}",
    )
    reason = f"belongs to {', '.join(owners)}; {seen.identity.role} may not hand it over: copy it"
    changes = (Change(Action.CHECK, "schema", seen.schema.name, reason=reason),)
    return Adoption(COPY, owners, (), steps, Plan(changes))


def _change(kind: str, name: str, before: str, after: str) -> Change:
    return Change(Action.CHANGE, kind, name, differences=(Difference("owner", before, after),))
