"""Rights that somebody takes from the app while it runs: recognised by PostgreSQL's words, ended by the fix."""

from __future__ import annotations

import re
from collections.abc import Iterator

import psycopg
import pytest

from metamcp_deploy.knowledge import recognise
from metamcp_deploy.postgres import Cluster

Roles = tuple[psycopg.Connection, psycopg.Connection]
USE_IT = "INSERT INTO {schema}.endpoints DEFAULT VALUES"
APP, SCHEMA = "0b6f8a52-app", "metamcp_app"


@pytest.fixture
def roles(cluster: Cluster) -> Iterator[Roles]:
    """Connections of a superuser and of the app, which owns its schema and one table."""
    with psycopg.connect(cluster.uri().reveal(), autocommit=True) as owner:
        owner.execute(f'CREATE ROLE "{APP}" LOGIN')
        owner.execute(f'CREATE SCHEMA {SCHEMA} AUTHORIZATION "{APP}"')
        with psycopg.connect(cluster.uri().reveal(), autocommit=True) as app:
            app.execute(f'SET SESSION AUTHORIZATION "{APP}"')
            app.execute(f"CREATE TABLE {SCHEMA}.endpoints (id serial)")
            yield owner, app
        owner.execute(f'DROP SCHEMA {SCHEMA} CASCADE; DROP ROLE "{APP}"')


@pytest.mark.parametrize(
    ("what", "revoke", "use"),
    [
        ("table", "REVOKE ALL ON {schema}.endpoints FROM {app}", "SELECT * FROM {schema}.endpoints"),
        ("schema", "REVOKE ALL ON SCHEMA {schema} FROM {app}", "SELECT * FROM {schema}.endpoints"),
        ("sequence", "REVOKE ALL ON {schema}.endpoints_id_seq FROM {app}", USE_IT),
        ("owner", "ALTER TABLE {schema}.endpoints OWNER TO CURRENT_USER", "SELECT * FROM {schema}.endpoints"),
    ],
)
def test_rights_taken_away_while_it_runs(roles: Roles, what: str, revoke: str, use: str) -> None:
    owner, app = roles
    names = {"schema": SCHEMA, "app": f'"{APP}"'}
    owner.execute(revoke.format(**names))
    with pytest.raises(psycopg.errors.InsufficientPrivilege) as refused:
        app.execute(use.format(**names))
    known = recognise("launcher", log=f"[backend] error: {refused.value}")
    assert known is not None
    assert known.id == "table-denied", what
    for statement in re.findall(r"GRANT [^;:]+", known.fix[0].do or ""):
        owner.execute(statement.replace("CLIENT_ID", APP))
    app.execute(use.format(**names))
