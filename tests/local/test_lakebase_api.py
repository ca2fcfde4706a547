"""Lakebase through the real client, and what its credentials open in the real Postgres."""

import time

import psycopg
import pytest
from databricks.sdk.errors import (
    AlreadyExists,
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
)
from databricks.sdk.service.apps import App, AppResource
from databricks.sdk.service.postgres import (
    Database,
    DatabaseDatabaseSpec,
    InitialEndpointSpec,
    Project,
    ProjectDefaultEndpointSettings,
    ProjectSpec,
    Role,
    RoleRoleSpec,
)

from metamcp_deploy import local
from tests.local.embedded_world import world_in


@pytest.fixture
def project(world):
    name = world.name()
    world.client.postgres.create_project(Project(spec=ProjectSpec(display_name="Shown")), name).wait()
    return f"projects/{name}"


def database(world, project, identifier, postgres_name):
    owner = f"{project}/branches/production/roles/owner"
    spec = DatabaseDatabaseSpec(role=owner, postgres_database=postgres_name)
    return world.client.postgres.create_database(
        f"{project}/branches/production", Database(spec=spec), database_id=identifier
    )


def connect(world, endpoint, name, user, password, **options):
    given = world.place(endpoint) | options
    return psycopg.connect(dbname=name, user=user, password=password, **given)


def test_a_project_brings_branch_endpoint_and_database(world, project):
    postgres = world.client.postgres
    found = postgres.get_project(project)
    assert found.spec is None
    assert found.status.display_name == "Shown"
    branch = f"{project}/branches/production"
    assert [b.name for b in postgres.list_branches(project)] == [branch]
    assert [e.name for e in postgres.list_endpoints(branch)] == [f"{branch}/endpoints/primary"]
    assert postgres.get_endpoint(f"{branch}/endpoints/primary").status.hosts.host == "127.0.0.1"
    assert [d.status.postgres_database for d in postgres.list_databases(branch)] == ["databricks_postgres"]
    assert project in [p.name for p in postgres.list_projects()]


def test_creating_is_an_operation_to_poll(world):
    raw = world.client.api_client.do(
        "POST", "/api/2.0/postgres/projects", query={"project_id": world.name()}, body={"spec": {}}
    )
    assert raw["done"] is False
    world.until(lambda: world.client.postgres.get_operation(raw["name"]).done)
    assert "response" in world.client.api_client.do("GET", f"/api/2.0/postgres/{raw['name']}")


def test_what_is_there_is_not_made_again(world, project):
    with pytest.raises(AlreadyExists):
        world.client.postgres.create_project(Project(), project.removeprefix("projects/"))
    database(world, project, "same", "same").wait()
    for identifier in ("same", "other"):
        with pytest.raises(BadRequest, match="already exists"):
            database(world, project, identifier, "same")


def test_a_database_needs_an_owner(world, project):
    branch = f"{project}/branches/production"
    path = f"/api/2.0/postgres/{branch}/databases"

    def make(**spec):
        body = {"spec": {"postgres_database": "owned", **spec}}
        made = world.client.api_client.do("POST", path, query={"database_id": "owned"}, body=body)
        return world.client.postgres.get_operation(made["name"])

    def ended(**spec):
        operation = make(**spec)
        world.until(lambda: world.client.postgres.get_operation(operation.name).done)
        return world.client.postgres.get_operation(operation.name)

    with pytest.raises(InvalidParameterValue, match=r"spec\.role"):
        make()
    with pytest.raises(NotFound, match="role id not found"):
        make(role=f"{branch}/roles/metamcp-owner")
    role = Role(spec=RoleRoleSpec(postgres_role="metamcp_owner"))
    world.client.postgres.create_role(branch, role, role_id="metamcp-owner").wait()
    assert ended(role=f"{branch}/roles/metamcp-owner").error is None


@pytest.mark.parametrize("name", ["Upper", "1x", "a_b", "x" * 64])
def test_ids_have_a_form(world, name):
    with pytest.raises(InvalidParameterValue):
        world.client.postgres.create_project(Project(), name)


def test_database_ids_have_at_least_four_characters(world, project):
    with pytest.raises(InvalidParameterValue):
        database(world, project, "abc", "abc")


