"""bundle-deploy and app-deploy against the embedded workspace, with a real Node and a real Postgres."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.converge.part import Context
from metamcp_deploy.converge.parts.app.part import AppPart
from metamcp_deploy.deployments import access, rollout
from metamcp_deploy.deployments.log.view import Wishes
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.health import Status
from metamcp_deploy.redaction import Redactor
from metamcp_deploy.release import releases
from metamcp_deploy.stages import app_deploy, bundle_deploy
from metamcp_deploy.target import desired, session
from metamcp_deploy.target.site import root as root_of
from metamcp_deploy.workspace import lock
from metamcp_deploy.workspace.apps import App
from tests import http_seam
from tests.deploy.tiny_app import APP, changed, with_app, write_bundle
from tests.embedded_people import person

Deploy = Callable[..., pipeline.Facts]
Seen = list[events.Event]


def ask(project: Project, facts: pipeline.Facts, path: str) -> Any:
    workspace = session.connect(project)
    response = workspace.network.requests_session().get(
        facts["url"] + path, headers=workspace.app_headers(), timeout=120
    )
    return response.json()


def record(project: Project, facts: pipeline.Facts) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(session.connect(project).files.read(facts["record"]) or b"")
    return found


def logged(project: Project, wishes: Wishes) -> list[str]:
    return [one.line.message for batch in access.logs(project, wishes, Redactor()) for one in batch]


def kinds(seen: Seen, action: str) -> set[str]:
    return {kind for a, kind in changed(seen) if a == action}


def test_from_nothing_to_healthy(project: Project, deployed: Deploy, seen: Seen) -> None:
    facts = deployed(project)
    assert kinds(seen, "created") >= {
        "Lakebase project",
        "Lakebase database",
        "secret scope",
        "secret",
        "app",
        "deployment",
    }
    assert kinds(seen, "sent") == {"release"}
    assert any(e.message == "tiny app listens" for e in seen if isinstance(e, events.LogLine))
    assert access.healthy(project, 10).status is Status.HEALTHY
    env = ask(project, facts, "/env")
    assert env["APP_URL"] == facts["url"]
    assert env["LAKEBASE_ENDPOINT"] == f"projects/{facts['app']}/branches/production/endpoints/primary"
    assert env["TRANSFORM_LOCALHOST_TO_DOCKER_INTERNAL"] == "false"
    assert env["METAMCP_SECRET_ENV"] == "BETTER_AUTH_SECRET"
    assert len(env["BETTER_AUTH_SECRET"]) >= 43
    assert {"PGHOST", "PGUSER", "PGDATABASE"} <= set(env)


def test_again_nothing_changes(project: Project, deployed: Deploy, seen: Seen) -> None:
    first = deployed(project)
    pid = ask(project, first, "/pid")
    seen.clear()
    assert deployed(project) == first
    assert {action for action, _ in changed(seen)} == {"kept"}
    assert ask(project, first, "/pid") == pid


def test_redeploy_restarts(project: Project, deployed: Deploy) -> None:
    first = deployed(project)
    pid = ask(project, first, "/pid")
    second = deployed(project, redeploy=True, message="for luck")
    assert second["deployment"] != first["deployment"]
    assert ask(project, second, "/pid") != pid
    assert record(project, second)["message"] == "for luck"


def test_the_secret_is_made_once_and_seen_nowhere(project: Project, deployed: Deploy, seen: Seen) -> None:
    facts = deployed(project)
    secret = ask(project, facts, "/env")["BETTER_AUTH_SECRET"]
    again = deployed(project, redeploy=True)
    assert ask(project, again, "/env")["BETTER_AUTH_SECRET"] == secret
    assert secret not in json.dumps(record(project, facts))
    assert secret not in "".join(map(str, seen))
    for path in project.build.rglob("*"):
        if path.is_file() and project.local not in path.parents:
            assert secret.encode() not in path.read_bytes()


def test_a_given_secret_is_stored_and_a_differing_one_refused(project: Project, deployed: Deploy) -> None:
    given = replace(project, secrets={"BETTER_AUTH_SECRET": Secret("given-by-the-user-0123456789")})
    facts = deployed(given)
    assert ask(project, facts, "/env")["BETTER_AUTH_SECRET"] == "given-by-the-user-0123456789"
    other = replace(project, secrets={"BETTER_AUTH_SECRET": Secret("another-value-0123456789")})
    with pytest.raises(DeployError) as caught:
        deployed(other)
    assert caught.value.code is Code.CONFIG_CONFLICT
    assert "another-value" not in str(caught.value.as_dict())
    assert "given-by" not in str(caught.value.as_dict())


def test_settings_reach_the_app_and_the_record(project: Project, deployed: Deploy) -> None:
    first = deployed(project)
    facts = deployed(with_app(project, env={"LOG_LEVEL": "debug"}))
    assert facts["deployment"] != first["deployment"]
    assert ask(project, facts, "/env")["LOG_LEVEL"] == "debug"
    kept = record(project, facts)
    assert {"name": "LOG_LEVEL", "value": "debug"} in kept["env"]
    assert {"name": "BETTER_AUTH_SECRET", "value_from": "better-auth-secret"} in kept["env"]
    assert (kept["outcome"], kept["release"], kept["by"]) == (
        "SUCCEEDED",
        facts["release"],
        "developer@example.com",
    )


def test_a_secret_of_the_settings(project: Project, deployed: Deploy) -> None:
    wanting = with_app(project, env={"OIDC_CLIENT_SECRET": {"secret": "OIDC_SECRET"}})
    with pytest.raises(DeployError) as caught:
        deployed(wanting)
    assert caught.value.code is Code.NOT_FOUND
    assert "metamcp-deploy secrets set OIDC_SECRET" in caught.value.hint
    workspace, scope = session.connect(project), project.settings.secret_scope
    assert workspace.secrets.written(scope) is None  # nothing half done
    workspace.secrets.create_scope(scope)
    workspace.secrets.put(scope, "OIDC_SECRET", Secret("hush"))
    env = ask(project, deployed(wanting), "/env")
    assert env["OIDC_CLIENT_SECRET"] == "hush"
    assert env["METAMCP_SECRET_ENV"] == "BETTER_AUTH_SECRET,OIDC_CLIENT_SECRET"


def test_resources_of_others_stay(project: Project, deployed: Deploy, bundled: Deploy, seen: Seen) -> None:
    deployed(project)
    workspace, name = session.connect(project), project.settings.app.name
    workspace.secrets.put(project.settings.secret_scope, "THEIRS", Secret("x"))
    mine = workspace.apps.get(name).resources
    theirs = {
        "name": "theirs",
        "secret": {"scope": project.settings.secret_scope, "key": "THEIRS", "permission": "READ"},
    }
    workspace.apps.update(name, {"resources": [theirs, *(r for r in mine if r["name"] != "database")]})
    seen.clear()
    bundled(project)
    assert ("changed", "app") in changed(seen)
    assert {r["name"] for r in workspace.apps.get(name).resources} == {
        "theirs",
        "database",
        "better-auth-secret",
    }


def test_grants_are_added_and_others_stay(project: Project, bundled: Deploy, seen: Seen) -> None:
    wanting = with_app(project, permissions=[{"level": "CAN_USE", "group_name": "users"}])
    bundled(project)
    workspace, name = session.connect(project), project.settings.app.name
    person(local.up(project), "b@example.com")
    workspace.permissions.grant(
        "apps", name, [{"user_name": "b@example.com", "permission_level": "CAN_MANAGE"}]
    )
    bundled(wanting)
    assert ("created", "permission") in changed(seen)
    seen.clear()
    bundled(wanting)
    assert ("kept", "permission") in changed(seen)
    granted = workspace.permissions.granted("apps", name)
    assert granted["group_name", "users"] == {"CAN_USE"}
    assert granted["user_name", "b@example.com"] == {"CAN_MANAGE"}


def test_only_what_is_missing_is_sent(project: Project, bundled: Deploy, seen: Seen) -> None:
    facts = bundled(project)
    workspace = session.connect(project)
    workspace.files.delete(f"{facts['release_path']}/backend.tar.gz")
    workspace.files.write(f"{facts['release_path']}/start.mjs", b"cut off")
    assert not releases.is_complete(workspace, facts["root"], facts["release"])
    seen.clear()
    bundled(project)
    assert [
        e.name.split(" (")[1][:7] for e in seen if isinstance(e, events.Changed) and e.kind == "release"
    ] == ["2 files"]
    assert releases.is_complete(workspace, facts["root"], facts["release"])


def test_an_upload_that_was_cut_off_is_not_a_release(project: Project, bundled: Deploy) -> None:
    facts = bundled(project)
    workspace = session.connect(project)
    workspace.files.delete(f"{facts['release_path']}/.complete")
    with pytest.raises(DeployError) as caught:
        pipeline.execute(app_deploy.step(project), project.state)
    assert caught.value.code is Code.STAGE_MISSING
    assert "bundle-deploy" in caught.value.hint


def test_app_deploy_wants_a_bundle(project: Project, bundled: Deploy) -> None:
    def refused(what: Project) -> str:
        with pytest.raises(DeployError) as caught:
            pipeline.execute(app_deploy.step(what), what.state)
        assert caught.value.code is Code.STAGE_MISSING
        return caught.value.message

    assert "bundle-deploy" in refused(project)
    bundled(project)
    other = Settings.model_validate({**project.settings.model_dump(by_alias=True), "target": "other"})
    assert "target local" in refused(replace(project, settings=other))
    write_bundle(project, APP + "// newer")
    assert "was built since" in refused(project)


@pytest.mark.parametrize("damage", ["missing", "other", "json", "large"])
def test_a_bundle_that_is_not_whole(project: Project, damage: str) -> None:
    app = project.bundle / "app"
    if damage == "missing":
        (app / "backend.tar.gz").unlink()
    elif damage == "other":
        (app / "backend.tar.gz").write_bytes(b"x")
    elif damage == "json":
        (app / "release.json").write_text("{")
    else:
        with (app / "large").open("wb") as f:
            f.truncate(10_485_761)
    try:
        with pytest.raises(DeployError) as caught:
            pipeline.execute(bundle_deploy.step(project), project.state)
    finally:
        (app / "large").unlink(missing_ok=True)
    assert caught.value.code is Code.BUNDLE_INVALID


def test_bundle_deploy_wants_a_build(project: Project) -> None:
    (project.state / "build.json").unlink()
    with pytest.raises(DeployError) as caught:
        pipeline.execute(bundle_deploy.step(project), project.state)
    assert caught.value.code is Code.STAGE_MISSING


def test_a_crash_ends_with_the_apps_last_words(project: Project, deployed: Deploy) -> None:
    with pytest.raises(DeployError) as caught:
        deployed(with_app(project, env={"MODE": "crash"}))
    assert caught.value.code is Code.DEPLOYMENT_FAILED
    assert "no luck today" in (caught.value.detail or "")
    assert "metamcp-deploy logs" in caught.value.hint
    workspace = session.connect(project)
    root = root_of(project.settings, workspace.me)
    entries = workspace.files.entries(f"{root}/deployments")
    outcomes = [
        json.loads(workspace.files.read(f"{root}/deployments/{n}") or b"")["outcome"] for n in entries
    ]
    assert outcomes == ["FAILED"]
    assert deployed(project)["deployment"]  # and the next one heals it


def test_a_stopped_app_is_started(project: Project, deployed: Deploy) -> None:
    first = deployed(project)
    workspace = session.connect(project)
    workspace._transport.do("POST", f"/api/2.0/apps/{first['app']}/stop", body={})
    for _ in range(200):
        if workspace.apps.get(first["app"]).compute == "STOPPED":
            break
        workspace.clock.sleep(0.05)
    assert access.healthy(project).status is Status.STOPPED
    facts = deployed(project)
    assert access.healthy(project, 10).status is Status.HEALTHY
    assert ask(project, facts, "/env")["APP_URL"] == first["url"]


def test_a_run_that_was_interrupted_while_it_followed(
    project: Project, deployed: Deploy, seen: Seen, monkeypatch: pytest.MonkeyPatch
) -> None:
    from metamcp_deploy.deployments import rollout

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rollout, "_ended", interrupted)
        with pytest.raises(KeyboardInterrupt):
            deployed(project)
    begun = [
        e.name
        for e in seen
        if isinstance(e, events.Changed) and (e.action, e.kind) == ("created", "deployment")
    ]
    workspace = session.connect(project)
    root = root_of(project.settings, workspace.me)
    assert workspace.files.read(f"{root}/state/deploy.lock") is None
    assert deployed(project)["deployment"] == begun[0]
    assert record(project, pipeline.facts(project.state, "app-deploy", ""))["outcome"] == "SUCCEEDED"


def test_two_deployments_at_once(project: Project, deployed: Deploy, bundled: Deploy) -> None:
    """Somebody else's deployment is under way: ours waits for it and then takes its place."""
    first = deployed(project)
    other = session.connect(project)
    begun = other.apps.deploy(
        first["app"],
        first["release_path"] if "release_path" in first else bundled(project)["release_path"],
        [],
    )
    facts = deployed(with_app(project, env={"LOG_LEVEL": "warn"}))
    assert facts["deployment"] != begun.id
    assert ask(project, facts, "/env")["LOG_LEVEL"] == "warn"


