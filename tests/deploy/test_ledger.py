"""What a target made is known whatever became of the run that made it, and what others made is never taken for that."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metamcp_deploy import local, pipeline
from metamcp_deploy.config.project import Project
from metamcp_deploy.config.secret import Secret
from metamcp_deploy.converge.part import Context
from metamcp_deploy.converge.parts.lakebase.part import LakebasePart
from metamcp_deploy.destroy import deletion, selection
from metamcp_deploy.destroy.selection import Wishes
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.local import faults
from metamcp_deploy.plan import Action, Plan
from metamcp_deploy.stages import bundle_deploy, deploy, full_plan
from metamcp_deploy.target import databases, desired, ledger, session, signing
from metamcp_deploy.target.ledger import Intent, Ledger
from metamcp_deploy.target.site import Site
from metamcp_deploy.workspace import Workspace
from tests import http_seam
from tests.deploy.others import elsewhere
from tests.deploy.tiny_app import with_app, with_settings, write_databricks_yml
from tests.embedded_people import grant, grant_scope, machine, person
from tests.local.embedded_world import World

ADA, DEVELOPER = "ada@example.com", "developer@example.com"
ALL = Wishes(database=True, secrets=True)
KEY = "BETTER_AUTH_SECRET"
Deploy = Callable[..., pipeline.Facts]


@pytest.fixture
def running(base: Project) -> local.Running:
    return local.up(base)


@pytest.fixture
def hers(project: Project, running: local.Running, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The target as somebody deploys it who is no administrator, and logged in as her."""
    for variable, value in machine(person(running, ADA)).items():
        monkeypatch.setenv(variable, value)
    return elsewhere(project, running.url, f"/Workspace/Shared/{project.settings.app.name}")


def kept(project: Project) -> Ledger:
    site = session.site(project)
    return ledger.read(site)


def planned(project: Project, **wishes: Any) -> Plan:
    found = full_plan.look(project, deploy.REMOTE, [bundle_deploy.Wishes(**wishes)])
    assert found.plan is not None
    return found.plan


def going(site: Site, *named: str) -> set[tuple[str, str]]:
    wishes = replace(ALL, named=named)
    return {(thing.kind.name, thing.name) for thing in selection.look(site, wishes).deleted}


def keyed(site: Site) -> None:
    """A scope with the key that signs, as a deployment makes it."""
    scope = site.project.settings.secret_scope
    site.workspace.secrets.create_scope(scope)
    site.workspace.secrets.put(scope, signing.KEY, Secret("k" * 40))


def test_an_older_ledger_is_read(project: Project) -> None:
    site = session.site(project)
    files = site.workspace.files
    files.make_folder(f"{site.root}/state")
    older = {
        "app": "b",
        "former": ["a"],
        "project": "projects/p",
        "branches": ["projects/p/branches/r"],
        "scope": "s",
        "secrets": ["K", "L"],
    }
    files.write(f"{site.root}/state/{ledger.NAME}", json.dumps({"format": 1, "made": older}).encode())
    assert kept(project).made == {
        "app": ("a", "b"),
        "project": ("projects/p",),
        "branches": ("projects/p/branches/r",),
        "scope": ("s",),
        "secrets": ("s/K", "s/L"),
    }
    files.write(f"{site.root}/state/{ledger.NAME}", b'{"format": 1, "made": {"secrets": ["K"]}}')
    assert kept(project) == Ledger()  # in a scope of others: which one, nobody knows


def test_what_shows_late_in_a_project_of_others_is_not_claimed(project: Project) -> None:
    site = session.site(project)
    wanted = desired.of(project.settings, site.root)
    assert isinstance(wanted.database, databases.Autoscaling)
    site.workspace.lakebase.create(wanted.database.project, wanted.database.project_spec)
    part = LakebasePart(Context(site, wanted), wanted.database)
    part.look()
    part.there["branch"] = part.there["endpoint"] = None  # as in an answer of a moment before
    part.apply()
    assert part.context.made == [("database", wanted.database.database)]


def test_it_is_written_and_read(project: Project) -> None:
    site = session.site(project)
    site.workspace.files.make_folder(f"{site.root}/state")
    keyed(site)
    written = Ledger({"app": ("a", "c")}).intending({"app": ["b", "c"], "scope": ["s"]}, ADA)
    ledger.write(site, written)
    assert kept(project) == written
    assert written.made == {"app": ("a",)}  # c is to be made again: it is gone
    assert set(written.intended["app"]) == {"b", "c"}
    assert written.plus({"app": ["b"]}).less("app", "a", "c").less("scope", "s") == Ledger({"app": ("b",)})


