"""A host of several workspaces, as `local up --unified` imitates it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service.database import DatabaseInstance

from metamcp_deploy import local, preflight
from metamcp_deploy.config.model import Settings
from metamcp_deploy.preflight.needs import State
from tests.local.embedded_world import project_in


def test_only_requests_that_name_the_workspace_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = project_in(tmp_path)
    running = local.up(project, unified=True)
    try:
        login = {"host": running.url, "token": running.token.reveal()}
        with pytest.raises(DatabricksError, match="Unable to load OAuth Config"):
            WorkspaceClient(**login).current_user.me()
        named = WorkspaceClient(**login, workspace_id=running.workspace_id)
        assert named.current_user.me().user_name == "developer@example.com"
        assert not preflight.look(project).missing
        # As every workspace since March 2026.
        with pytest.raises(DatabricksError, match="can no longer be created"):
            named.database.create_database_instance(DatabaseInstance(name="new", capacity="CU_1"))

        monkeypatch.setenv("DATABRICKS_TOKEN", running.token.reveal())
        elsewhere = Settings.model_validate({"target": "dev", "workspace": {"host": running.url}})
        report = preflight.look(dataclasses.replace(project, settings=elsewhere))
        assert [c.id for c in report.missing] == ["login"]
        assert "workspace.id" in report.missing[0].ask
        assert {c.state for c in report.checks if c.id not in ("host", "address", "login")} == {State.UNKNOWN}
    finally:
        local.reset(project)
