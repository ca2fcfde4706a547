"""Another service principal logs in to the database: its credentials in the scope, its role, and what it owns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import requests
import yaml

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import credentials, opening
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.secrets import keys
from metamcp_deploy.target import session
from tests.deploy.tiny_app import changed, write_bundle
from tests.embedded_people import person

KEY = "LAKEBASE_CLIENT_SECRET"
Deploy = Callable[..., pipeline.Facts]


@pytest.fixture
def robot(base: Project, project: Project) -> dict[str, str]:
    return person(local.up(base), f"robot of {project.settings.app.name}")


@pytest.fixture
def wanting(project: Project, robot: dict[str, str]) -> Project:
    dump = project.settings.model_dump(by_alias=True)
    principal = {"client_id": robot["client_id"], "client_secret": {"secret": KEY}}
    settings = Settings.model_validate({**dump, "database": {"principal": principal}})
    made = replace(project, settings=settings, all_targets=(settings,))
    write_bundle(made)
    return made


def environment(project: Project, facts: pipeline.Facts) -> dict[str, str]:
    headers = session.connect(project).app_headers()
    found: dict[str, str] = requests.get(facts["url"] + "/env", headers=headers, timeout=120).json()
    return found


def as_the_launcher(env: dict[str, str]) -> psycopg.Connection[Any]:
    """Logs in with nothing but what the app was given."""
    client = env["METAMCP_DATABASE_CLIENT_ID"], env["METAMCP_DATABASE_CLIENT_SECRET"]
    asked = {"grant_type": "client_credentials", "scope": "all-apis"}
    host = env["DATABRICKS_HOST"]
    token = requests.post(f"{host}/oidc/v1/token", data=asked, auth=client, timeout=120).json()[
        "access_token"
    ]
    answer = requests.post(
        f"{host}/api/2.0/postgres/credentials",
        json={"endpoint": env["LAKEBASE_ENDPOINT"]},
        headers={"Authorization": f"Bearer {token}"},
        timeout=120,
    )
    return psycopg.connect(
        host=env["PGHOST"],
        port=env["PGPORT"],
        dbname=env["PGDATABASE"],
        user=client[0],
        password=answer.json()["token"],
        sslmode=env["PGSSLMODE"],
    )


def test_it_gets_a_role_and_owns_the_database_that_is_made(
    wanting: Project, robot: dict[str, str], deployed: Deploy, seen: list[events.Event]
) -> None:
    with pytest.raises(DeployError) as caught:
        deployed(wanting)
    assert caught.value.code is Code.NOT_FOUND
    assert f"{KEY} (for database.principal.client_secret)" in caught.value.message
    keys.store(session.site(wanting), KEY, Secret(robot["client_secret"]))
    facts = deployed(wanting)
    assert ("created", "Lakebase role") in changed(seen)
    env = environment(wanting, facts)
    assert env["METAMCP_DATABASE_CLIENT_ID"] == robot["client_id"] != env["PGUSER"]
    assert "METAMCP_DATABASE_CLIENT_SECRET" in env["METAMCP_SECRET_ENV"].split(",")
    with as_the_launcher(env) as connected:
        connected.execute("CREATE SCHEMA metamcp_app")
    way = credentials.as_app(wanting, None)
    assert (way.role, {step.outcome for step in way.steps}) == (robot["client_id"], {"ok"}), way
    with opening.opened(wanting, as_app=True) as mine:
        assert (mine.identity.role, mine.identity.may_become) == (robot["client_id"], True)
    seen.clear()
    assert deployed(wanting) == facts
    assert {action for action, _ in changed(seen)} == {"kept"}
    assert robot["client_secret"] not in str(seen)


def test_a_role_that_comes_after_the_database_is_told_what_it_lacks(
    project: Project, wanting: Project, robot: dict[str, str], deployed: Deploy, seen: list[events.Event]
) -> None:
    write_bundle(project)
    deployed(project)
    keys.store(session.site(wanting), KEY, Secret(robot["client_secret"]))
    write_bundle(wanting)
    seen.clear()
    deployed(wanting)
    hints = [e.hint for e in seen if isinstance(e, events.Warned)]
    assert any(f'TO "{robot["client_id"]}"' in hint for hint in hints)


def test_the_bundle_shows_the_role(wanting: Project, robot: dict[str, str]) -> None:
    document = yaml.safe_load((wanting.bundle / "databricks.yml").read_text())
    role = document["targets"]["local"]["resources"]["postgres_roles"]["owner"]
    assert role["postgres_role"] == robot["client_id"]
    assert role["identity_type"] == "SERVICE_PRINCIPAL"
