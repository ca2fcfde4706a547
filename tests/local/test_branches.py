"""Lakebase branches: the data of now or of a moment, apart from their source, and what the platform refuses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime

import psycopg
import pytest
from databricks.sdk.errors import BadRequest, DatabricksError, InvalidParameterValue, NotFound
from databricks.sdk.service.apps import App, AppResource
from databricks.sdk.service.postgres import (
    Branch,
    BranchSpec,
    Database,
    DatabaseDatabaseSpec,
    Project,
)

from tests.local.embedded_world import World

USER = "developer@example.com"


@pytest.fixture(scope="module")
def main(world: World) -> str:
    """A project's branch with a database `main_app`."""
    name = world.name()
    world.client.postgres.create_project(Project(), name).wait()
    branch = f"projects/{name}/branches/production"
    spec = DatabaseDatabaseSpec(role=f"{branch}/roles/owner", postgres_database="main_app")
    world.client.postgres.create_database(branch, Database(spec=spec), database_id="main-app").wait()
    return branch


@pytest.fixture
def table(world: World, main: str) -> Iterator[str]:
    name = world.name().replace("-", "_")
    execute(world, main, f"CREATE SCHEMA {name}", f"CREATE TABLE {name}.t (word text)")
    yield f"{name}.t"
    execute(world, main, f"DROP SCHEMA {name} CASCADE")


def connect(world: World, branch: str, database: str = "main_app", client=None, user: str = USER):
    client = client or world.client
    token = client.postgres.generate_database_credential(f"{branch}/endpoints/primary").token
    at = world.place(f"{branch}/endpoints/primary")
    return psycopg.connect(**at, dbname=database, user=user, password=token)


def execute(world: World, branch: str, *statements: str) -> None:
    with connect(world, branch) as connection:
        for statement in statements:
            connection.execute(statement)


def words(world: World, branch: str, table: str, **how) -> str | None:
    with connect(world, branch, **how) as connection:
        return connection.execute(f"SELECT string_agg(word, ' ' ORDER BY word) FROM {table}").fetchone()[0]


def create(world: World, main: str, identifier: str, **spec) -> dict:
    project = main.rpartition("/branches/")[0]
    path = f"/api/2.0/postgres/{project}/branches"
    body = {"spec": {"no_expiry": True, **spec}}
    made = world.client.api_client.do("POST", path, query={"branch_id": identifier}, body=body)
    world.until(lambda: world.client.postgres.get_operation(made["name"]).done)
    ended = world.client.api_client.do("GET", f"/api/2.0/postgres/{made['name']}")
    assert "error" not in ended, ended
    return ended["response"]


def moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat().replace("+00:00", "Z")


def test_a_branch_from_a_moment_holds_what_was_there_then(world: World, main: str, table: str) -> None:
    execute(world, main, f"INSERT INTO {table} VALUES ('a')")
    then = time.time()
    execute(world, main, f"INSERT INTO {table} VALUES ('b')")
    made = create(world, main, "then", source_branch=main, source_branch_time=moment(then))
    assert made["status"]["source_branch"] == main
    assert made["status"]["source_branch_time"] == moment(then)
    assert words(world, made["name"], table) == "a"
    assert words(world, main, table) == "a b"
    # They are apart.
    execute(world, made["name"], f"INSERT INTO {table} VALUES ('c')")
    execute(world, main, f"DELETE FROM {table} WHERE word = 'a'")
    assert (words(world, made["name"], table), words(world, main, table)) == ("a c", "b")
    assert [e.name for e in world.client.postgres.list_endpoints(made["name"])] == [
        f"{made['name']}/endpoints/primary"
    ]
    world.client.postgres.delete_branch(made["name"], purge=True).wait()
    with pytest.raises(NotFound):
        world.client.postgres.get_branch(made["name"])


