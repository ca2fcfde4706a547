"""Settings that companies enforce: sent where they are stated, compared with the workspace, kept in records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from metamcp_deploy import local, pipeline, preflight
from metamcp_deploy.config.project import Project
from metamcp_deploy.converge.parts.lakebase import fields
from metamcp_deploy.deployments import readiness
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.local.faults import presets
from metamcp_deploy.plan import Action, Difference
from metamcp_deploy.preflight.needs import State
from metamcp_deploy.target import session
from tests.deploy.test_plan import only_of, planned
from tests.deploy.tiny_app import APP, with_app, with_settings, write_bundle

Deploy = Callable[..., pipeline.Facts]
TABLES = {name: f"main.telemetry.{name}" for name in ("logs_table", "metrics_table", "traces_table")}
EXPORT = [{"unity_catalog": TABLES}]
OF_APP = {"budget_policy_id": "b-1", "usage_policy_id": "u-1", "telemetry_export_destinations": EXPORT}
OF_DATABASE: dict[str, Any] = {
    "budget_policy_id": "b-2",
    "tags": {"cost_center": "42"},
    "protect_branch": True,
}
# As the launcher: it listens at once, and is ready later, or never.
READY = APP.replace(
    "http.createServer((request, response) => {",
    """const begun = Date.now();
