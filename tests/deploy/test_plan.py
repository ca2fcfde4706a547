"""Plans: what would be done, by whom each thing is owned, who made each difference; and that nothing is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metamcp_deploy import pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import OURS, Action, Change, Difference, Plan
from metamcp_deploy.stages import bundle_deploy, deploy, full_plan
from metamcp_deploy.target import session
from tests.deploy.tiny_app import with_app, with_settings, write_bundle, write_databricks_yml

Deploy = Callable[..., pipeline.Facts]


def planned(project: Project, *stages: str, **wishes: Any) -> Plan:
    found = full_plan.look(project, stages or deploy.REMOTE, [bundle_deploy.Wishes(**wishes)])
    assert found.plan is not None
    return found.plan


def only(plan: Plan) -> Change:
    """The one change that differs."""
    (change,) = [change for change in plan.changes if change.differs]
    return change


def acted(plan: Plan) -> dict[str, str]:
    return {change.kind: change.action.value for change in plan.changes}


def requests(project: Project) -> list[dict[str, Any]]:
    lines = (project.local / "requests.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_from_nothing_to_nothing(project: Project, deployed: Deploy) -> None:
    first = planned(project)
    assert acted(first) == {
        "Lakebase project": "create",
        "Lakebase branch": "create",
        "Lakebase endpoint": "create",
        "Lakebase database": "create",
        "secret scope": "create",
        "secret": "create",
        "release": "upload",
        "app": "create",
        "deployment": "deploy",
    }
    assert {change.owner for change in first.changes} == {OURS}
    deployed(project)
    again = planned(project)
    assert not again.differs
    assert again.lines()[-1] == "Nothing to do: 9 things are as they should be."


def test_a_plan_only_reads(project: Project, deployed: Deploy) -> None:
    before = len(requests(project))
    planned(project)
    deployed(project)
    middle = len(requests(project))
    planned(with_app(project, compute_size="LARGE"))
    methods = {r["method"] for r in requests(project)[middle:] if not r["path"].startswith("/oidc/")}
    assert methods == {"GET"}
    assert before < middle


def test_a_changed_setting(project: Project, deployed: Deploy) -> None:
    deployed(project)
    plan = planned(with_app(project, env={"LOG_LEVEL": "debug"}))
    change = only(plan)
    assert (change.action, change.kind) == (Action.DEPLOY, "deployment")
    assert Difference("env.LOG_LEVEL", None, "debug") in change.differences
    assert "      env.LOG_LEVEL: - → debug" in plan.lines()
    plan = planned(with_app(project, compute_size="LARGE", description="ours"))
    (app,) = plan.of("app")
    assert app.differences[:2] == (
        Difference("description", "MetaMCP, deployed by metamcp-deploy (target local)", "ours"),
        Difference("compute_size", "MEDIUM", "LARGE"),
    )


def test_drift_made_by_hand(project: Project, deployed: Deploy) -> None:
    deployed(project)
    workspace, name = session.connect(project), project.settings.app.name
    rest = [r for r in workspace.apps.get(name).resources if r["name"] != "database"]
    workspace.apps.update(name, {"resources": rest, "description": "mine now"})
    plan = planned(project)
    change = only(plan)
    assert (change.action, change.kind) == (Action.CHANGE, "app")
    database = f"projects/{name}/branches/production/databases/metamcp-app"
    assert change.differences == (
        Difference("description", "mine now", "MetaMCP, deployed by metamcp-deploy (target local)", "hand"),
        Difference("resources.database", None, database, "hand"),
    )
    assert f"      resources.database: - → {database}  (changed by hand)" in plan.lines()
    deployed(project)
    assert not planned(project).differs


def test_a_secrets_value_is_never_in_a_plan(project: Project, deployed: Deploy) -> None:
    deployed(project)
    workspace, scope = session.connect(project), project.settings.secret_scope
    value = workspace.secrets.get(scope, "BETTER_AUTH_SECRET")
    assert value is not None
    workspace.secrets.put(scope, "BETTER_AUTH_SECRET", value)
    plan = planned(project)
    assert only(plan).differences[0].field == "secret.BETTER_AUTH_SECRET"
    assert value.reveal() not in json.dumps(plan.as_dict())


def test_an_app_of_others_is_taken_over_only_when_asked(project: Project, deployed: Deploy) -> None:
    workspace, name = session.connect(project), project.settings.app.name
    workspace.apps.create(name, {"description": "the shop"})
    mine = only_of(planned(project), "app")
    assert (mine.action, mine.owner) == (Action.ADOPT, workspace.me)
    maker = workspace.me
    with session.shared():
        session.connect(project).identity["userName"] = "somebody@example.com"
        with pytest.raises(DeployError, match=f"made by {maker}") as caught:
            planned(project)
        assert caught.value.code is Code.ALREADY_EXISTS
        assert "--adopt" in caught.value.hint
        change = only_of(planned(project, adopt=True), "app")
        assert (change.action, change.owner) == (Action.ADOPT, maker)
    assert workspace.apps.get(name).raw["description"] == "the shop"
    deployed(project)
    assert only_of(planned(project), "app").owner == OURS


def only_of(plan: Plan, kind: str) -> Change:
    (change,) = plan.of(kind)
    return change


def test_a_database_that_others_made_is_added_to_and_told(project: Project, deployed: Deploy) -> None:
    workspace = session.connect(project)
    there = f"projects/{project.settings.app.name}"
    workspace.lakebase.create(there, {"display_name": "theirs"})
    plan = planned(project)
    change = only_of(plan, "Lakebase project")
    assert (change.action, change.owner) == (Action.ADOPT, workspace.me)
    assert only_of(plan, "Lakebase database").action is Action.CREATE
    deployed(project)
    change = only_of(planned(project), "Lakebase project")
    assert (change.action, change.owner) == (Action.KEEP, workspace.me)
    assert only_of(planned(project), "Lakebase database").owner == OURS


def test_sizes_that_the_settings_state(project: Project, deployed: Deploy) -> None:
    deployed(project)
    sized = with_settings(
        project, database={"min_cu": 1, "max_cu": 4, "suspend_after": 600, "history_days": 14}
    )
    plan = planned(sized)
    assert only_of(plan, "Lakebase project").differences == (
        Difference("history_retention_duration", "604800s", "1209600s"),
    )
    assert only_of(plan, "Lakebase endpoint").differences == (
        Difference("autoscaling_limit_min_cu", 0.5, 1),
        Difference("autoscaling_limit_max_cu", 2, 4),
        Difference("suspension", "300s", "600s"),
    )
    deployed(sized)
    assert not planned(sized).differs
    # What is not stated stays, but for the endpoint that came with a project of ours: it has our defaults.
    back = planned(project)
    assert not only_of(back, "Lakebase project").differs
    assert only_of(back, "Lakebase endpoint").differences[0] == Difference("autoscaling_limit_min_cu", 1, 0.5)


def test_another_kind_of_database_and_its_data(project: Project, deployed: Deploy) -> None:
    deployed(project)
    plan = planned(with_settings(project, database={"kind": "provisioned"}))
    assert "which stays with all its data" in only_of(plan, "app").reason
    assert "autoscaling" in only_of(plan, "database instance").reason


def test_what_is_managed_elsewhere(project: Project, deployed: Deploy) -> None:
    theirs = with_settings(
        with_app(project, managed=False), database={"managed": False}, secrets={"managed": False}
    )
    for lacking in ("has no Lakebase project", "BETTER_AUTH_SECRET", "the app"):
        with pytest.raises(DeployError) as caught:
            planned(theirs)
        assert caught.value.code is Code.NOT_FOUND
        assert lacking.lower() in caught.value.message.lower()
        if lacking == "has no Lakebase project":
            theirs = with_settings(theirs, database={"managed": True})
        elif lacking == "BETTER_AUTH_SECRET":
            theirs = with_settings(theirs, secrets={"managed": True})
    deployed(project)
    theirs = with_settings(
        with_app(project, managed=False), database={"managed": False}, secrets={"managed": False}
    )
    plan = planned(theirs)
    assert not plan.differs
    actions = {change.action for change in plan.changes if change.kind not in ("release", "deployment")}
    assert actions == {Action.CHECK}
    workspace, name = session.connect(project), project.settings.app.name
    workspace.apps.update(name, {"resources": workspace.apps.get(name).resources[1:]})
    with pytest.raises(DeployError, match="has no resource database") as caught:
        planned(theirs)
    assert "postgres" in (caught.value.detail or "")
    before = len(requests(project))
    write_databricks_yml(theirs)
    with pytest.raises(DeployError):
        deployed(theirs)
    asked = [r for r in requests(project)[before:] if not r["path"].startswith(("/oidc/", "/local/"))]
    assert {r["method"] for r in asked} == {"GET"}


def test_before_anything_is_built(project: Project) -> None:
    for path in project.state.glob("*"):
        path.unlink()
    found = full_plan.look(project, deploy.PIPELINE)
    assert found.differs
    assert found.plan is not None
    assert only_of(found.plan, "release").name == "that is not built yet"
    write_bundle(project)


def test_in_a_fresh_checkout_what_runs_is_compared_with_the_settings(
    project: Project, deployed: Deploy
) -> None:
    deployed(project)
    for path in project.state.glob("*"):
        path.unlink()
    other = with_app(project, env={"LOG_LEVEL": "debug"})
    found = full_plan.look(other, deploy.PIPELINE)
    assert found.plan is not None
    change = only_of(found.plan, "deployment")
    assert change.reason == "once it is built"
    assert "env.LOG_LEVEL" in [d.field for d in change.differences]
    assert "release" not in [d.field for d in change.differences]
    write_bundle(project)