def test_an_app_of_several_instances_is_refused(project: Project, bundled: Deploy) -> None:
    bundled(project)
    workspace, name = session.connect(project), project.settings.app.name
    raw = {**workspace.apps.get(name).raw, "compute_min_instances": 1, "compute_max_instances": 3}

    def look(settings: Settings) -> None:
        site = session.Site(replace(project, settings=settings), workspace, "/Workspace/x")
        AppPart(Context(site, desired.of(settings, site.root), app=App(raw))).look()

    with pytest.raises(DeployError, match="up to 3 instances") as caught:
        look(project.settings)
    assert caught.value.code is Code.CONFIG_CONFLICT
    look(with_app(project, allow_instances=True).settings)


def test_an_app_that_is_being_deleted_is_waited_for(project: Project, deployed: Deploy, seen: Seen) -> None:
    first = deployed(project)
    session.connect(project)._transport.do("DELETE", f"/api/2.0/apps/{first['app']}")
    seen.clear()
    second = deployed(project)
    assert ("created", "app") in changed(seen)
    assert second["deployment"] != first["deployment"]


def test_the_official_tools_state_is_respected(project: Project, bundled: Deploy) -> None:
    workspace = session.connect(project)
    root = root_of(project.settings, workspace.me)
    workspace.files.make_folder(f"{root}/state")
    state = {
        "resources": [
            {"type": "databricks_app", "instances": [{"attributes": {"name": project.settings.app.name}}]}
        ]
    }
    workspace.files.write(f"{root}/state/terraform.tfstate", json.dumps(state).encode())
    with pytest.raises(DeployError) as caught:
        bundled(project)
    assert caught.value.code is Code.ALREADY_EXISTS
    assert workspace.apps.find(project.settings.app.name) is None
    state["resources"] = []
    workspace.files.write(f"{root}/state/terraform.tfstate", json.dumps(state).encode())
    assert bundled(project)["app"]


