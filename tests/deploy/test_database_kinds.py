"""Each kind of database from settings to what the app is given, against the embedded workspace."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import opening
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import session
from tests.deploy.tiny_app import changed

Deploy = Callable[..., pipeline.Facts]
Seen = list[events.Event]


def with_database(project: Project, **database: Any) -> Project:
    dump = project.settings.model_dump(by_alias=True)
    return replace(project, settings=Settings.model_validate({**dump, "database": database}))


def environment(project: Project, facts: pipeline.Facts) -> dict[str, str]:
    workspace = session.connect(project)
    http, headers = workspace.network.requests_session(), workspace.app_headers()
    found: dict[str, str] = http.get(facts["url"] + "/env", headers=headers, timeout=120).json()
    return found


def put(project: Project, key: str, value: str) -> None:
    workspace, scope = session.connect(project), project.settings.secret_scope
    workspace.secrets.create_scope(scope)
    workspace.secrets.put(scope, key, Secret(value))


def test_a_provisioned_instance(project: Project, deployed: Deploy, seen: Seen) -> None:
    name = f"{project.settings.app.name}-instance"
    older = with_database(project, kind="provisioned", instance=name)
    facts = deployed(older)
    assert ("created", "database instance") in changed(seen)
    assert "Lakebase project" not in {kind for _, kind in changed(seen)}
    env = environment(older, facts)
    assert env["LAKEBASE_INSTANCE_NAME"] == name
    assert env["PGHOST"] == "127.0.0.1"
    assert not {"LAKEBASE_ENDPOINT", "DATABASE_URL", "PGPASSWORD"} & set(env)
    seen.clear()
    assert deployed(older) == facts
    assert {action for action, _ in changed(seen)} == {"kept"}
    seen.clear()
    assert deployed(with_database(project, kind="provisioned", instance=name, capacity="CU_4")) == facts
    assert ("changed", "database instance") in changed(seen)


def test_an_external_database_and_nothing_is_created(project: Project, deployed: Deploy, seen: Seen) -> None:
    outside = with_database(project, kind="external", url={"secret": "DB_URL"})
    with pytest.raises(DeployError) as caught:
        deployed(outside)
    assert caught.value.code is Code.NOT_FOUND
    assert "DB_URL (for database.url)" in caught.value.message
    url = local.status(project, with_credentials=True)["superuser_uris"]["postgres"].reveal()
    put(project, "DB_URL", url)
    env = environment(outside, deployed(outside))
    assert env["DATABASE_URL"] == url
    assert env["METAMCP_SECRET_ENV"] == "BETTER_AUTH_SECRET,DATABASE_URL"
    assert not [name for name in env if name.startswith(("PG", "LAKEBASE"))]
    assert {kind for action, kind in changed(seen) if action == "created"} == {"secret", "app", "deployment"}
    assert url not in "".join(map(str, seen))


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
def test_a_password_kept_in_a_secret(project: Project, deployed: Deploy, kind: str) -> None:
    put(project, "LAKE_PW", "kept-in-a-secret")
    kept = with_database(project, kind=kind, password={"secret": "LAKE_PW"})
    env = environment(kept, deployed(kept))
    assert env["PGPASSWORD"] == "kept-in-a-secret"
    assert env["METAMCP_SECRET_ENV"] == "BETTER_AUTH_SECRET,PGPASSWORD"
    assert not {"LAKEBASE_ENDPOINT", "LAKEBASE_INSTANCE_NAME"} & set(env)
    uri = local.status(project, with_credentials=True)["superuser_uris"]["postgres"].reveal()
    with psycopg.connect(uri, autocommit=True) as database:
        database.execute(f"ALTER ROLE \"{env['PGUSER']}\" PASSWORD 'kept-in-a-secret'")
    names = ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE")
    given = dict(
        zip(("host", "port", "dbname", "user", "password", "sslmode"), map(env.get, names), strict=True)
    )
    with psycopg.connect(**given) as opened:  # type: ignore[arg-type]
        opened.execute("CREATE SCHEMA metamcp_app")
    with opening.opened(kept, as_app=True) as mine:
        assert mine.identity.role == env["PGUSER"]
    deployed(kept)
    with psycopg.connect(**given):  # type: ignore[arg-type]
        pass


def test_another_kind_of_database_takes_its_place(project: Project, deployed: Deploy, seen: Seen) -> None:
    first = deployed(project)
    older = with_database(project, kind="provisioned")
    second = deployed(older)
    assert second["deployment"] != first["deployment"]
    env = environment(older, second)
    assert "LAKEBASE_ENDPOINT" not in env
    resources = session.connect(older).apps.get(second["app"]).resources
    assert [sorted(r) for r in resources if r["name"] == "database"] == [["database", "name"]]


def test_one_changed_setting_sends_no_file(project: Project, deployed: Deploy, seen: Seen) -> None:
    first = deployed(project)
    seen.clear()
    dump = project.settings.model_dump(by_alias=True)
    dump["app"]["env"] = {"LOG_LEVEL": "debug"}
    second = deployed(replace(project, settings=Settings.model_validate(dump)))
    assert second["deployment"] != first["deployment"]
    assert {(a, k) for a, k in changed(seen) if a != "kept"} == {("created", "deployment")}


def test_another_value_of_a_secret_starts_the_app_again(
    project: Project, deployed: Deploy, seen: Seen
) -> None:
    dump = project.settings.model_dump(by_alias=True)
    dump["app"]["env"] = {"API_KEY": {"secret": "KEY"}}
    wanting = replace(project, settings=Settings.model_validate(dump))
    put(project, "KEY", "first-value")
    first = deployed(wanting)
    assert deployed(wanting)["deployment"] == first["deployment"]
    put(project, "UNRELATED", "x")
    assert deployed(wanting)["deployment"] == first["deployment"]
    put(project, "KEY", "second-value")
    seen.clear()
    second = deployed(wanting)
    assert second["deployment"] != first["deployment"]
    assert environment(wanting, second)["API_KEY"] == "second-value"
    assert {kind for action, kind in changed(seen) if action in ("sent", "created")} == {"deployment"}