def test_what_does_not_exist_is_404(world, project):
    for name in (
        "projects/none",
        f"{project}/branches/none",
        f"{project}/branches/production/databases/none",
    ):
        with pytest.raises(NotFound, match="none"):
            world.client.api_client.do("GET", f"/api/2.0/postgres/{name}")
    with pytest.raises(NotFound):
        world.client.postgres.generate_database_credential(
            "projects/none/branches/production/endpoints/primary"
        )


def test_two_projects_keep_databases_of_one_name_apart(world):
    seen = []
    for _ in range(2):
        name = world.name()
        world.client.postgres.create_project(Project(), name).wait()
        database(world, f"projects/{name}", "twice", "twice").wait()
        app = App(name=name, resources=[AppResource.from_dict(resource(f"projects/{name}", "twice"))])
        world.client.apps.create(app, no_compute=True)
        world.client.apps.start(name)
        world.until(lambda name=name: world.compute(name) == "ACTIVE")
        world.deploy(name, world.upload(f"/Workspace/Shared/{name}", world.web()))
        env = world.get(world.client.apps.get(name), "/env").json()
        seen.append((env["PGDATABASE"], env["PGPORT"]))
    assert [name for name, _ in seen] == ["twice", "twice"]
    assert seen[0][1] != seen[1][1]


def resource(project, identifier):
    branch = f"{project}/branches/production"
    return {
        "name": "database",
        "postgres": {
            "branch": branch,
            "database": f"{branch}/databases/{identifier}",
            "permission": "CAN_CONNECT_AND_CREATE",
        },
    }


def test_a_credential_opens_what_the_resource_grants(world, project):
    database(world, project, "main", f"db_{project[-5:].replace('-', '_')}").wait()
    postgres_name = f"db_{project[-5:].replace('-', '_')}"
    name = world.name()
    made = world.client.apps.create(
        App(name=name, resources=[AppResource.from_dict(resource(project, "main"))]), no_compute=True
    ).response
    client = world.as_app(made)
    endpoint = f"{project}/branches/production/endpoints/primary"
    token = client.postgres.generate_database_credential(endpoint).token
    with connect(world, endpoint, postgres_name, made.service_principal_client_id, token) as connection:
        connection.execute("CREATE SCHEMA own CREATE TABLE t (n int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.t (n int)")
    with pytest.raises(psycopg.OperationalError):
        connect(world, endpoint, "databricks_postgres", made.service_principal_client_id, token)
    # Without the resource, neither a credential nor a connection.
    world.client.apps.create_update(name, "resources", app=App(name=name, resources=None))
    with pytest.raises(PermissionDenied):
        client.postgres.generate_database_credential(endpoint)
    with pytest.raises(psycopg.OperationalError):
        connect(world, endpoint, postgres_name, made.service_principal_client_id, token)


def test_the_superuser_looks_inside(world):
    with pytest.raises(KeyError):
        local.status(world.project)["superuser_uris"]
    uri = local.status(world.project, with_credentials=True)["superuser_uris"]["postgres"]
    with psycopg.connect(uri.reveal()) as connection:
        assert connection.execute(
            "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"
        ).fetchone() == (True,)


def test_deleting_takes_the_data(world, project):
    database(world, project, "gone", "gone_now").wait()
    world.client.postgres.delete_database(f"{project}/branches/production/databases/gone").wait()
    with pytest.raises(NotFound):
        world.client.postgres.get_database(f"{project}/branches/production/databases/gone")
    world.client.postgres.delete_project(project).wait()
    with pytest.raises(NotFound):
        world.client.postgres.get_project(project)


USER = "developer@example.com"
ENDPOINT = "projects/own/branches/production/endpoints/primary"


@pytest.fixture
def short(tmp_path):
    """A workspace whose credentials live a second, and whose Postgres speaks TLS only."""
    made = world_in(tmp_path, token_ttl=1.0, tls=True)
    made.client.postgres.create_project(Project(), "own").wait()
    yield made
    local.down(made.project)