def test_what_an_administrator_makes_after_a_refusal_is_not_ours(
    project: Project, hers: Project, running: local.Running, bundled: Deploy
) -> None:
    name = project.settings.app.name
    refusals = ("postgres/projects", "secrets/scopes/create", "apps")
    for path in refusals:
        faults.add(running, faults.Fault("403", f"POST /api/2.0/{path}"))
    try:
        with pytest.raises(DeployError) as caught:
            bundled(hers)
    finally:
        faults.clear(running)
    assert caught.value.code is Code.PERMISSION_DENIED
    assert kept(hers).made == {}
    workspace = session.connect(project)
    workspace.lakebase.create(f"projects/{name}", {"display_name": name})
    workspace.secrets.create_scope(name)
    workspace.secrets.put(name, KEY, Secret("x" * 40))
    workspace.apps.create(name, {"description": "made by hand"})
    grant(running, "database-projects", name, "CAN_MANAGE", user_name=ADA)
    grant(running, "apps", name, "CAN_MANAGE", user_name=ADA)
    grant_scope(running, name, "MANAGE", ADA)
    site = session.site(hers)
    # What somebody writes into the ledger who may write to the root, and has no key, makes none of it ours.
    things = {"app": [name, f"{name}-of-others"], "project": [f"projects/{name}"], "scope": [name]}
    named = json.dumps({"format": 2, "made": things}).encode()
    for forged, why in ((b"", "and not by this tool"), (named, "; only a ledger without a valid signature")):
        if forged:
            site.workspace.files.write(ledger.path_of(site.root), forged)
        with pytest.raises(DeployError, match=f"made by {DEVELOPER}") as caught:
            planned(hers)
        assert caught.value.code is Code.ALREADY_EXISTS
        assert why in caught.value.message
        assert "--adopt" in caught.value.hint
        plan = planned(hers, adopt=True)
        assert plan.of("Lakebase project")[0].owner == DEVELOPER
        assert plan.of("secret scope")[0].owner == ""
        assert [(c.name, c.action, c.owner) for c in plan.of("app")] == [(name, Action.ADOPT, DEVELOPER)]
        assert going(site) == set()
    deletion.run(site, ALL)
    assert workspace.lakebase.find(f"projects/{name}")
    assert workspace.secrets.written(name)
    assert workspace.apps.find(name)


@pytest.mark.parametrize("kind", ["app", "project", "scope"])
def test_what_a_killed_run_made_is_ours(project: Project, hers: Project, bundled: Deploy, kind: str) -> None:
    paths = {"app": "apps", "project": "postgres/projects", "scope": "secrets/scopes/create"}
    request = f"POST /api/2.0/{paths[kind]}"
    with pytest.raises(KeyboardInterrupt), http_seam.around(request, after=http_seam.interrupt):
        bundled(hers)
    name = project.settings.app.name
    thing = (kind, f"projects/{name}" if kind == "project" else name)
    before = kept(hers)
    assert before.intends(*thing)
    assert before.intended[thing[0]][thing[1]].by == ADA
    named = (thing[1],) if kind == "scope" else ()  # the key that signs was not there yet
    World.until(
        lambda: thing in going(session.site(hers), *named)
    )  # making a project takes as long as its database
    # A project says by its tag whose it is.
    assert (thing in going(session.site(hers))) == (kind != "scope")
    bundled(hers)
    after = kept(hers)
    assert after.proves(*thing)
    assert not after.intended
    assert not planned(hers).of("app")[0].differs


def test_what_is_named_may_be_gone_or_not_there_yet(project: Project, hers: Project) -> None:
    site = session.site(hers)
    keyed(site)
    site.workspace.files.make_folder(f"{site.root}/state")
    name = f"projects/{project.settings.app.name}-never-made"
    ledger.write(site, Ledger().intending({"project": [name]}, ADA))
    assert not going(site, name)
    ledger.write(site, Ledger(made={"project": (name,)}))
    assert not going(site, name)
    with pytest.raises(DeployError, match="projects/other is nothing that the ledger"):
        going(site, "projects/other")


def test_an_intent_that_nobody_signed_is_none_of_ours(project: Project) -> None:
    site, branch = session.site(project), "projects/p/branches/rollback-1"
    keyed(site)
    site.workspace.files.make_folder(f"{site.root}/state")
    for key in (True, False):
        if not key:
            site.workspace.secrets.delete(site.project.settings.secret_scope, signing.KEY)
        intent = {branch: {"by": DEVELOPER, "at": "2026-01-01T00:00:00Z"}}
        document = {"format": 2, "made": {}, "intended": {"branches": intent}}
        site.workspace.files.write(ledger.path_of(site.root), json.dumps(document).encode())
        # Where the target has no key, an unsigned ledger is all that there is.
        assert ledger.intends(site, "branches", branch) is not key
        signing.write(site, ledger.path_of(site.root), document)
        assert ledger.intends(site, "branches", branch)


