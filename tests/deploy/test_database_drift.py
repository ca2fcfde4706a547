"""Databases that were changed by hand, and those that others made: plans say so."""

from __future__ import annotations

from collections.abc import Callable

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.plan import OURS, Action, Change, Difference
from metamcp_deploy.rollback import execution, preparation
from metamcp_deploy.stages import deploy, full_plan
from metamcp_deploy.target import session
from metamcp_deploy.workspace import Workspace, poll
from tests.deploy.tiny_app import changed, with_app, with_settings

Deploy = Callable[..., pipeline.Facts]


def only(project: Project, kind: str) -> Change:
    found = full_plan.look(project, deploy.REMOTE).plan
    assert found is not None
    (change,) = found.of(kind)
    return change


def in_state(workspace: Workspace, name: str, state: str) -> None:
    def look() -> bool | None:
        return (workspace.instances.find(name) or {}).get("state") == state or None

    poll(look, what="", within=120, hint="")


def test_a_project_and_an_endpoint_changed_by_hand(project: Project, deployed: Deploy) -> None:
    sized = with_settings(project, database={"max_cu": 4, "suspend_after": 600, "history_days": 14})
    deployed(sized)
    workspace, name = session.connect(project), project.settings.app.name
    endpoint = f"projects/{name}/branches/production/endpoints/primary"
    workspace.lakebase.change(endpoint, {"autoscaling_limit_max_cu": 8})
    workspace.lakebase.change(f"projects/{name}", {"history_retention_duration": "259200s"})
    assert only(sized, "Lakebase endpoint").differences == (
        Difference("autoscaling_limit_max_cu", 8, 4, "hand"),
    )
    assert only(sized, "Lakebase project").differences == (
        Difference("history_retention_duration", "259200s", "1209600s", "hand"),
    )
    other = with_settings(sized, database={"max_cu": 2})
    assert only(other, "Lakebase endpoint").differences == (Difference("autoscaling_limit_max_cu", 8, 2),)
    deployed(sized)
    assert not only(sized, "Lakebase endpoint").differs
    # A rollback does not change sizes, and they are compared with the same as before.
    deployed(with_app(sized, env={"LOG_LEVEL": "debug"}))
    with session.shared():
        execution.run(session.site(sized), preparation.Wishes())
    workspace.lakebase.change(endpoint, {"autoscaling_limit_max_cu": 8})
    assert only(sized, "Lakebase endpoint").differences[0].by == "hand"


def test_an_instance_changed_by_hand(project: Project, deployed: Deploy) -> None:
    stated = with_settings(project, database={"kind": "provisioned", "capacity": "CU_2"})
    deployed(stated)
    workspace, name = session.connect(project), project.settings.app.name
    workspace.instances.change(name, {"capacity": "CU_4"})
    in_state(workspace, name, "AVAILABLE")
    change = only(stated, "database instance")
    assert (change.action, change.owner) == (Action.CHANGE, OURS)
    assert change.differences == (Difference("capacity", "CU_4", "CU_2", "hand"),)
    other = with_settings(stated, database={"capacity": "CU_8"})
    assert only(other, "database instance").differences == (Difference("capacity", "CU_4", "CU_8"),)


def test_an_instance_of_others_is_started_and_resized_and_that_is_told(
    project: Project, deployed: Deploy, seen: list[events.Event]
) -> None:
    workspace, name = session.connect(project), project.settings.app.name
    workspace.instances.create(name, {"capacity": "CU_1"})
    in_state(workspace, name, "AVAILABLE")
    unstated = with_settings(project, database={"kind": "provisioned"})
    assert only(unstated, "database instance").action is Action.KEEP
    stated = with_settings(unstated, database={"capacity": "CU_2"})
    resized = only(stated, "database instance")
    assert (resized.action, resized.owner) == (Action.ADOPT, workspace.me)
    assert resized.reason == "made by somebody else, and changed"
    workspace.instances.change(name, {"stopped": True})
    in_state(workspace, name, "STOPPED")
    started = only(stated, "database instance")
    assert (started.action, started.reason) == (Action.ADOPT, "made by somebody else, and started")
    deployed(stated)
    assert ("started", "database instance") in changed(seen)
    found = workspace.instances.find(name) or {}
    assert (found["state"], found["capacity"]) == ("AVAILABLE", "CU_2")
    assert only(stated, "database instance").action is Action.KEEP
