"""Lakebase provisioned through the real client, and what its credentials open in the real Postgres."""

import psycopg
import pytest
from databricks.sdk.errors import (
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
)
from databricks.sdk.service.apps import App, AppResource
from databricks.sdk.service.database import DatabaseInstance

from metamcp_deploy import local


def connect(world, instance, name, user, password):
    return psycopg.connect(dbname=name, user=user, password=password, **world.place(f"instances/{instance}"))


@pytest.fixture
def instance(world):
    name = world.name()
    world.client.database.create_database_instance(DatabaseInstance(name=name, capacity="CU_1"))
    world.until(lambda: state(world, name) == "AVAILABLE")
    return name


def state(world, name):
    return world.client.database.get_database_instance(name).state.value


def resource(instance, database="databricks_postgres"):
    granted = {"permission": "CAN_CONNECT_AND_CREATE"}
    return AppResource.from_dict(
        {"name": "database", "database": {"instance_name": instance, "database_name": database, **granted}}
    )


def test_an_instance_starts_and_can_be_resized(world):
    name, database = world.name(), world.client.database
    made = database.create_database_instance(DatabaseInstance(name=name, capacity="CU_2")).response
    assert (made.state.value, made.capacity, made.read_write_dns) == ("STARTING", "CU_2", None)
    with pytest.raises(ResourceAlreadyExists):
        database.create_database_instance(DatabaseInstance(name=name))
    world.until(lambda: state(world, name) == "AVAILABLE")
    assert name in [i.name for i in database.list_database_instances()]
    database.update_database_instance(name, DatabaseInstance(name=name, capacity="CU_4"), "capacity")
    assert state(world, name) == "UPDATING"
    world.until(lambda: state(world, name) == "AVAILABLE")
    assert database.get_database_instance(name).capacity == "CU_4"
    with pytest.raises(InvalidParameterValue):
        database.update_database_instance(name, DatabaseInstance(name=name, capacity="CU_3"), "capacity")
    database.delete_database_instance(name, purge=True)
    with pytest.raises(NotFound):
        database.get_database_instance(name)


def test_a_credential_opens_what_the_resource_grants(world, instance):
    made = world.serve(resources=[resource(instance)])
    env = world.get(made, "/env").json()
    assert env["PGUSER"] == made.service_principal_client_id
    assert "PGPASSWORD" not in env
    client = world.as_app(made)
    given = client.database.generate_database_credential(instance_names=[instance], request_id="1")
    assert given.expiration_time
    with connect(world, instance, env["PGDATABASE"], env["PGUSER"], given.token) as connection:
        connection.execute("CREATE SCHEMA own CREATE TABLE t (n int)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("CREATE TABLE public.t (n int)")
    world.client.apps.create_update(made.name, "resources", app=App(name=made.name, resources=None))
    with pytest.raises(PermissionDenied):
        client.database.generate_database_credential(instance_names=[instance], request_id="2")
    with pytest.raises(psycopg.OperationalError):
        connect(world, instance, env["PGDATABASE"], env["PGUSER"], given.token)


def test_a_resource_names_what_is_there(world, instance):
    for wrong in (resource("none"), resource(instance, "none_of_it")):
        with pytest.raises(NotFound, match="none"):
            world.client.apps.create(App(name=world.name(), resources=[wrong]), no_compute=True)
    uri = local.status(world.project, with_credentials=True)["superuser_uris"]["postgres"]
    with psycopg.connect(uri.reveal(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE made_with_sql")
    made = world.serve(resources=[resource(instance, "made_with_sql")])
    assert world.get(made, "/env").json()["PGDATABASE"] == "made_with_sql"


def test_a_role_can_have_a_password_of_its_own(world, instance):
    made = world.serve(resources=[resource(instance)])
    env = world.get(made, "/env").json()
    uri = local.status(world.project, with_credentials=True)["superuser_uris"]["postgres"]
    with psycopg.connect(uri.reveal(), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE \"{env['PGUSER']}\" PASSWORD 'native-password'")
    with connect(world, instance, env["PGDATABASE"], env["PGUSER"], "native-password") as connection:
        assert connection.execute("SELECT current_user").fetchone() == (env["PGUSER"],)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(world, instance, env["PGDATABASE"], env["PGUSER"], "another")
