"""Who is logged in, and what that role is to the app's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import asking

if TYPE_CHECKING:
    import psycopg

# A role that does not exist gives NULL, and so do the questions about it.
_QUESTION = """
SELECT current_user::text AS role, current_database()::text AS database,
  me.rolsuper AS superuser, me.rolcreaterole AS creates_roles,
  app.oid IS NOT NULL AS app_exists, coalesce(app.rolcanlogin, false) AS app_logs_in,
  coalesce(pg_has_role(me.oid, app.oid, 'MEMBER'), false) AS member,
  coalesce(CASE WHEN me.rolsuper THEN true ELSE pg_has_role(me.oid, app.oid, CASE
    WHEN current_setting('server_version_num')::int < 160000 THEN 'MEMBER' ELSE 'SET' END) END, false) AS may_become,
  coalesce(has_database_privilege(app.oid, current_database(), 'CONNECT'), false) AS app_connects,
  coalesce(has_database_privilege(app.oid, current_database(), 'CREATE'), false) AS app_creates,
  pg_has_role(me.oid, 'pg_read_all_data', 'USAGE') AS reads_all,
  pg_has_role(me.oid, 'pg_read_all_stats', 'USAGE') AS sees_all
FROM pg_roles me LEFT JOIN pg_roles app ON app.rolname = %s
WHERE me.rolname = current_user
"""


@dataclass(frozen=True)
class Identity:
    """A login and the app's role.

    Attributes:
        role: logged in as.
        database: connected to.
        app: the role that the app logs in as.
        app_exists: whether the server has it.
        app_logs_in: whether it may log in at all.
        app_connects: whether it has CONNECT on the database.
        app_creates: whether it has CREATE there, which a first start needs.
        member: whether this login is a member of it.
        may_become: whether this login may act as it (SET ROLE): needed to hand objects over.
        superuser: of this login.
        creates_roles: of this login (CREATEROLE).
        reads_all: whether it may read all tables (pg_read_all_data; databricks_superuser has it).
        sees_all: whether it sees what other sessions do (pg_read_all_stats).
    """

    role: str
    database: str
    app: str
    app_exists: bool
    app_logs_in: bool
    app_connects: bool
    app_creates: bool
    member: bool
    may_become: bool
    superuser: bool
    creates_roles: bool
    reads_all: bool
    sees_all: bool


def identity(connection: psycopg.Connection[Any], app: str) -> Identity:
    """Who is logged in beside the role of the app."""
    return Identity(app=app, **asking.row(connection, _QUESTION, (app,)))
