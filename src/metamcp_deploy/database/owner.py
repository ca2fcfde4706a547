"""The role that is to own MetaMCP's schema: the app's own, or one that the app's is a member of.

Who is no member of the app's role cannot hand it anything (PostgreSQL wants SET ROLE to the new owner). The creator of
a Lakebase project is not: the platform makes the app's role. A role of one's own can be granted to the app's instead:
its members have an owner's rights, and a later app is given them by one statement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import Identity, asking
from metamcp_deploy.database.ownership import quoted
from metamcp_deploy.errors import Code, DeployError

if TYPE_CHECKING:
    import psycopg

_ABOUT = """
SELECT r.oid IS NOT NULL AS exists,
  coalesce(me.rolsuper OR pg_has_role(me.oid, r.oid, CASE
    WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END), false) AS may_become,
  coalesce(me.rolsuper OR pg_has_role(me.oid, r.oid, 'MEMBER WITH ADMIN OPTION'), false) AS may_grant
FROM pg_roles me LEFT JOIN pg_roles r ON r.rolname = %s WHERE me.rolname = current_user
"""


@dataclass(frozen=True)
class Role:
    """What this login may do with a role."""

    name: str
    exists: bool
    may_become: bool
    may_grant: bool


@dataclass(frozen=True)
class Owner:
    """A role that will own the schema, and the statements that make it fit for that, before and after."""

    name: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


def role(connection: psycopg.Connection[Any], name: str) -> Role:
    """What this login may do with a role."""
    return Role(name, **asking.row(connection, _ABOUT, (name,)))


def shared(schema: str) -> str:
    """Name of the role that owns a schema in place of the app's own."""
    return f"{schema}_owner"[:63]


def choose(connection: psycopg.Connection[Any], who: Identity, schema: str) -> Owner:
    """The owner that this login can give a schema to.

    Raises:
        DeployError: NO_OWNER, with what would help.
    """
    if not who.app_exists:
        raise DeployError(
            Code.NO_OWNER,
            f"The server has no role {who.app}, as which the app logs in.",
            hint="Attach the database first, which makes the role: metamcp-deploy bundle-deploy",
        )
    if who.may_become or who.superuser:
        return Owner(who.app)
    common = role(connection, shared(schema))
    if common.exists and common.may_grant:
        return Owner(common.name, tuple(_self(common)), (_grant(common.name, who.app),))
    if not common.exists and who.creates_roles:
        made = (f"CREATE ROLE {quoted(common.name)} NOLOGIN;", *_self(common))
        return Owner(common.name, made, (_grant(common.name, who.app),))
    raise DeployError(
        Code.NO_OWNER,
        f"{who.role} can give the schema {schema} to nobody: it is no member of {who.app}, the app's role, "
        + (f"and may not grant {common.name}." if common.exists else "and may not make a role (CREATEROLE)."),
        hint=f'Run it as the project\'s creator; or as them: GRANT {quoted(who.app)} TO "{who.role}";',
    )


def _self(common: Role) -> Iterator[str]:
    if not common.may_become:
        yield f"GRANT {quoted(common.name)} TO CURRENT_USER;"


def _grant(name: str, to: str) -> str:
    return f"GRANT {quoted(name)} TO {quoted(to)};"