if (mode === "unready") console.error("Start failed at step migrate (schema_foreign): The schema is another's.");
http.createServer((request, response) => {
  if (request.url === "/.metamcp-deploy/ready") {
    const ready = mode !== "unready" && Date.now() > begun + Number(process.env.TAKES ?? 0);
    response.writeHead(ready ? 200 : 503);
    return response.end();
  }""",
)


def test_what_is_stated_is_sent_at_creation_and_kept(project: Project, deployed: Deploy) -> None:
    mine = with_settings(
        with_app(project, **OF_APP, space="team"), database={**OF_DATABASE, "pg_version": 17}
    )
    deployed(mine)
    workspace, name = session.connect(mine), mine.settings.app.name
    app = workspace.apps.get(name).raw
    assert {**OF_APP, "space": "team"}.items() <= app.items()
    lakebase = workspace.lakebase
    made = (lakebase.find(f"projects/{name}") or {})["status"]
    assert (made["budget_policy_id"], made["pg_version"]) == ("b-2", 17)
    assert made["custom_tags"][0] == {"key": "cost_center", "value": "42"}
    assert (lakebase.find(f"projects/{name}/branches/production") or {})["status"]["is_protected"] is True
    assert not planned(mine).differs
    # No longer stated: nothing is sent, and what was set stays.
    assert not planned(project).differs
    lakebase.change(f"projects/{name}/branches/production", {"is_protected": False})


def test_what_differs_is_planned_and_changed_and_tags_of_others_stay(
    project: Project, deployed: Deploy
) -> None:
    deployed(project)
    workspace, name = session.connect(project), project.settings.app.name
    theirs = [{"key": "owner", "value": "platform"}]
    workspace.lakebase.change(f"projects/{name}", {"custom_tags": theirs})
    mine = with_settings(with_app(project, **OF_APP, env={"A": "a new deployment"}), database=OF_DATABASE)
    plan = planned(mine)
    assert only_of(plan, "app").differences == tuple(Difference(k, None, v) for k, v in OF_APP.items())
    assert only_of(plan, "Lakebase project").differences == (
        Difference("budget_policy_id", None, "b-2"),
        Difference("custom_tags", {"owner": "platform"}, {"owner": "platform", "cost_center": "42"}),
    )
    assert only_of(plan, "Lakebase branch").differences == (Difference("is_protected", False, True),)
    deployed(mine)
    assert not planned(mine).differs
    # By hand: recognised, and put right.
    workspace.lakebase.change(f"projects/{name}/branches/production", {"is_protected": False})
    workspace.apps.update(name, {"budget_policy_id": "other"})
    plan = planned(mine)
    assert only_of(plan, "Lakebase branch").differences[0].by == "hand"
    assert only_of(plan, "app").differences == (Difference("budget_policy_id", "other", "b-1", "hand"),)


def test_what_is_fixed_at_creation_is_refused_before_anything_is_changed(
    project: Project, deployed: Deploy
) -> None:
    deployed(project)
    for other, what in (
        (with_app(project, space="team"), "is in no space"),
        (with_settings(project, database={"pg_version": 17}), "runs PostgreSQL 16"),
    ):
        with pytest.raises(DeployError, match=what) as caught:
            planned(other)
        assert caught.value.code is Code.CONFIG_CONFLICT


def test_an_instance_has_tags_and_a_policy(project: Project, deployed: Deploy) -> None:
    billed = {"kind": "provisioned", "tags": {"team": "ai"}, "usage_policy_id": "u-2"}
    deployed(with_settings(project, database={"kind": "provisioned"}))
    mine = with_settings(project, database=billed)
    change = only_of(planned(mine), "database instance")
    assert (change.action, [d.field for d in change.differences]) == (
        Action.CHANGE,
        ["usage_policy_id", "custom_tags"],
    )
    deployed(mine)
    found = session.connect(mine).instances.find(project.settings.app.name) or {}
    assert (found["usage_policy_id"], found["custom_tags"][1:]) == ("u-2", [{"key": "team", "value": "ai"}])
    assert not planned(mine).differs


def test_a_policy_that_the_workspace_does_not_show_is_not_sent_again() -> None:
    wanted = {"budget_policy_id": "b"}
    assert fields.differing(wanted, {}, wanted) == ()
    assert fields.differing(wanted, {}, {}) == (Difference("budget_policy_id", None, "b"),)


def test_with_a_health_check_the_previous_release_serves_until_the_new_one_is_ready(
    project: Project, deployed: Deploy
) -> None:
    write_bundle(project, READY)
    mine = with_app(project, health_check=60, env={"TAKES": "300"})
    facts = deployed(mine)
    made = session.connect(mine).apps.deployment(str(facts["app"]), str(facts["deployment"]))
    assert made.raw["health_check"] == {"path": "/.metamcp-deploy/ready", "timeout": "60s"}
    unready = with_app(mine, health_check=5, env={"MODE": "unready"})
    assert readiness.OVERLAP in only_of(planned(unready), "deployment").reason
    with pytest.raises(DeployError, match="did not pass its health check") as caught:
        deployed(with_app(unready, health_check=5))
    # No page of the launcher can be seen: its log lines say why.
    assert "failed at step migrate (schema_foreign)" in caught.value.message
    assert caught.value.hint.index("metamcp-deploy logs") > 0
    assert session.connect(mine).apps.get(str(facts["app"])).state == "RUNNING"


def test_a_release_of_before_the_check_is_deployed_without_it() -> None:
    assert readiness.check(60, {"format": 1}) is None
    assert readiness.check(None, {"format": 2}) is None
    assert readiness.cause(["listening", "no luck today"]) == ("", "")


@pytest.mark.parametrize("fault", ["mask-ignored", "size-refused"])
def test_a_deployment_survives_what_users_report_of_changes(
    base: Project, project: Project, deployed: Deploy, fault: str
) -> None:
    deployed(project)
    workspace, name = session.connect(project), project.settings.app.name
    workspace.apps.update(name, {"user_api_scopes": ["sql"]})  # somebody's choice
    running = local.up(base)
    faults.add(running, presets.PRESETS[fault], fault)
    try:
        deployed(with_app(project, compute_size="LARGE", description="ours"))
    finally:
        faults.clear(running, fault)
    found = workspace.apps.get(name).raw
    assert (found["compute_size"], found["description"], found["user_api_scopes"]) == (
        "LARGE",
        "ours",
        ["sql"],
    )
    assert {r["name"] for r in found["resources"]} >= {"database", "better-auth-secret"}


def test_preflight_looks_up_whom_the_settings_grant_something(project: Project) -> None:
    stated = [
        {"level": "CAN_USE", "user_name": "adda@example.com"},
        {"level": "CAN_USE", "group_name": "users"},
    ]
    misspelt = {c.id: c for c in preflight.look(with_app(project, permissions=stated)).checks}["principals"]
    assert (misspelt.state, misspelt.detail) == (State.MISSING, "there is no user adda@example.com")
    stated[0]["user_name"] = "ada@example.com"
    known = {c.id: c for c in preflight.look(with_app(project, permissions=stated)).checks}["principals"]
    assert known.state is State.HAD
    assert "principals" not in {c.id for c in preflight.look(project).checks}
