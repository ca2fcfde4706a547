"""bundle-deploy makes a target so from whatever is there, and never deletes what holds data."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.converge import parallel
from metamcp_deploy.converge.part import Context
from metamcp_deploy.converge.parts.app.part import AppPart
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action
from metamcp_deploy.stages import deploy, full_plan
from metamcp_deploy.target import desired, ledger, session
from metamcp_deploy.target.ledger import Ledger
from metamcp_deploy.workspace import Workspace
from metamcp_deploy.workspace.apps import App
from metamcp_deploy.workspace.clock import Clock, poll
from tests import http_seam
from tests.deploy.tiny_app import changed, with_app, with_settings

Deploy = Callable[..., pipeline.Facts]
Seen = list[events.Event]


def reach(project: Project) -> tuple[Workspace, str]:
    site = session.site(project)
    return site.workspace, site.root


def settled(project: Project) -> bool:
    """Whether a plan finds nothing to do."""
    found = full_plan.look(project, deploy.REMOTE)
    assert found.plan is not None
    return not found.plan.differs


def test_what_is_made_is_named_before_and_claimed_after(project: Project, bundled: Deploy) -> None:
    workspace, root = reach(project)
    request = http_seam.around("POST /api/2.0/apps", before=http_seam.interrupt)
    with pytest.raises(KeyboardInterrupt), request:
        bundled(project)
    before = ledger.read(session.site(project))
    name = project.settings.app.name
    assert before.intends("app", name)
    assert not before.has("app", name)
    assert before.has("project", f"projects/{name}")
    assert before.has("scope", name)
    assert before.has("secrets", f"{name}/BETTER_AUTH_SECRET")
    assert workspace.files.read(f"{root}/state/deploy.lock") is None
    assert bundled(project)["app"] == name
    made = ledger.read(session.site(project))
    assert made.has("app", name)
    assert not made.intended


def test_half_of_it_is_there(project: Project, deployed: Deploy, seen: Seen) -> None:
    workspace, _ = reach(project)
    name = project.settings.app.name
    workspace.lakebase.create(f"projects/{name}", {"display_name": name})
    workspace.secrets.create_scope(name)  # without the key
    workspace.apps.create(name, {})
    deployed(project)
    made = {kind for action, kind in changed(seen) if action == "created"}
    assert made == {"Lakebase database", "secret", "deployment"}
    assert ("changed", "app") in changed(seen)
    assert settled(project)


def test_an_app_that_a_failed_creation_left_is_made_again(project: Project, bundled: Deploy) -> None:
    bundled(project)
    site = session.site(project)
    workspace, name = site.workspace, project.settings.app.name
    before = workspace.apps.get(name)
    left = {**before.raw, "url": "", "compute_status": {"state": "ERROR"}, "description": ""}
    context = Context(
        site, desired.of(project.settings, site.root), ledger=Ledger({"app": (name,)}), app=App(left)
    )
    part = AppPart(context)
    part.look()
    assert part.changes()[0].action is Action.RECREATE
    part.apply()
    assert context.app is not None
    assert context.app.principal != before.principal
    # Nobody else's app, and none that something was deployed to, is ever made again.
    for raw in ({**left, "default_source_code_path": f"{site.root}/releases/x"}, left):
        context.app, context.ledger = App(raw), Ledger()
        part = AppPart(context)
        part.look()
        assert part.changes()[0].action is not Action.RECREATE


def test_a_renamed_app_leaves_one_behind_and_that_is_told(
    project: Project, deployed: Deploy, seen: Seen
) -> None:
    name = project.settings.app.name
    kept = {"database": {"project": name}, "secrets": {"scope": name}}
    kept["workspace"] = {"root_path": f"/Workspace/Shared/{name}"}
    first = with_settings(project, **kept)
    deployed(first)
    second = with_app(first, name=f"{name}-new")
    seen.clear()
    deployed(second)
    told = [e.text for e in seen if isinstance(e, events.Warned)]
    assert any(f"The app {name}, which this target made under that name, is still there." in t for t in told)
    workspace, _ = reach(second)
    assert workspace.apps.get(name).state == "RUNNING"
    assert ledger.read(session.site(second)).names("app") == (name, f"{name}-new")
    assert settled(second)


def test_a_stopped_instance_is_started(project: Project, deployed: Deploy, seen: Seen) -> None:
    older = with_settings(project, database={"kind": "provisioned"})
    deployed(older)
    workspace, name = session.connect(older), project.settings.app.name
    workspace.instances.change(name, {"stopped": True})
    poll(
        lambda: (workspace.instances.find(name) or {}).get("state") == "STOPPED" or None,
        what="",
        within=120,
        hint="",
    )
    with pytest.raises(DeployError, match="is STOPPED") as caught:
        deployed(with_settings(older, database={"managed": False}))
    assert caught.value.code is Code.REQUEST_REFUSED
    seen.clear()
    deployed(older)
    assert ("started", "database instance") in changed(seen)
    assert (workspace.instances.find(name) or {})["state"] == "AVAILABLE"


def test_switching_databases_keeps_their_data(project: Project, deployed: Deploy, seen: Seen) -> None:
    asked = len((project.local / "requests.jsonl").read_text().splitlines())
    before = local.status(project, with_credentials=True)["superuser_uris"]
    deployed(project)
    after = local.status(project, with_credentials=True)["superuser_uris"]
    (uri,) = [after[name] for name in after if name not in before and "databricks_postgres" not in name]
    with psycopg.connect(uri.reveal(), autocommit=True) as opened:
        opened.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    seen.clear()
    workspace, name = session.connect(project), project.settings.app.name
    workspace.secrets.put(name, "DB", Secret("postgresql://a:b@127.0.0.1:1/d"))
    for database in ({"kind": "provisioned"}, {"kind": "external", "url": {"secret": "DB"}}):
        deployed(with_settings(project, database=database))
    told = " ".join(e.text for e in seen if isinstance(e, events.Warned))
    assert "which stays with all its data, for an external one" in told
    attached = {r["name"] for r in workspace.apps.get(name).resources}
    assert attached == {"better-auth-secret", "secret-db"}
    deployed(project)
    assert {r["name"] for r in workspace.apps.get(name).resources} == {"better-auth-secret", "database"}
    with psycopg.connect(uri.reveal()) as opened:
        assert opened.execute("SELECT answer FROM kept").fetchone() == (42,)
    lines = (project.local / "requests.jsonl").read_text().splitlines()[asked:]
    deleted = [line for line in lines if '"DELETE"' in line]
    assert not [line for line in deleted if "postgres" in line or "database" in line]


def test_waits_are_as_long_as_the_settings_say(project: Project, deployed: Deploy) -> None:
    deployed(project)
    workspace, name = session.connect(project), project.settings.app.name
    workspace.apps.delete(name)
    hasty = with_settings(project, waits={"deletion": 0.2})
    started = time.monotonic()
    with pytest.raises(DeployError, match=r"Waited 0\.2 s for the app") as caught:
        deployed(hasty)
    assert caught.value.code is Code.DEADLINE
    assert "waits.deletion" in caught.value.hint
    assert time.monotonic() - started < 60


def test_the_first_failure_of_several_is_told_when_all_have_ended() -> None:
    ended = threading.Event()

    def slow() -> None:
        time.sleep(0.2)
        ended.set()

    def fails() -> None:
        raise DeployError(Code.NOT_FOUND, "one", hint="h")

    with pytest.raises(DeployError, match="one"):
        parallel.run([slow, fails], Clock())
    assert ended.is_set()


def test_ctrl_c_ends_what_the_other_threads_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ended = Clock(), []

    def waits() -> None:
        try:
            poll(lambda: None, what="nothing", within=600, hint="h", clock=clock)
        except DeployError as e:
            ended.append(e.code)
            raise

    def interrupted(_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(parallel, "wait", interrupted)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        parallel.run([waits, waits], clock)
    assert ended == [Code.INTERRUPTED, Code.INTERRUPTED]
    assert time.monotonic() - started < 60
    assert not clock.ended.is_set()
