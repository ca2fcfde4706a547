"""Permissions on app, database and scope: those that are missing are added, and nobody's are taken away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import session
from tests.deploy.tiny_app import changed, with_settings, write_bundle
from tests.embedded_people import grant, grant_scope

ADA, BEN = "ada@example.com", "ben@example.com"
Bundled = Callable[[Project], pipeline.Facts]


def granting(project: Project, **sections: Any) -> Project:
    made = with_settings(project, **sections)
    made = replace(made, all_targets=(made.settings,))
    write_bundle(made)
    return made


def to(who: str, level: str) -> dict[str, Any]:
    return {"permissions": [{"level": level, "user_name": who}]}


@pytest.mark.parametrize("kind", ["autoscaling", "provisioned"])
def test_what_others_granted_and_the_apps_own_stay(
    project: Project, base: Project, bundled: Bundled, kind: str, seen: list[events.Event]
) -> None:
    plain = granting(project, database={"kind": kind})
    principal, name = bundled(plain)["principal"], project.settings.app.name
    running = local.up(base)
    thing = "database-projects" if kind == "autoscaling" else "database-instances"
    grant(running, thing, name, "CAN_USE", user_name=BEN)
    grant_scope(running, name, "READ", BEN)
    wanting = granting(
        plain, app=to(ADA, "CAN_MANAGE"), database=to(ADA, "CAN_MANAGE"), secrets=to(ADA, "WRITE")
    )
    seen.clear()
    bundled(wanting)
    assert changed(seen).count(("created", "permission")) == 3
    workspace = session.connect(wanting)
    granted = workspace.permissions.granted(thing, name)
    assert granted["user_name", BEN] == {"CAN_USE"}
    assert "CAN_MANAGE" in granted["user_name", ADA]
    scope = workspace.secrets.granted(name)
    assert (scope[BEN], scope[ADA]) == ("READ", "WRITE")
    assert scope[principal] == "READ"  # what its resource gave it
    seen.clear()
    bundled(wanting)
    assert {action for action, _ in changed(seen)} == {"kept"}


def test_a_higher_level_is_not_lowered(
    project: Project, base: Project, bundled: Bundled, seen: list[events.Event]
) -> None:
    bundled(project)
    running, name = local.up(base), project.settings.app.name
    grant(running, "database-projects", name, "CAN_MANAGE", user_name=ADA)
    grant_scope(running, name, "MANAGE", ADA)
    seen.clear()
    bundled(granting(project, database=to(ADA, "CAN_USE"), secrets=to(ADA, "READ")))
    assert ("created", "permission") not in changed(seen)
    assert session.connect(project).secrets.granted(name)[ADA] == "MANAGE"


def test_on_what_is_managed_elsewhere_they_are_only_looked_at(
    project: Project, base: Project, bundled: Bundled
) -> None:
    bundled(project)
    theirs = granting(project, secrets={"managed": False, **to(ADA, "READ")})
    with pytest.raises(DeployError) as caught:
        bundled(theirs)
    assert caught.value.code is Code.PERMISSION_DENIED
    assert f"no READ on secret scope {project.settings.app.name} for {ADA}" in caught.value.message
    grant_scope(local.up(base), project.settings.app.name, "READ", ADA)
    bundled(theirs)
