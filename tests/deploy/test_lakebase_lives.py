"""Lives of Lakebase's things as the platform has them: reserved ids, busy endpoints, suspension, disabled endpoints.

Expectations: databricks-sdk, service/postgres.py (purge, show_deleted, undelete_project, initial_endpoint_spec, the
exclusive fields of suspension, disabled), and databricks/cli, bundle/direct/dresources/postgres_endpoint.go (409 with
"reconciliation", pending_state).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from metamcp_deploy import local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.destroy import deletion
from metamcp_deploy.destroy.selection import Wishes
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.local.faults.presets import PRESETS
from metamcp_deploy.plan import Action, Change
from metamcp_deploy.preflight import look as preflight
from metamcp_deploy.preflight.needs import State
from metamcp_deploy.stages import deploy, full_plan
from metamcp_deploy.target import session
from metamcp_deploy.workspace import Workspace, services
from tests.deploy.tiny_app import with_settings

Deploy = Callable[..., pipeline.Facts]


def planned(project: Project) -> Change:
    found = full_plan.look(project, deploy.REMOTE).plan
    assert found is not None
    (change,) = found.of("Lakebase endpoint")
    return change


def endpoint_of(project: Project) -> str:
    return f"projects/{project.settings.app.name}/branches/production/endpoints/primary"


def status(workspace: Workspace, name: str) -> dict[str, Any]:
    return dict((workspace.lakebase.find(name) or {})["status"])


def test_the_id_of_a_deleted_project_is_reserved(project: Project, bundled: Deploy, base: Project) -> None:
    name = project.settings.app.name
    bundled(project)
    site = session.site(project)
    deletion.run(site, Wishes(database=True, secrets=True))
    assert site.workspace.lakebase.find(f"projects/{name}") is None
    lines = len((base.local / "requests.jsonl").read_text().splitlines())
    with pytest.raises(DeployError) as caught:
        bundled(project)
    assert caught.value.code is Code.ID_RESERVED
    assert f"databricks postgres undelete-project projects/{name}" in caught.value.hint
    assert "database.project" in caught.value.hint
    written = [
        line
        for line in (base.local / "requests.jsonl").read_text().splitlines()[lines:]
        if json.loads(line)["method"] != "GET" and "postgres" in json.loads(line)["path"]
    ]
    assert not written
    (check,) = [c for c in preflight(project).checks if c.id == "database"]
    assert check.state is State.MISSING
    assert "undelete-project" in check.ask
    # Whoever asks for it nevertheless is refused at once, and does not wait for it to appear.
    with pytest.raises(DeployError) as asked:
        site.workspace.lakebase.create(f"projects/{name}", {})
    assert asked.value.code is Code.ID_RESERVED
    site.workspace.lakebase.delete(f"projects/{name}", purge=True)
    assert site.workspace.lakebase.deleted(f"projects/{name}") is None


def test_a_project_that_is_purged_is_gone_at_once(project: Project, bundled: Deploy) -> None:
    name = project.settings.app.name
    bundled(project)
    site = session.site(project)
    with pytest.raises(DeployError, match="none of those that are deleted") as caught:
        deletion.run(site, Wishes(database=True, purge="another"))
    assert (caught.value.code, caught.value.hint) == (Code.USAGE, f"--purge {name}")
    with pytest.raises(DeployError, match="none of those that are deleted"):
        deletion.run(site, Wishes(purge=name))
    gone = deletion.run(site, Wishes(database=True, secrets=True, purge=name))
    assert "for good" in next(c.reason for c in gone.plan.changes if c.kind == "Lakebase project")
    bundled(project)
    assert session.connect(project).lakebase.find(f"projects/{name}")


def test_suspension_is_one_choice_of_two(project: Project, bundled: Deploy, base: Project) -> None:
    workspace, endpoint = session.connect(project), endpoint_of(project)
    bundled(project)
    # The endpoint that came with the project has our size, though no setting states it.
    assert {k: v for k, v in status(workspace, endpoint).items() if "_cu" in k or "susp" in k} == {
        "autoscaling_limit_min_cu": 0.5,
        "autoscaling_limit_max_cu": 2.0,
        "suspend_timeout_duration": "300s",
    }
    never = with_settings(project, database={"suspend_after": "never"})
    (difference,) = planned(never).differences
    assert (difference.field, difference.before, difference.after) == ("suspension", "300s", "never")
    bundled(never)
    assert "suspend_timeout_duration" not in status(workspace, endpoint)
    assert not planned(never).differs
    # A server that knows the newer mask alone, or the older one alone.
    later = with_settings(project, database={"suspend_after": 600})
    refused = faults.Fault(
        "400",
        f"PATCH /api/2.0/postgres/{endpoint}",
        "1",
        error_code="INVALID_PARAMETER_VALUE",
        message="update_mask",
    )
    with faults.injected(local.up(base), refused) as struck:
        bundled(later)
        assert struck() == 1
    assert status(workspace, endpoint)["suspend_timeout_duration"] == "600s"
    # A default that somebody changed by hand counts as well.
    workspace.lakebase.change(endpoint, {"autoscaling_limit_max_cu": 8})
    assert [(d.field, d.before, d.after, d.by) for d in planned(later).differences] == [
        ("autoscaling_limit_max_cu", 8, 2.0, "settings")
    ]


def test_a_disabled_endpoint_is_enabled_also_while_it_is_busy(
    project: Project, bundled: Deploy, base: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services, "_BUSY_PAUSE", 0.01)
    workspace, endpoint = session.connect(project), endpoint_of(project)
    bundled(project)
    workspace.lakebase.change(endpoint, {"disabled": True})
    change = planned(project)
    assert (change.action, change.reason) == (Action.CHANGE, "it is disabled, and enabled")
    with pytest.raises(DeployError, match="is disabled"):
        planned(with_settings(project, database={"managed": False}))
    with faults.injected(local.up(base), PRESETS["endpoint-busy"]) as struck:
        bundled(project)
        assert struck() == 2
    assert status(workspace, endpoint)["disabled"] is False
    assert not planned(project).differs
