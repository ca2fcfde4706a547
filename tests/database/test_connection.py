"""Connections as the caller to each kind of database, and what is said when one fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import requests

from metamcp_deploy import local
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.database import connection, deployed
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local.faults.client import injected
from metamcp_deploy.local.faults.fault import Fault
from metamcp_deploy.target import session
from metamcp_deploy.workspace import Workspace
from tests.database.conftest import World
from tests.embedded_people import owner, person


def told(caught: pytest.ExceptionInfo[DeployError]) -> str:
    error = caught.value
    return f"{error.message} {error.hint} {error.detail}"


def ask(place: Any, world: World, timeout: float = 20) -> tuple[Any, ...]:
    with connection.connect(place, world.app, timeout=timeout) as made:
        found = made.execute("SELECT current_user, current_setting('application_name')").fetchone()
    assert found
    return found


def test_each_kind_as_the_caller(autoscaling: World, provisioned: World, external: World) -> None:
    assert ask(autoscaling.site, autoscaling) == ("developer@example.com", "metamcp-deploy")
    assert ask(provisioned.site, provisioned) == ("developer@example.com", "metamcp-deploy")
    assert ask(external.site, external)[0] == "postgres"


def test_with_an_app_and_a_login_alone(autoscaling: World, external: World) -> None:
    assert ask(autoscaling.site.workspace, autoscaling)[0] == "developer@example.com"
    bare = replace(external.site, project=replace(external.project, bare=True))
    assert ask(bare, external)[0] == "postgres"
    assert deployed.role_of(bare, external.app) == "postgres"


def test_whose_variables_the_shell_has_does_not_count(
    autoscaling: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"PGOPTIONS": "-c role=x", "PGPASSWORD": "x", "PGHOST": "x", "PGSSLMODE": "x"}.items():
        monkeypatch.setenv(name, value)
    assert ask(autoscaling.site, autoscaling)[0] == "developer@example.com"
    assert os.environ["PGPASSWORD"] == "x"


def test_somebody_without_a_role(autoscaling: World) -> None:
    made = person(autoscaling.running, "ben@example.com", admin=True)
    workspace = as_person(autoscaling.project, made)
    began = time.monotonic()
    with pytest.raises(DeployError) as caught:
        ask(workspace, autoscaling)
    assert time.monotonic() - began < 10, "it is not tried again"
    assert caught.value.code is Code.DATABASE_REFUSED
    assert "lists no role of that name" in told(caught)
    assert "databricks_create_role('ben@example.com', 'USER')" in told(caught)


def as_person(project: Project, made: dict[str, str]) -> Workspace:
    return Workspace.connect(
        project.settings,
        session.connect(project).network,
        host=local.reached(project).url,
        client_id=made["client_id"],
        client_secret=Secret(made["client_secret"]),
    )


@contextmanager
def struck(world: World, what: str, **fields: Any) -> Iterator[None]:
    with injected(world.running, Fault(what, "LOGIN *", by="operator", **fields)):
        yield


def test_what_passes_is_waited_for(autoscaling: World) -> None:
    """docs.databricks.com: a database scaled to zero, and a credential less than 30 seconds old."""
    with struck(autoscaling, "57P03", calls="1-2", message="the database system is starting up"):
        assert ask(autoscaling.site, autoscaling)
    with struck(autoscaling, "28P01", calls="1-2"):
        assert ask(autoscaling.site, autoscaling)


@pytest.mark.parametrize(
    ("what", "message", "code", "words"),
    [
        ("57P03", "the database system is starting up", Code.DATABASE_UNREACHABLE, "is waking up"),
        ("28P01", None, Code.DATABASE_REFUSED, "refused the login of developer@example.com"),
        ("53300", "too many connections for role x", Code.DATABASE_REFUSED, "has no connection left"),
        ("reset", None, Code.DATABASE_UNREACHABLE, "cannot be reached from this machine"),
        ("42501", "permission denied for database x", Code.DATABASE_REFUSED, "may not connect"),
        ("XX000", "something new", Code.DATABASE_REFUSED, "something new"),
    ],
)
def test_refusals_by_their_cause(
    autoscaling: World, what: str, message: str | None, code: Code, words: str
) -> None:
    with struck(autoscaling, what, message=message), pytest.raises(DeployError) as caught:
        ask(autoscaling.site, autoscaling, timeout=1)
    assert (caught.value.code, words in told(caught)) == (code, True), told(caught)
    assert "metamcp_app at 127.0.0.1:" in told(caught)


def test_one_that_never_answers_ends_in_time(autoscaling: World) -> None:
    began = time.monotonic()
    with struck(autoscaling, "stall"), pytest.raises(DeployError) as caught:
        ask(autoscaling.site, autoscaling, timeout=2)
    assert caught.value.code is Code.DATABASE_UNREACHABLE
    assert time.monotonic() - began < 8


def test_an_endpoint_that_is_disabled(autoscaling: World) -> None:
    endpoint = "projects/scaling/branches/production/endpoints/primary"
    path = f"/api/2.0/postgres/{endpoint}?update_mask=spec.disabled"
    patch(autoscaling, path, {"spec": {"disabled": True}})
    with pytest.raises(DeployError) as caught:
        ask(autoscaling.site, autoscaling)
    patch(autoscaling, path, {"spec": {"disabled": False}})
    assert caught.value.code is Code.DATABASE_UNREACHABLE
    assert f"The endpoint {endpoint} is disabled" in told(caught)


def test_an_instance_that_is_stopped(provisioned: World) -> None:
    instances = provisioned.site.workspace.instances
    instances.change("instanced", {"stopped": True})
    with pytest.raises(DeployError) as caught:
        ask(provisioned.site, provisioned)
    while (instances.find("instanced") or {})["state"] != "STOPPED":
        time.sleep(0.02)
    instances.change("instanced", {"stopped": False})
    instances.available("instanced", 20, starting=True)
    assert caught.value.code is Code.DATABASE_UNREACHABLE
    assert "The database instance instanced is " in told(caught)


def patch(world: World, path: str, body: dict[str, Any]) -> None:
    answer = requests.patch(world.running.url + path, json=body, headers=owner(world.running), timeout=60)
    assert answer.status_code == 200, answer.text


def test_an_external_one_that_offers_no_tls(external_url: Callable[[str], World]) -> None:
    world = external_url("?sslmode=require")
    with pytest.raises(DeployError) as caught:
        ask(world.site, world)
    assert "offers no TLS" in told(caught)


def test_a_url_with_another_password(external_url: Callable[[str], World]) -> None:
    world = external_url("?sslmode=disable", "marked-password")
    with pytest.raises(DeployError) as caught:
        ask(world.site, world)
    assert "refused the login of postgres" in told(caught)
    assert "marked-password" not in told(caught)


def test_a_url_that_is_none(external_url: Callable[[str], World]) -> None:
    world = external_url("?sslmode=prefer", "marked-password")
    with pytest.raises(DeployError) as caught:
        ask(world.site, world)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "marked-password" not in told(caught)