def test_an_answer_that_was_lost(hers: Project, running: local.Running, bundled: Deploy) -> None:
    lost = ("postgres/projects", "secrets/scopes/create", "secrets/put", "apps")
    for path in lost:
        faults.add(running, faults.Fault("lost", f"POST /api/2.0/{path}", calls="1"))
    try:
        bundled(hers)
    finally:
        faults.clear(running)
    made = kept(hers)
    assert not made.intended
    for what in ("app", "project", "scope", "secrets"):
        assert made.names(what), what


def test_an_app_that_somebody_else_made_meanwhile(
    project: Project, hers: Project, running: local.Running, bundled: Deploy
) -> None:
    name, theirs = project.settings.app.name, session.connect(project).apps
    faster: list[str] = []

    def first() -> None:
        if not faster:  # its own request comes here, too
            faster.append(name)
            theirs.create(name, {"description": "faster"})
            grant(running, "apps", name, "CAN_MANAGE", user_name=ADA)

    with (
        http_seam.around("POST /api/2.0/apps", before=first),
        pytest.raises(DeployError, match=f"made by {DEVELOPER}") as caught,
    ):
        bundled(hers)
    assert caught.value.code is Code.ALREADY_EXISTS
    assert not kept(hers).has("app", name)
    assert kept(hers).has("project", f"projects/{name}")
    assert ("app", name) not in going(session.site(hers))


def test_what_is_intended_and_does_not_tell_stays(project: Project, deployed: Deploy) -> None:
    deployed(project)
    site = session.site(project)
    name = project.settings.app.name
    database = f"projects/{name}/branches/production/databases/metamcp-app"
    intended = {"database": {database: Intent(site.workspace.me, "2026-01-01T00:00:00Z")}}
    ledger.write(site, Ledger({"app": (name,)}, intended))
    found = selection.look(site, ALL)
    (change,) = found.plan.of("Lakebase database")
    assert (change.action, change.reason) == (Action.CHECK, "whether this target made it is not known")
    assert {thing.kind.name for thing in found.deleted} == {"app"}


def test_a_scope_of_before_and_one_of_others(project: Project, deployed: Deploy) -> None:
    name = project.settings.app.name
    deployed(project)
    site = session.site(project)
    workspace: Workspace = site.workspace
    workspace.secrets.create_scope(f"{name}-theirs")
    workspace.secrets.put(f"{name}-theirs", KEY, Secret("theirs" * 8))
    moved = with_settings(project, secrets={"scope": f"{name}-theirs"})
    deployed(moved)
    (change,) = selection.look(session.site(moved), ALL).plan.of("secret scope")
    assert (change.action, change.name) == (Action.CHECK, name)
    assert change.reason == f"of before: the settings name another; --named {name} deletes it"
    found = selection.look(session.site(moved), replace(ALL, named=(name,)))
    (change,) = found.plan.of("secret scope")
    assert (change.action, change.name) == (Action.DELETE, name)
    assert change.reason == "of before: the settings name another"
    assert [c.name for c in found.plan.of("secret")] == [f"{name}-theirs/{signing.KEY}"]
    deletion.run(session.site(moved), replace(ALL, named=(name,)))
    assert workspace.secrets.written(name) is None
    assert set(workspace.secrets.written(f"{name}-theirs") or {}) == {KEY}


def test_a_project_of_before(project: Project, deployed: Deploy) -> None:
    name = project.settings.app.name
    deployed(project)
    moved = with_settings(project, database={"project": f"{name}-two"})
    deployed(moved)
    site = session.site(moved)
    plan = selection.look(site, Wishes()).plan
    assert {(c.name, c.reason) for c in plan.of("Lakebase project")} == {
        (f"projects/{name}", f"of before: the settings name another; --named projects/{name} deletes it"),
        (f"projects/{name}-two", "--with-database deletes it"),
    }
    assert {n for what, n in going(site) if what == "project"} == {f"projects/{name}-two"}
    assert ("project", f"projects/{name}") in going(site, f"projects/{name}")
    deletion.run(site, replace(ALL, named=(f"projects/{name}",)))
    assert site.workspace.lakebase.find(f"projects/{name}") is None
    assert site.workspace.lakebase.find(f"projects/{name}-two") is None


def test_an_app_that_has_its_old_name_again(project: Project, bundled: Deploy) -> None:
    name = project.settings.app.name
    kept_names = {"database": {"project": name}, "secrets": {"scope": name}}
    kept_names["workspace"] = {"root_path": f"/Workspace/Shared/{name}"}
    first = with_settings(project, **kept_names)
    for target in (first, with_app(first, name=f"{name}-b"), first):
        write_databricks_yml(target)
        bundled(target)
    site = session.site(first)
    assert selection.look(site, ALL).others == ()
    deletion.run(site, replace(ALL, named=(f"{name}-b",)))
    assert [a for a in (name, f"{name}-b") if site.workspace.apps.find(a)] == []
