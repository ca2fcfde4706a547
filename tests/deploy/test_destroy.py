"""Destroying a target: what it made goes, what others made stays, and half way is no place to be stuck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from metamcp_deploy import events, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.converge.parts.app import waits
from metamcp_deploy.deployments import history
from metamcp_deploy.destroy import deletion, selection
from metamcp_deploy.destroy.selection import Wishes
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import ELSEWHERE, Action
from metamcp_deploy.rollback import execution
from metamcp_deploy.rollback import preparation as rollback_way
from metamcp_deploy.target import ledger, session
from metamcp_deploy.target.site import Site
from tests.deploy.tiny_app import settings, with_app, with_settings

Deploy = Callable[..., pipeline.Facts]
ALL = Wishes(database=True, secrets=True)


def actions(found: selection.Selection) -> dict[str, Action]:
    return {change.kind: change.action for change in found.plan.changes}


def left(site: Site) -> set[str]:
    """What of a target is still there."""
    name, workspace = site.project.settings.app.name, site.workspace
    found = {
        "app": workspace.apps.find(name),
        "project": workspace.lakebase.find(f"projects/{name}"),
        "scope": workspace.secrets.written(name),
        **{
            folder: workspace.files.entries(f"{site.root}/{folder}") or None
            for folder in ("releases", "deployments")
        },
        "root": workspace.files.object_id(site.root),
    }
    return {thing for thing, there in found.items() if there is not None}


def test_the_app_goes_and_data_and_secrets_stay(
    project: Project, deployed: Deploy, emitted: list[events.Event]
) -> None:
    facts = deployed(project)
    site = session.site(project)
    principal = site.workspace.apps.get(facts["app"]).principal
    found = selection.look(site, Wishes())
    assert actions(found) == {
        "app": Action.DELETE,
        "Lakebase project": Action.KEEP,
        "secret scope": Action.KEEP,
        "releases": Action.DELETE,
        "history": Action.KEEP,
    }
    assert "--with-database" in "\n".join(found.plan.lines())
    assert left(site) == {
        "app",
        "project",
        "scope",
        "releases",
        "deployments",
        "root",
    }  # looking changes nothing
    deletion.run(site, Wishes())
    assert left(site) == {"project", "scope", "deployments", "root"}
    assert any(isinstance(e, events.Warned) and principal in e.text for e in emitted)
    newest = history.look(site)[0]
    assert (newest.kind, newest.outcome, newest.by) == ("destroy", "SUCCEEDED", "developer@example.com")
    assert site.workspace.files.read(f"{site.root}/state/deploy.lock") is None
    assert "app" not in ledger.read(site).made
    again = selection.look(site, Wishes())
    assert not again.plan.differs
    # Made again, it has nothing to go back to before that.
    deployed(project)
    with pytest.raises(DeployError) as caught:
        execution.run(site, rollback_way.Wishes())
    assert caught.value.code is Code.NOT_FOUND
    deletion.run(site, ALL)
    assert left(site) == set()


def test_all_of_it(project: Project, deployed: Deploy) -> None:
    deployed(project)
    site = session.site(project)
    found = deletion.run(site, ALL)
    assert all(c.action is Action.DELETE for c in found.plan.changes)
    assert left(site) == set()
    assert not deletion.run(site, ALL).plan.differs


def test_what_others_put_there_stays(project: Project, deployed: Deploy) -> None:
    deployed(project)
    site = session.site(project)
    name = project.settings.app.name
    site.workspace.secrets.put(name, "THEIRS", Secret("x"))
    site.workspace.files.write(f"{site.root}/notes.txt", b"theirs")
    found = deletion.run(site, ALL)
    assert actions(found)["secret"] is Action.DELETE
    assert set(site.workspace.secrets.written(name) or {}) == {"THEIRS"}
    assert left(site) == {"scope", "root"}
    assert list(site.workspace.files.entries(site.root)) == ["notes.txt"]


def test_what_others_made_stays(project: Project, deployed: Deploy) -> None:
    deployed(project)
    site = session.site(project)
    name = project.settings.app.name
    ledger.write(site, ledger.Ledger())
    found = selection.look(site, ALL)
    assert actions(found)["app"] is Action.CHECK
    assert not found.plan.differs
    assert not deletion.run(site, ALL).plan.differs
    assert left(site) >= {"app", "project", "scope", "releases"}
    # A database of ours in a project of theirs, made for an app of theirs.
    made = f"projects/{name}/branches/production/databases/metamcp-app"
    ledger.write(site, ledger.Ledger({"database": (made,)}))
    deletion.run(site, ALL)
    assert site.workspace.lakebase.find(made) is None
    assert left(site) >= {"app", "project", "scope", "releases", "deployments"}


@pytest.mark.parametrize("part", ["app", "database", "secrets"])
def test_what_was_handed_over_stays(project: Project, deployed: Deploy, part: str) -> None:
    deployed(project)
    theirs = with_settings(project, **{part: {"managed": False}})
    site = session.site(theirs)
    found = selection.look(site, ALL)
    kind = {"app": "app", "database": "Lakebase project", "secrets": "secret scope"}[part]
    (change,) = found.plan.of(kind)
    assert (change.action, change.owner) == (Action.CHECK, ELSEWHERE)
    deletion.run(site, ALL)
    kept = {"app": {"app", "releases", "deployments", "root"}, "database": {"project"}, "secrets": {"scope"}}
    assert left(site) == kept[part]
    if part == "app":  # taken back, it is still what this target made
        deletion.run(session.site(project), ALL)
        assert left(site) == set()


@pytest.mark.parametrize(("module", "step"), [(waits, "gone"), (ledger, "write"), (deletion, "_files")])
def test_half_way_and_again(
    project: Project, deployed: Deploy, monkeypatch: pytest.MonkeyPatch, module: ModuleType, step: str
) -> None:
    deployed(project)
    site = session.site(project)
    real = getattr(module, step)

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            deletion.run(site, Wishes())
    deletion.run(site, Wishes())
    assert left(site) == {"project", "scope", "deployments", "root"}
    entries = history.look(site)
    assert [(e.kind, e.outcome) for e in entries if e.kind == "destroy"] == [("destroy", "SUCCEEDED")]


def test_a_protected_target_is_not_destroyed(project: Project, deployed: Deploy) -> None:
    deployed(project)
    held = Settings.model_validate({**project.settings.model_dump(by_alias=True), "protected": True})
    site = session.site(replace(project, settings=held))
    with pytest.raises(DeployError) as caught:
        deletion.run(site, Wishes())
    assert caught.value.code is Code.TARGET_PROTECTED
    assert "app" in left(session.site(project))


def test_a_deletion_that_lasts(project: Project, deployed: Deploy, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed(project)
    dump = project.settings.model_dump(by_alias=True)
    hasty = replace(project, settings=Settings.model_validate({**dump, "waits": {"deletion": 1}}))
    site = session.site(hasty)
    with monkeypatch.context() as patch:
        patch.setattr(site.workspace.apps, "delete", lambda name: None)  # it goes on being there
        with pytest.raises(DeployError) as caught:
            deletion.run(site, Wishes())
    assert caught.value.code is Code.DEADLINE
    assert f"the app {project.settings.app.name} to be gone" in caught.value.message
    assert "waits.deletion" in caught.value.hint
    deletion.run(session.site(project), Wishes())
    assert "app" not in left(site)


def test_a_provisioned_instance(base: Project, project: Project, deployed: Deploy) -> None:
    name = f"{project.settings.app.name}-i"
    app = project.settings.app.model_dump()
    other = replace(project, settings=settings(app=app, database={"kind": "provisioned", "instance": name}))
    deployed(with_app(other))
    site = session.site(other)
    deletion.run(site, Wishes())
    assert site.workspace.instances.find(name) is not None
    deletion.run(site, ALL)
    assert site.workspace.instances.find(name) is None