def test_credentials_end_for_new_logins_only_and_tls_can_be_verified(short):
    verified = {"sslmode": "verify-full", "sslrootcert": str(short.project.local / "tls" / "ca.pem")}
    credential = short.client.postgres.generate_database_credential(ENDPOINT)
    with pytest.raises(psycopg.OperationalError):
        connect(short, ENDPOINT, "databricks_postgres", USER, credential.token, sslmode="disable")
    with connect(short, ENDPOINT, "databricks_postgres", USER, credential.token, **verified) as connection:
        time.sleep(1.1)  # the real lifetime of a real credential
        assert connection.execute("SELECT 1").fetchone() == (1,)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(short, ENDPOINT, "databricks_postgres", USER, credential.token, **verified)
    app = App(name="tls", resources=[AppResource.from_dict(resource("projects/own", "databricks-postgres"))])
    short.client.apps.create(app)
    short.until(lambda: short.compute("tls") == "ACTIVE")
    short.deploy("tls", short.upload("/Workspace/Shared/tls", short.web()))
    made = short.client.apps.get("tls")
    env = short.get(made, "/env").json()
    assert {k: v for k, v in env.items() if k.startswith("PG")} == {
        "PGAPPNAME": "tls",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(short.place(ENDPOINT)["port"]),
        "PGDATABASE": "databricks_postgres",
        "PGUSER": made.service_principal_client_id,
        "PGSSLMODE": "require",
    }
    assert env["NODE_EXTRA_CA_CERTS"] == verified["sslrootcert"]


def test_what_a_person_made_first_is_not_the_apps(world, project):
    """The trap of migrating by hand: the app's principal meets 42501."""
    postgres_name = f"first_{project[-3:].replace('-', '_')}"
    database(world, project, "first", postgres_name).wait()
    made = world.client.apps.create(
        App(name=world.name(), resources=[AppResource.from_dict(resource(project, "first"))]), no_compute=True
    ).response
    endpoint = f"{project}/branches/production/endpoints/primary"
    token = world.client.postgres.generate_database_credential(endpoint).token
    with connect(world, endpoint, postgres_name, USER, token) as connection:
        connection.execute("CREATE SCHEMA metamcp_app CREATE TABLE t (n int)")
    token = world.as_app(made).postgres.generate_database_credential(endpoint).token
    with (
        connect(world, endpoint, postgres_name, made.service_principal_client_id, token) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match="permission denied for schema metamcp_app"),
    ):
        connection.execute("SELECT * FROM metamcp_app.t")


def test_a_deleted_project_can_be_taken_back_until_it_is_purged(world):
    """Expected from the SDK's words: soft delete, `show_deleted`, undelete, and `purge`."""
    postgres, name = world.client.postgres, world.name()
    first = InitialEndpointSpec(autoscaling_limit_min_cu=2, autoscaling_limit_max_cu=4, no_suspension=True)
    later = ProjectDefaultEndpointSettings(autoscaling_limit_min_cu=8, autoscaling_limit_max_cu=8)
    wanted = Project(spec=ProjectSpec(default_endpoint_settings=later), initial_endpoint_spec=first)
    postgres.create_project(wanted, name).wait()
    project, endpoint = f"projects/{name}", f"projects/{name}/branches/production/endpoints/primary"
    status = postgres.get_endpoint(endpoint).status
    assert (status.autoscaling_limit_min_cu, status.autoscaling_limit_max_cu) == (2, 4)
    assert status.suspend_timeout_duration is None

    postgres.delete_project(project).wait()
    with pytest.raises(NotFound):
        postgres.get_project(project)
    with pytest.raises(AlreadyExists):
        postgres.create_project(Project(), name)
    assert project not in [p.name for p in postgres.list_projects()]
    (deleted,) = [p for p in postgres.list_projects(show_deleted=True) if p.name == project]
    assert (deleted.purge_time.ToSeconds() - deleted.delete_time.ToSeconds()) == 7 * 86_400
    postgres.undelete_project(project).wait()
    assert postgres.get_endpoint(endpoint).status.autoscaling_limit_max_cu == 4

    postgres.delete_project(project).wait()
    postgres.delete_project(project, purge=True).wait()
    assert project not in [p.name for p in postgres.list_projects(show_deleted=True)]
    postgres.create_project(Project(), name).wait()
