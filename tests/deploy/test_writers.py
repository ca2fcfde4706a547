"""Who may write to a target's root, as the workspace's access lists say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from metamcp_deploy import local, pipeline, preflight
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action
from metamcp_deploy.preflight.needs import State
from metamcp_deploy.stages import deploy, full_plan
from metamcp_deploy.target import protection, session, writers
from tests.deploy.others import elsewhere
from tests.embedded_people import grant, machine, person

Deploy = Callable[..., pipeline.Facts]
ADA = "ada@example.com"


def protected(project: Project) -> Project:
    dump = project.settings.model_dump(by_alias=True)
    return replace(project, settings=Settings.model_validate({**dump, "protected": True}))


def test_who_may_write_is_named_and_a_root_of_everybody_refused(
    project: Project, base: Project, bundled: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    running, name = local.up(base), project.settings.app.name
    for variable, value in machine(person(running, ADA)).items():
        monkeypatch.setenv(variable, value)
    shared = f"/Workspace/Shared/{name}"
    hers = elsewhere(project, running.url, shared)
    site = session.site(hers)
    assert writers.look(site.workspace, shared) == writers.Writers("/Workspace/Shared", ("users",))
    assert writers.look(site.workspace, "/Workspace/Users/developer@example.com/x").others is None
    plan = full_plan.look(hers, deploy.REMOTE).plan
    assert plan is not None
    (row,) = plan.of("root folder")
    assert (row.action, row.reason) == (Action.CHECK, "also written by users")

    monkeypatch.setattr(protection, "allow", lambda project: None)  # its configuration is in no git
    mine = protected(hers)
    with pytest.raises(DeployError) as caught:
        bundled(mine)
    assert (caught.value.code, "CAN MANAGE" in caught.value.hint) == (Code.TARGET_PROTECTED, True)
    assert site.workspace.apps.find(name) is None
    (root,) = (check for check in preflight.look(mine).checks if check.id == "root")
    assert (root.state, "also written by users" in root.detail) == (State.MISSING, True)

    own = f"/Workspace/Users/{ADA}/{name}"
    site.workspace.files.make_folder(own)
    writers.allow(session.site(protected(elsewhere(project, running.url, own))))
    assert writers.look(site.workspace, own).others == ()
    grant(
        running,
        "directories",
        str(site.workspace.files.object_id(own)),
        "CAN_MANAGE",
        user_name="ben@example.com",
    )
    assert writers.look(site.workspace, own).others == ("ben@example.com",)