def test_a_branch_from_now_and_one_from_a_position_of_the_log(world: World, main: str, table: str) -> None:
    execute(world, main, f"INSERT INTO {table} VALUES ('a')")
    now = create(world, main, "from-now")
    execute(world, main, f"INSERT INTO {table} VALUES ('b')")
    earlier = create(world, main, "from-lsn", source_branch_lsn=now["status"]["source_branch_lsn"])
    assert words(world, now["name"], table) == words(world, earlier["name"], table) == "a"
    # A branch of a branch: its parent goes last.
    execute(world, now["name"], f"INSERT INTO {table} VALUES ('c')")
    below = create(world, main, "below", source_branch=now["name"])
    assert words(world, below["name"], table) == "a c"
    with pytest.raises(BadRequest, match="children"):
        world.client.postgres.delete_branch(now["name"])
    for made in (below, now, earlier):
        world.client.postgres.delete_branch(made["name"]).wait()


def test_an_app_finds_its_own_objects_in_the_branch(own: World) -> None:
    own.client.postgres.create_project(Project(), "data").wait()
    main = "projects/data/branches/production"

    def resource(branch: str) -> AppResource:
        database = f"{branch}/databases/databricks-postgres"
        postgres = {"branch": branch, "database": database, "permission": "CAN_CONNECT_AND_CREATE"}
        return AppResource.from_dict({"name": "database", "postgres": postgres})

    app = own.serve(resources=[resource(main)])
    how = {
        "database": "databricks_postgres",
        "client": own.as_app(app),
        "user": app.service_principal_client_id,
    }
    with connect(own, main, **how) as connection:
        connection.execute("CREATE SCHEMA s CREATE TABLE t (word text)")
        connection.execute("INSERT INTO s.t VALUES ('a')")
    then = time.time()
    with connect(own, main, **how) as connection:
        connection.execute("DROP SCHEMA s CASCADE")
    made = create(own, main, "rescue", source_branch_time=moment(then))
    own.client.apps.create_update(
        app.name, "resources", app=App(name=app.name, resources=[resource(made["name"])])
    )
    own.client.apps.stop(app.name)
    own.until(lambda: own.compute(app.name) == "STOPPED")
    own.client.apps.start(app.name)
    own.until(lambda: own.state(app.name) == "RUNNING")
    environment = own.get(own.client.apps.get(app.name), "/env").json()
    how["database"] = environment["PGDATABASE"]
    with connect(own, made["name"], **how) as connection:
        assert connection.execute("SELECT word FROM s.t").fetchone() == ("a",)
        connection.execute("ALTER TABLE s.t ADD COLUMN n int")  # its own


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"source_branch_time": moment(time.time() - 8 * 86400)}, "kept for 604800s"),
        ({"source_branch_time": moment(time.time() + 3600)}, "future"),
        ({"source_branch_time": "yesterday"}, "not a time"),
        ({"source_branch_lsn": "nonsense"}, "0/1A2B3C4"),
        ({"source_branch_lsn": "0/1", "source_branch_time": "2026-01-01T00:00:00Z"}, "mutually exclusive"),
        ({"source_branch": "projects/other/branches/production"}, "must be a branch of"),
        ({"ttl": "60s"}, "Exactly one of"),
        ({"no_expiry": False}, "Exactly one of"),
        ({"nonsense": 1}, r"Unknown field spec\.nonsense"),
    ],
)
def test_what_a_branch_cannot_be(world: World, main: str, spec: dict, said: str) -> None:
    with pytest.raises(InvalidParameterValue, match=said):
        create(world, main, "refused", **spec)


def test_a_moment_before_the_project(world: World, main: str) -> None:
    with pytest.raises(InvalidParameterValue, match="was created"):
        create(world, main, "refused", source_branch_time=moment(time.time() - 86400))


