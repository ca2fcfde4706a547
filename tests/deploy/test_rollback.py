"""Going back to an earlier deployment in the embedded workspace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.deployments import history, records, rollout
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action
from metamcp_deploy.rollback import execution, preparation
from metamcp_deploy.rollback.preparation import Wishes
from metamcp_deploy.target import session
from metamcp_deploy.target.site import Site
from tests.deploy.tiny_app import APP, with_app, write_bundle

Deploy = Callable[..., pipeline.Facts]


def env(site: Site) -> dict[str, str]:
    app = site.workspace.apps.get(site.project.settings.app.name)
    http = site.workspace.network.requests_session()
    answer: dict[str, str] = http.get(
        app.url + "/env", headers=site.workspace.app_headers(), timeout=120
    ).json()
    return answer


def newest(site: Site) -> records.Record:
    return records.newest(site, 1)[0]


def failed(site: Site, *wishes: Any, **more: Any) -> DeployError:
    with pytest.raises(DeployError) as caught:
        execution.run(site, Wishes(*wishes, **more))
    return caught.value


def test_release_and_settings_of_the_one_before(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    first = deployed(with_app(project, env={"LOG_LEVEL": "debug"}, compute_size="LARGE"))
    write_bundle(project, APP + "// the second release")
    second = deployed(project)
    assert "LOG_LEVEL" not in env(site)
    planned = preparation.look(site, Wishes()).plan
    assert [(c.action, c.kind) for c in planned.changes] == [
        (Action.KEEP, "database"),
        (Action.CHANGE, "app"),
        (Action.DEPLOY, "deployment"),
    ]
    fields = {d.field: (d.before, d.after) for change in planned.changes for d in change.differences}
    assert fields["release"] == (second["release"], first["release"])
    assert fields["env.LOG_LEVEL"] == (None, "debug")
    assert fields["compute_size"] == ("MEDIUM", "LARGE")
    assert newest(site).deployment == second["deployment"]  # a plan changes nothing
    done = execution.run(site, Wishes(), message="the second one is slow")
    assert env(site)["LOG_LEVEL"] == "debug"
    assert site.workspace.apps.get(first["app"]).raw["compute_size"] == "LARGE"
    record = newest(site)
    assert (record.deployment, record.kind, record.of) == (done.deployment, "rollback", first["deployment"])
    assert (record.outcome, record.release, record.raw["message"]) == (
        "SUCCEEDED",
        first["release"],
        "the second one is slow",
    )
    shown = history.look(site)[0]
    assert (shown.runs, shown.kind, shown.of) == (True, "rollback", first["deployment"])
    assert failed(site).code is Code.NOT_FOUND  # nothing before the first
    forward = execution.run(site, Wishes(second["deployment"][:12]))
    assert forward.rollback.target.release == second["release"]
    assert "LOG_LEVEL" not in env(site)
    again = execution.run(site, Wishes(forward.deployment))
    assert (again.new, again.deployment) == (False, forward.deployment)  # that is what runs


def test_a_secret_that_was_dropped_comes_back_with_its_present_value(
    project: Project, deployed: Deploy
) -> None:
    site = session.site(project)
    scope = project.settings.secret_scope
    deployed(project)
    site.workspace.secrets.put(scope, "OIDC", Secret("the first value"))
    deployed(with_app(project, env={"OIDC_CLIENT_SECRET": {"secret": "OIDC"}}))
    deployed(project)
    site.workspace.secrets.put(scope, "OIDC", Secret("the second value"))
    app = site.workspace.apps.get(project.settings.app.name)
    mine = [r for r in app.resources if r["name"] != "secret-oidc"]
    site.workspace.apps.update(app.name, {"resources": mine})
    found = preparation.look(site, Wishes())
    assert "secret-oidc" in json.dumps(found.plan.as_dict())
    assert not any(
        value in json.dumps(found.plan.as_dict()) for value in ("the first value", "the second value")
    )
    execution.run(site, Wishes())
    assert env(site)["OIDC_CLIENT_SECRET"] == "the second value"
    assert newest(site).raw["secrets"] == found.wanted.secrets


def test_after_a_failed_deployment_what_ran_before_it(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    good = deployed(project)
    with pytest.raises(DeployError):
        deployed(with_app(project, env={"MODE": "crash"}))
    assert execution.run(site, Wishes()).rollback.target.deployment == good["deployment"]
    assert newest(site).outcome == "SUCCEEDED"


def test_a_rollback_that_was_interrupted_is_taken_up(
    project: Project, deployed: Deploy, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = session.site(project)
    first, *_ = (deployed(with_app(project, env={"STEP": str(n)})) for n in range(3))
    middle = records.newest(site)[1]

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "_ended", interrupted)
        with pytest.raises(KeyboardInterrupt):
            execution.run(site, Wishes())
    begun = newest(site)
    assert (begun.outcome, begun.of) == ("IN_PROGRESS", middle.deployment)
    done = execution.run(site, Wishes())
    assert (done.deployment, done.rollback.target.deployment) == (begun.deployment, middle.deployment)
    assert (newest(site).outcome, env(site)["STEP"]) == ("SUCCEEDED", "1")
    assert execution.run(site, Wishes()).rollback.target.deployment == first["deployment"]


def test_what_cannot_be(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    assert failed(site).code is Code.NOT_FOUND  # no app
    first = deployed(project)
    assert failed(site).code is Code.NOT_FOUND  # no earlier one
    write_bundle(project, APP + "// the second release")
    deployed(project)
    site.workspace.files.delete(f"{site.root}/releases/{first['release']}/.complete")
    gone = failed(site)
    assert (gone.code, first["release"] in gone.message) == (Code.NO_WAY_BACK, True)
    assert failed(site, "feedfeed").code is Code.NOT_FOUND
    assert site.workspace.files.read(f"{site.root}/state/deploy.lock") is None


def test_a_record_of_a_later_format(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    first = deployed(project)
    deployed(with_app(project, env={"STEP": "2"}))
    records.amend_by_id(site, first["deployment"], format=2)
    assert failed(site).code is Code.NO_WAY_BACK


def test_an_older_release_on_a_newer_schema_is_a_choice(
    project: Project, deployed: Deploy, emitted: list[events.Event]
) -> None:
    site = session.site(project)
    write_bundle(project, journal=["0000_a"])
    first = deployed(project)
    write_bundle(project, APP + "// the second release", journal=["0000_a", "0001_b"])
    deployed(project)
    refused = failed(site)
    assert refused.code is Code.SCHEMA_MOVED
    assert "0001_b" in refused.message
    assert "0000_a" not in refused.message
    assert "--keep-database" in refused.hint
    assert "--to-database" in refused.hint
    assert site.workspace.apps.get(first["app"]).pending is None
    done = execution.run(site, Wishes(keep_database=True))
    assert done.as_dict()["migrations_kept"] == ["0001_b"]
    assert any(isinstance(e, events.Warned) and "0001_b" in e.text for e in emitted)
    assert newest(site).release == first["release"]


def test_on_failure_the_one_before_runs_again(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    good = deployed(project)
    with pytest.raises(DeployError) as caught, execution.on_failure(project):
        deployed(with_app(project, env={"MODE": "crash"}))
    assert caught.value.code is Code.DEPLOYMENT_FAILED
    assert f"Release {good['release']}" in caught.value.message
    assert "no luck today" in (caught.value.detail or "")
    assert newest(site).of == good["deployment"]
    assert env(site)["APP_URL"] == good["url"]


def test_nothing_to_go_back_to_on_failure(project: Project, deployed: Deploy) -> None:
    with pytest.raises(DeployError) as caught, execution.on_failure(project):
        deployed(with_app(project, env={"MODE": "crash"}))
    assert "the rollback did not work" in caught.value.message
    assert "no earlier good deployment" in caught.value.message
    with pytest.raises(DeployError) as other, execution.on_failure(project):
        raise DeployError(Code.LOCK_HELD, "held", hint="wait")
    assert other.value.message == "held"


def test_an_unhealthy_rollback_is_told_and_recorded(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    deployed(with_app(project, env={"MODE": "nodatabase"}))
    deployed(project)
    with pytest.raises(DeployError) as caught:
        execution.run(site, Wishes(), wait=0)
    assert caught.value.code is Code.UNHEALTHY
    assert newest(site).outcome == "UNHEALTHY"


def test_another_root_shows_nothing(project: Project, deployed: Deploy) -> None:
    site = session.site(project)
    deployed(project)
    elsewhere = replace(site, root="/Workspace/Shared/nothing")
    assert failed(elsewhere).code is Code.NOT_FOUND
