"""A rollback that takes the data back, too: a real Postgres, branches with the data of the moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from metamcp_deploy import events, local, pipeline
from metamcp_deploy.config.model import Settings
from metamcp_deploy.config.project import Project
from metamcp_deploy.deployments import point_in_time, records
from metamcp_deploy.deployments.schema_changes import SchemaChanges
from metamcp_deploy.errors import Code, DeployError
from metamcp_deploy.plan import Action
from metamcp_deploy.rollback import execution, preparation
from metamcp_deploy.rollback.preparation import Wishes
from metamcp_deploy.stages import app_deploy
from metamcp_deploy.target import ledger, session
from metamcp_deploy.target.site import Site
from tests.deploy.tiny_app import APP, write_bundle

Deploy = Callable[..., pipeline.Facts]


def execute(site: Site, branch: str, statement: str) -> list[Any]:
    """Runs SQL as the user, in the target's database of a branch."""
    body = {"endpoint": f"{branch}/endpoints/primary"}
    token = site.workspace._transport.do("POST", "/api/2.0/postgres/credentials", body=body)["token"]
    at = local.status(site.project)["postgres"]
    where = {"host": at["host"], "port": at["endpoints"][body["endpoint"]], "dbname": "metamcp_app"}
    with psycopg.connect(**where, user="developer@example.com", password=token) as connected:
        cursor = connected.execute(statement)
        return [row[0] for row in cursor.fetchall()] if cursor.description else []


def branch_of(site: Site) -> str:
    app = site.workspace.apps.get(site.project.settings.app.name)
    found: str = next(r["postgres"]["branch"] for r in app.resources if "postgres" in r)
    return found


def words(site: Site, branch: str) -> list[Any]:
    return execute(site, branch, "SELECT word FROM data.t ORDER BY word")


@pytest.fixture
def two(project: Project, deployed: Deploy) -> tuple[pipeline.Facts, pipeline.Facts]:
    """Two releases, the second of which migrates; a row from before it, and one from after."""
    site = session.site(project)
    write_bundle(project, journal=["0000_a"])
    first = deployed(project)
    execute(site, branch_of(site), "CREATE SCHEMA data; CREATE TABLE data.t (word text)")
    execute(site, branch_of(site), "INSERT INTO data.t VALUES ('before')")
    time.sleep(
        1.01 - time.time() % 1
    )  # a deployment's time has whole seconds: what was written in its second is not in
    write_bundle(project, APP + "// the second release", journal=["0000_a", "0001_b"])
    second = deployed(project)
    execute(site, branch_of(site), "INSERT INTO data.t VALUES ('since')")
    return first, second


def test_the_data_of_before_beside_those_of_now(
    project: Project,
    deployed: Deploy,
    two: tuple[pipeline.Facts, pipeline.Facts],
    emitted: list[events.Event],
) -> None:
    site = session.site(project)
    first, second = two
    main = branch_of(site)
    planned = preparation.look(site, Wishes(to_database=True))
    assert planned.restored is not None
    assert [(c.action, c.kind) for c in planned.plan.changes] == [
        (Action.CREATE, "Lakebase branch"),
        (Action.CHANGE, "app"),
        (Action.DEPLOY, "deployment"),
    ]
    assert site.workspace.lakebase.find(planned.restored.branch) is None
    done = execution.run(site, Wishes(to_database=True))
    then = branch_of(site)
    assert (then, done.as_dict()["migrations_kept"]) == (planned.restored.branch, [])
    assert words(site, then) == ["before"]
    assert words(site, main) == ["before", "since"]
    record = records.newest(site, 1)[0]
    assert (record.release, record.of) == (first["release"], first["deployment"])
    assert record.raw["restored"] == {"branch": then, "from": main, "at": planned.restored.at}
    assert ledger.read(site).has("branches", then)
    assert any(isinstance(e, events.Note) and "database.branch" in e.text for e in emitted)

    # The next deployment does not move the app back by accident …
    with pytest.raises(DeployError) as caught:
        deployed(project)
    assert caught.value.code is Code.CONFIG_CONFLICT
    assert "rollback" in caught.value.hint
    assert branch_of(site) == then
    with pytest.raises(DeployError) as caught:  # … also without the bundle …
        pipeline.execute(
            app_deploy.step(project, app_deploy.Wishes(release=second["release"])), project.state
        )
    assert caught.value.code is Code.CONFIG_CONFLICT
    # … stays with what the settings name …
    dump = project.settings.model_dump(by_alias=True)
    dump["database"] = {**dump["database"], "branch": then.rsplit("/", 1)[1]}
    staying = replace(project, settings=Settings.model_validate(dump))
    assert deployed(staying)["release"] == second["release"]
    execute(site, then, "INSERT INTO data.t VALUES ('later')")
    # … and the newer data come back by name.
    back = execution.run(site, Wishes(second["deployment"]))
    assert (branch_of(site), back.rollback.schema_changes.names) == (main, ())
    assert words(site, main) == ["before", "since"]
    assert deployed(project)["deployment"] == back.deployment
    # Again from that moment: not the branch that the app has written to.
    again = preparation.look(site, Wishes(first["deployment"], to_database=True))
    assert again.restored is not None
    assert again.restored.branch == f"{then}-2"


def test_an_interrupted_rollback_of_the_data(
    project: Project, two: tuple[pipeline.Facts, pipeline.Facts], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = session.site(project)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(execution, "_changed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            execution.run(site, Wishes(to_database=True))
    there = preparation.look(site, Wishes(to_database=True)).restored
    assert there is not None
    assert there.there
    execution.run(site, Wishes(to_database=True))
    assert branch_of(site) == there.branch
    project_name = there.branch.partition("/branches/")[0]
    assert len(site.workspace.lakebase.children(project_name, "branches")) == 2


def record(number: int, **more: Any) -> records.Record:
    resource = {
        "branch": "projects/p/branches/production",
        "database": "projects/p/branches/production/databases/d",
    }
    raw = {
        "deployment": f"d{number}",
        "at": f"2026-11-20T12:0{number}:00Z",
        "resources": [{"name": "database", "postgres": resource}],
        **more,
    }
    return records.Record(f"/{number}", raw)


def refused(site: Site, target: records.Record, first: records.Record | None) -> str:
    with pytest.raises(DeployError) as caught:
        point_in_time.find(site, target, SchemaChanges(first=first), [])
    assert caught.value.code is Code.NO_WAY_BACK
    return caught.value.message


def test_moments_that_are_out_of_reach(project: Project, bundled: Deploy) -> None:
    bundled(project)
    site = session.site(project)
    name = f"projects/{project.settings.app.name}"
    kept = point_in_time.kept_seconds(site.workspace.lakebase.find(name))
    assert kept is not None
    assert kept >= 2 * 86400
    there = {
        "branch": f"{name}/branches/production",
        "database": f"{name}/branches/production/databases/metamcp-app",
    }
    target = record(1, resources=[{"name": "database", "postgres": there}])
    assert "days of history" in refused(site, target, record(2, migrations_at="2020-01-01T00:00:00.000Z"))
    assert "recorded the moment" in refused(site, target, record(2))
    assert "recorded the moment" in refused(site, target, None)
    instance = record(
        1, resources=[{"name": "database", "database": {"instance_name": "i", "database_name": "d"}}]
    )
    assert "not Lakebase autoscaling" in refused(site, instance, record(2))
    assert "not Lakebase autoscaling" in refused(site, record(1, resources=[]), record(2))
    assert point_in_time.kept_seconds(None) is None
    assert point_in_time.kept_seconds({"status": {"history_retention_duration": "soon"}}) is None
