"""MetaMCP's schema: whether it is there, whose its objects are, and what lies elsewhere."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from metamcp_deploy.database.facts import asking

if TYPE_CHECKING:
    import psycopg

LEDGER = "__drizzle_migrations"

_SCHEMA = """
SELECT pg_get_userbyid(n.nspowner)::text AS owner,
  has_schema_privilege(n.oid, 'USAGE') AS readable,
  coalesce(pg_has_role(app.oid, n.nspowner, 'USAGE'), false) AS owned_by_app,
  coalesce(has_schema_privilege(app.oid, n.oid, 'CREATE'), false) AS app_creates,
  coalesce(has_schema_privilege(app.oid, n.oid, 'USAGE'), false) AS app_uses
FROM pg_namespace n LEFT JOIN pg_roles app ON app.rolname = %(app)s WHERE n.nspname = %(schema)s
"""

# Tables, views, sequences of their own, functions and types; what belongs to a table follows its owner by itself.
OBJECTS = """
SELECT n.nspname::text AS schema, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW'
    WHEN 'S' THEN 'SEQUENCE' WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind,
  c.relname::text AS name, c.relowner AS owner_oid, c.oid AS oid,
  c.relkind IN ('r', 'p', 'v', 'm', 'f') AS is_table
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND NOT EXISTS (SELECT FROM pg_depend d
  WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND c.relkind = 'S' AND d.deptype IN ('a', 'i'))
UNION ALL
SELECT n.nspname::text, 'TYPE', t.typname::text, t.typowner, t.oid, false
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('e', 'd')
UNION ALL
SELECT n.nspname::text, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END,
  p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')', p.proowner, p.oid, false
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE p.prokind IN ('f', 'p')
"""

_OWNED = f"""
SELECT o.schema, o.kind, o.name, pg_get_userbyid(o.owner_oid)::text AS owner,
  coalesce(pg_has_role(app.oid, o.owner_oid, 'USAGE'), false) AS owned_by_app,
  CASE WHEN NOT o.is_table THEN true ELSE coalesce(has_table_privilege(app.oid, o.oid, 'SELECT')
    AND has_table_privilege(app.oid, o.oid, 'INSERT') AND has_table_privilege(app.oid, o.oid, 'UPDATE')
    AND has_table_privilege(app.oid, o.oid, 'DELETE'), false) END AS usable
FROM ({OBJECTS}) AS o LEFT JOIN pg_roles app ON app.rolname = %(app)s
WHERE o.schema = %(schema)s OR (o.name = ANY(%(known)s) AND o.schema NOT LIKE 'pg\\_%%'
  AND o.schema <> 'information_schema')
ORDER BY o.schema, o.kind, o.name
"""  # noqa: S608 -- made of constants


@dataclass(frozen=True)
class Owned:
    """A table, type, sequence or function, and whose it is.

    Attributes:
        schema: that it is in.
        kind: as ALTER spells it.
        name: of a function with its arguments.
        owner: the role.
        owned_by_app: whether the app's role is that role, or has its rights.
        usable: of a table, whether the app may read and write it.
    """

    schema: str
    kind: str
    name: str
    owner: str
    owned_by_app: bool
    usable: bool


@dataclass(frozen=True)
class Schema:
    """MetaMCP's schema.

    Attributes:
        name: of the schema.
        app: the role that the app logs in as.
        owner: of the schema; None where there is none.
        readable: whether this login may look into it (USAGE).
        owned_by_app: whether the schema is the app's.
        app_uses: whether the app has USAGE on it.
        app_creates: whether the app may create in it.
        objects: everything in it.
        elsewhere: tables and types in other schemas that are called as MetaMCP's.
    """

    name: str
    app: str
    owner: str | None
    readable: bool = False
    owned_by_app: bool = False
    app_uses: bool = False
    app_creates: bool = False
    objects: tuple[Owned, ...] = ()
    elsewhere: tuple[Owned, ...] = ()

    @property
    def exists(self) -> bool:
        """Whether it is there."""
        return self.owner is not None

    @property
    def foreign(self) -> tuple[Owned, ...]:
        """Objects in it that the app does not own: it cannot change them in a migration."""
        return tuple(one for one in self.objects if not one.owned_by_app)

    @property
    def unusable(self) -> tuple[Owned, ...]:
        """Tables in it that the app may not read and write."""
        return tuple(one for one in self.objects if not one.usable)

    @property
    def in_public(self) -> tuple[Owned, ...]:
        """What is called as MetaMCP's and lies in `public`, as a deployment before this tool left it."""
        return tuple(one for one in self.elsewhere if one.schema == "public")

    @property
    def owners(self) -> tuple[str, ...]:
        """The roles that own something in it, with the schema's own."""
        return tuple(sorted({one.owner for one in self.objects} | ({self.owner} if self.owner else set())))

    @property
    def ledger(self) -> Owned | None:
        """The table of applied migrations."""
        return next((one for one in self.objects if one.name == LEDGER), None)


def schema(connection: psycopg.Connection[Any], name: str, app: str, known: Collection[str] = ()) -> Schema:
    """The schema `name` beside the app's role.

    Args:
        connection: any login's: the catalogue can be read whatever else is forbidden.
        name: of the schema.
        app: the app's role.
        known: names of MetaMCP's tables and types, to look for in other schemas; without them those in this one.
    """
    values: dict[str, Any] = {"schema": name, "app": app}
    found = asking.rows(connection, _SCHEMA, values)
    objects = [Owned(**one) for one in asking.rows(connection, _OWNED, {**values, "known": list(known)})]
    inside = tuple(one for one in objects if one.schema == name)
    outside = tuple(one for one in objects if one.schema != name and one.name != LEDGER)
    if not found:
        return Schema(name, app, None, elsewhere=outside)
    return Schema(name, app, objects=inside, elsewhere=outside, **found[0])
