"""An app of the predecessor, taken as it is: it keeps its database, or nothing is changed and the reason is said."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metamcp_deploy import config, local, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.target import session
from metamcp_deploy.workspace import Workspace, poll
from tests import commands
from tests.deploy.predecessor import DESCRIPTION, Predecessor
from tests.deploy.tiny_app import APP, write_bundle

Run = Callable[..., pipeline.Facts]


def with_database(project: Project, /, **database: Any) -> Project:
    dump = project.settings.model_dump(by_alias=True)
    return replace(project, settings=Settings.model_validate({**dump, "database": database}))


def kept(project: Project, there: Predecessor) -> Project:
    """The settings that keep its database."""
    return with_database(project, kind="provisioned", instance=there.instance, name=there.database)


def refused(code: Code, run: Run, project: Project) -> DeployError:
    """The error of a bundle-deploy that changed nothing."""
    workspace = session.connect(project)
    before = _resources(project)
    with pytest.raises(DeployError) as caught:
        run(project)
    assert caught.value.code is code
    assert _resources(project) == before
    assert not workspace.files.entries(f"{session.site(project).root}/releases")
    return caught.value


def _resources(project: Project) -> object:
    app = session.connect(project).apps.find(project.settings.app.name)
    return app and (app.resources, app.raw.get("description"))


def test_the_name_of_an_instance_never_becomes_an_empty_project(project: Project, bundled: Run) -> None:
    there = Predecessor.of(project)
    session.connect(project).instances.create(there.instance, {"capacity": "CU_1"})
    error = refused(Code.CONFIG_CONFLICT, bundled, with_database(project, project=there.instance))
    assert f"{there.instance} is a database instance of" in error.message
    assert f"database.instance: {there.instance}" in error.hint
    assert "init --from-predecessor" in error.hint
    assert session.connect(project).lakebase.find(f"projects/{there.instance}") is None


def test_an_app_with_data_is_not_moved_to_an_empty_database(project: Project, bundled: Run) -> None:
    there = Predecessor.of(project)
    there.make(project)
    error = refused(Code.CONFIG_CONFLICT, bundled, project)
    assert f"{there.database} of instance {there.instance}, by its resource lakebase" in error.message
    assert "detach the resource lakebase" in error.hint


def test_our_database_comes_first_among_the_apps_resources(project: Project, bundled: Run) -> None:
    """The platform injects PGHOST and the like of the first one."""
    there = Predecessor.of(project)
    workspace = there.make(project)
    bundled(kept(project, there))
    app = workspace.apps.get(there.app)
    assert [r["name"] for r in app.resources] == ["database", "better-auth-secret", "lakebase"]
    assert app.resources[0]["database"] == app.resources[2]["database"]
    workspace.apps.update(there.app, {"resources": [there.resource, *app.resources[:2]]})
    bundled(kept(project, there))
    assert workspace.apps.get(there.app).resources[0]["name"] == "database"


def test_a_new_instance_has_no_database_of_another_name(project: Project, bundled: Run) -> None:
    wanted = kept(project, Predecessor.of(project))
    error = refused(Code.NOT_FOUND, bundled, wanted)
    assert "with the database databricks_postgres alone" in error.message
    assert session.connect(project).instances.find(Predecessor.of(project).instance) is None


def test_a_database_that_an_instance_lacks_is_refused_before_anything_is_sent(
    project: Project, bundled: Run
) -> None:
    there = Predecessor.of(project)
    session.connect(project).instances.create(there.instance, {"capacity": "CU_1"})
    error = refused(Code.NOT_FOUND, bundled, kept(project, there))
    assert f"{there.database} does not exist in database instance {there.instance}" in str(error.as_dict())


def _until(workspace: Workspace, reached: Callable[[], bool]) -> None:
    poll(lambda: reached() or None, what="the app", within=60, hint="", clock=workspace.clock)


@pytest.mark.parametrize("where", ["beside", "of its code"])
def test_another_owner_is_found_in_another_root(project: Project, bundled: Run, where: str) -> None:
    there = Predecessor.of(project)
    workspace = there.make(project)
    users = f"/Workspace/Users/{workspace.me}/.bundle"
    root = f"{users}/{there.app}/prod" if where == "beside" else f"{users}/of-{there.app}/prod"
    path = there.state(workspace, root)
    wanted = kept(project, there)
    if where == "of its code":
        workspace.files.make_folder(f"{root}/files")
        workspace.files.write(f"{root}/files/app.yaml", b'command: ["node", "start.mjs"]\n')
        workspace.files.write(f"{root}/files/start.mjs", APP.encode())
        workspace.apps.start(there.app)
        _until(workspace, lambda: workspace.apps.get(there.app).compute == "ACTIVE")
        workspace.apps.deploy(there.app, f"{root}/files", [])
        _until(workspace, lambda: workspace.apps.get(there.app).active is not None)
    error = refused(Code.ALREADY_EXISTS, bundled, wanted)
    assert f"{path} says" in error.message
    assert f"the app {there.app} and the database {there.instance}" in error.message
    assert "metamcp_lakebase" in error.hint
    workspace.files.delete(path)
    bundled(wanted)


# -- init --from-predecessor ------------------------------------------------------------------------------------------


@pytest.fixture
def login(base: Project) -> dict[str, str]:
    """The environment of a person who is logged in to the embedded workspace as to a real one."""
    running = local.up(base)
    m2m = {"DATABRICKS_CLIENT_ID": running.client_id}
    m2m |= {"DATABRICKS_CLIENT_SECRET": running.client_secret.reveal()}
    return {**os.environ, "DATABRICKS_HOST": running.url, **m2m}


def test_init_keeps_app_url_database_and_data_and_the_plan_surprises_nobody(
    project: Project, login: dict[str, str], tmp_path: Path
) -> None:
    there = Predecessor.of(project)
    workspace = there.make(project, "CU_2")
    state = there.state(workspace, f"/Workspace/Users/{workspace.me}/.bundle/metamcp/prod")
    folder = there.folder(tmp_path / "old", "TARGET=prod\nOIDC_CLIENT_ID=x\n")
    before = workspace.apps.get(there.app)

    def run(*words: str) -> Any:
        done = commands.run(*words, "-o", "json", folder=folder, env=login)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)

    said = run("init", "--from-predecessor")
    lines = {line["source"]: f"{line['to']} {line['note']}" for line in said["lines"]}
    assert f"app.name of prod {there.app} for prod" in lines[".env:3 APP_NAME"]
    assert "upstream.ref: v2.4.20" in lines[".env:2 METAMCP_REF"]
    assert "is a placeholder" in lines[".env:6 BETTER_AUTH_SECRET"]
    assert "app.env.OIDC_CLIENT_ID" in lines[".env:8 OIDC_CLIENT_ID"]
    assert f"there is no app dev-{there.app}" in lines["target dev"]
    assert {"databricks.yml metamcp_app", f"resource lakebase of {there.app}"} <= set(lines)
    assert "databricks bundle deployment unbind metamcp_lakebase -t prod" in said["steps"]
    assert (folder / ".env").read_text().count("#moved: ") == 7
    assert "OIDC_CLIENT_ID=x" in (folder / ".env").read_text().splitlines()

    workspace.files.delete(state)  # what the steps come to
    prod = config.load(folder, environ=login)
    assert (prod.settings.target, prod.settings.app.name) == ("prod", there.app)
    write_bundle(prod)
    plan = run("bundle-deploy", "--plan")
    acts = {change["kind"]: change["action"] for change in plan["changes"]}
    assert (acts["app"], acts["database instance"], acts["secret scope"]) == ("adopt", "keep", "create")
    (app,) = (change for change in plan["changes"] if change["kind"] == "app")
    assert {d["field"] for d in app["differences"]} == {"resources.database", "resources.better-auth-secret"}
    run("bundle-deploy")
    after = workspace.apps.get(there.app)
    assert (after.url, after.principal, after.raw["description"]) == (
        before.url,
        before.principal,
        DESCRIPTION,
    )
    assert after.resources[0]["database"] == there.resource["database"]
    assert (workspace.instances.find(there.instance) or {})["capacity"] == "CU_2"


def test_init_again_reads_what_it_moved_and_both_targets(
    project: Project, login: dict[str, str], tmp_path: Path
) -> None:
    there = Predecessor.of(project)
    prod = there.make(project)
    dev = replace(
        there, app=f"dev-{there.app}", instance=f"dev-{there.instance}", database=f"dev_{there.database}"
    )
    dev.make(project)
    folder, here = there.folder(tmp_path / "old"), tmp_path
    words = ("init", "--from-predecessor", str(folder))
    first = commands.run(*words, folder=here, env=login)
    assert first.returncode == 0, first.stderr
    again = commands.run(*words, folder=here, env=login)
    assert (again.returncode, "--force" in again.stderr) == (1, True)
    assert commands.run(*words, "--force", folder=here, env=login).stdout == first.stdout
    for target, wanted in (("prod", there), ("dev", dev)):
        settings = config.load(here, target=target, environ=login).settings
        database = settings.database.model_dump()
        assert (settings.app.name, database["kind"]) == (wanted.app, "provisioned")
        assert (database["instance"], database["name"]) == (wanted.instance, wanted.database)
    assert (folder / ".env").read_text().count("#moved") == 0  # another folder is only read
    assert prod.apps.find(there.app) is not None


def test_init_says_what_it_did_not_find(login: dict[str, str], tmp_path: Path) -> None:
    done = commands.run("init", "--from-predecessor", folder=tmp_path, env=login)
    assert (done.returncode, "neither .env nor databricks.yml" in done.stderr) == (1, True)
    (tmp_path / ".env").write_text("APP_NAME=nobodys-app\nLAKEBASE_INSTANCE_NAME=nobodys\n")
    done = commands.run("init", "--from-predecessor", folder=tmp_path, env=login)
    assert "has no app nobodys-app and no instance nobodys, nor those of dev" in done.stderr
    assert not (tmp_path / "metamcp.yaml").exists()