def test_logs_and_token(project: Project, deployed: Deploy) -> None:
    facts = deployed(project)
    assert "tiny app listens" in logged(project, Wishes())
    assert logged(project, Wishes(source="APP", last=1)) == ["tiny app listens"]
    assert {"listens" in line for line in logged(project, Wishes(grep="tiny.*listens$"))} == {True}
    workspace = session.connect(project)
    headers = {"Authorization": f"Bearer {access.token(project)}"}
    answer = workspace.network.requests_session().get(facts["url"] + "/metamcp", headers=headers, timeout=120)
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("mode", "status"),
    [("nodatabase", Status.DATABASE_DOWN), ("launcher", Status.STARTING), ("well", Status.HEALTHY)],
)
def test_health_of_a_real_app(project: Project, deployed: Deploy, mode: str, status: Status) -> None:
    deployed(with_app(project, env={"MODE": mode}))
    assert access.healthy(project).status is status


def test_operating_without_an_app(project: Project) -> None:
    for call in (access.healthy, lambda p: logged(p, Wishes())):
        with pytest.raises(DeployError) as caught:
            call(project)
        assert caught.value.code is Code.NOT_FOUND
        assert project.settings.app.name in caught.value.message


def test_the_workspace_is_started_when_it_is_not_there(tmp_path: Any, project: Project) -> None:
    from metamcp_deploy import local

    fresh = replace(project, folder=tmp_path)
    shutil.copytree(project.build / "bundle", fresh.bundle)
    shutil.copytree(project.state, fresh.state)
    try:
        facts = pipeline.execute(bundle_deploy.step(fresh), fresh.state).facts
        assert facts["url"]
    finally:
        local.down(fresh)


