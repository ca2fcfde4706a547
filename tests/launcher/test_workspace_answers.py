"""What a start asks the workspace about the app itself, and a workspace that is away meanwhile."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.launcher.launcher_app import App, FakeWorkspace

Launch = Callable[..., App]


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize("missing", ["APP_URL", "LAKEBASE_ENDPOINT"])
def test_a_workspace_that_is_away_for_a_moment_is_asked_again(
    launch: Launch, workspace: FakeWorkspace, missing: str, status: int
) -> None:
    resources = [{"name": "database", "postgres": {"branch": "projects/p/branches/b"}}]
    workspace.answers["/api/2.0/apps/tiny"] = (status, {"error_code": "TEMPORARILY_UNAVAILABLE"})
    app = launch(env={missing: None})
    body = app.away().json()
    assert body["code"] == "workspace_unreachable"
    assert "goes on trying" in body["message"]
    app.logged(f"Failed to read the app: HTTP {status}")
    known = {"url": "https://tiny.example.com", "resources": resources}
    workspace.answers["/api/2.0/apps/tiny"] = (200, known)
    app.up()


def test_a_workspace_that_breaks_off_is_asked_again_for_the_url(
    launch: Launch, workspace: FakeWorkspace
) -> None:
    workspace.breaks_off.add("/api/2.0/apps/tiny")
    app = launch(env={"APP_URL": None})
    assert app.away().json()["code"] == "workspace_unreachable"
    workspace.breaks_off.clear()
    app.up()


@pytest.mark.parametrize(
    "own",
    [{"PGPASSWORD": "fixed-password-marked"}, {"DATABASE_URL": "postgresql://me:pw@pg.example.com/d"}],
    ids=["password", "url"],
)
def test_several_instances_are_refused_with_a_database_of_any_kind(
    launch: Launch, workspace: FakeWorkspace, own: dict[str, str]
) -> None:
    workspace.answers["/api/2.0/apps/tiny"] = (200, {"name": "tiny", "compute_max_instances": 2})
    app = launch(env=own)
    assert app.away().json()["code"] == "many_instances"
    app.stop()
    alone = launch(env={**own, "DATABRICKS_CLIENT_SECRET": None}).up()  # nothing to ask with
    assert "Missing Databricks client credentials" not in alone.log


def test_a_workspace_that_does_not_answer_holds_up_no_start_that_can_do_without(
    launch: Launch, workspace: FakeWorkspace
) -> None:
    workspace.silent = 8
    app = launch(env={"PGPASSWORD": "fixed-password-marked"})
    app.until(lambda: app.get("/health").status_code == 200, 60)