def test_the_root_and_protected_branches_stay(world: World, main: str) -> None:
    postgres = world.client.postgres
    with pytest.raises(BadRequest, match="root branch"):
        postgres.delete_branch(main)
    with pytest.raises(BadRequest, match="Read-write endpoints cannot be deleted"):
        postgres.delete_endpoint(f"{main}/endpoints/primary")
    made = create(world, main, "kept", is_protected=True)
    with pytest.raises(BadRequest, match="protected"):
        postgres.delete_branch(made["name"])
    patch = {"spec": {"is_protected": False}}
    path = f"/api/2.0/postgres/{made['name']}"
    world.client.api_client.do("PATCH", path, query={"update_mask": "spec.is_protected"}, body=patch)
    postgres.delete_branch(made["name"]).wait()


def test_a_branch_ends_with_its_time(world: World, main: str) -> None:
    project = main.rpartition("/branches/")[0]
    spec = BranchSpec.from_dict({"ttl": "1s"})
    world.client.postgres.create_branch(project, Branch(spec=spec), "short").wait()

    def gone() -> bool:
        return "short" not in [b.status.branch_id for b in world.client.postgres.list_branches(project)]

    world.until(gone)


def test_a_project_is_changed_field_by_field(world: World) -> None:
    name = world.name()
    world.client.postgres.create_project(Project(), name).wait()
    path = f"/api/2.0/postgres/projects/{name}"

    def status() -> dict:
        return world.client.api_client.do("GET", path)["status"]

    def patch(mask: str, **spec) -> None:
        world.client.api_client.do("PATCH", path, query={"update_mask": mask}, body={"spec": spec})

    assert status()["history_retention_duration"] == "604800s"
    before = status()["default_endpoint_settings"]
    patch(
        "spec.default_endpoint_settings.autoscaling_limit_max_cu",
        default_endpoint_settings={"autoscaling_limit_max_cu": 4},
    )
    assert status()["default_endpoint_settings"] == before | {"autoscaling_limit_max_cu": 4}
    patch("spec.history_retention_duration", history_retention_duration="172800s", display_name="not named")
    assert (status()["history_retention_duration"], status()["display_name"]) == ("172800s", name)
    endpoint = f"{path}/branches/production/endpoints/primary"
    # The first endpoint has its own size: a project's defaults count for those after it.
    own = world.client.api_client.do("GET", endpoint)["status"]["autoscaling_limit_max_cu"]
    assert own == before["autoscaling_limit_max_cu"]
    spec = {"endpoint_type": "ENDPOINT_TYPE_READ_WRITE", "no_suspension": True}
    world.client.api_client.do(
        "PATCH", endpoint, query={"update_mask": "spec.no_suspension"}, body={"spec": spec}
    )
    shown = world.client.api_client.do("GET", endpoint)["status"]
    assert shown["no_suspension"] is True
    assert "suspend_timeout_duration" not in shown
    for mask, wrong in (
        ("spec.history_retention_duration", {"history_retention_duration": "60s"}),
        ("spec.default_endpoint_settings", {"default_endpoint_settings": {"autoscaling_limit_max_cu": 0.1}}),
        ("spec.nonsense", {}),
        ("", {}),
    ):
        with pytest.raises(InvalidParameterValue):
            patch(mask, **wrong)


def test_what_only_this_workspace_does_not_remember_says_so(world: World, main: str) -> None:
    from metamcp_deploy.local.lakebase.branches import _check_moment

    now = time.time()
    project = {"settings": {"history_retention_duration": "604800s"}}
    source = {"name": main, "create_time": moment(now - 86400)}
    with pytest.raises(Exception, match="remembers what happened since"):
        _check_moment(now - 3600, now, project, source, now - 60)
    _check_moment(now - 30, now, project, source, now - 60)


def test_a_second_endpoint_that_writes_is_refused(world: World, main: str) -> None:
    path = f"/api/2.0/postgres/{main}/endpoints"

    def make(kind: str) -> None:
        spec = {"endpoint_type": f"ENDPOINT_TYPE_READ_{kind}"}
        world.client.api_client.do("POST", path, query={"endpoint_id": kind.lower()}, body={"spec": spec})

    make("ONLY")
    with pytest.raises(DatabricksError, match="already"):
        make("WRITE")
    with pytest.raises(InvalidParameterValue):
        make("NOTHING")