@pytest.mark.parametrize("window", [False, True])
def test_who_lost_the_lock_deploys_nothing_over_the_other_run(
    project: Project, deployed: Deploy, tmp_path: Path, window: bool
) -> None:
    """Before the call nothing is deployed; in the window between the last look and the call, the error says so."""
    deployed(project)
    other, root = session.connect(project), session.site(project).root
    name = project.settings.app.name
    waiting = [f"{root}/releases/{release}" for release in other.files.entries(f"{root}/releases")]

    def theirs() -> None:
        while waiting:
            source = waiting.pop()
            with lock.held(other.files, root, "ben@example.com", tmp_path / "ben", force=True):
                other.apps.deploy(name, source, [])
                rollout.idle(other, name)

    call = f"{'POST' if window else 'GET'} /api/2.0/apps/{name}/deployments"
    with http_seam.around(call, before=theirs), pytest.raises(DeployError) as caught:
        deployed(with_app(project, env={"LOG_LEVEL": "debug"}))
    assert caught.value.code is Code.LOCK_LOST
    assert "ben@example.com (since" in caught.value.message
    made = other.apps.deployments(name)
    assert len(made) == (3 if window else 2)
    assert (f"deployment {made[0].id} of app {name} had begun" in caught.value.message) is window


def test_uploads_use_several_connections(project: Project, bundled: Deploy) -> None:
    threads: set[str] = set()
    request = "POST /api/2.0/workspace/import"
    with http_seam.around(request, before=lambda: threads.add(threading.current_thread().name)):
        bundled(project)
    assert len({t for t in threads if t.startswith("upload")}) > 1
