"""A credential opens the endpoint or instance that it was made for, as each is a host of its own on the platform."""

import psycopg
import pytest
from databricks.sdk.service.apps import App, AppResource
from databricks.sdk.service.database import DatabaseInstance
from databricks.sdk.service.postgres import Project

from metamcp_deploy import local

USER = "developer@example.com"
NAME = "databricks_postgres"


def project(world):
    name = world.name()
    world.client.postgres.create_project(Project(), name).wait()
    return f"projects/{name}/branches/production/endpoints/primary"


def instance(world):
    name = world.name()
    world.client.database.create_database_instance(DatabaseInstance(name=name, capacity="CU_1"))
    world.until(lambda: world.client.database.get_database_instance(name).state.value == "AVAILABLE")
    return f"instances/{name}"


def token(world, place):
    if place.startswith("projects/"):
        return world.client.postgres.generate_database_credential(place).token
    names = [place.removeprefix("instances/")]
    return world.client.database.generate_database_credential(instance_names=names, request_id="1").token


def oid(world, place, password, database=NAME):
    at = world.place(place)
    with psycopg.connect(**at, dbname=database, user=USER, password=password) as opened:
        found = opened.execute("SELECT oid FROM pg_database WHERE datname = current_database()")
        return found.fetchone()[0]


def test_a_credential_opens_no_other_endpoint_or_instance(world):
    places = [project(world), project(world), instance(world), instance(world)]
    tokens = {place: token(world, place) for place in places}
    assert len({oid(world, place, tokens[place]) for place in places}) == len(places)
    for mine in places:
        for other in places:
            if mine != other:
                with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                    oid(world, other, tokens[mine])
    superusers = local.status(world.project)["postgres"]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(
            host=superusers["host"],
            port=superusers["port"],
            dbname=NAME,
            user=USER,
            password=tokens[places[0]],
        )


def test_a_place_has_no_databases_of_another(world):
    mine, other = project(world), instance(world)
    physical = [n for n in local.status(world.project)["postgres"]["databases"] if n.startswith(NAME)]
    for place in (mine, other):
        own = token(world, place)
        for name in {*physical, "nowhere"} - {NAME}:
            with pytest.raises(psycopg.OperationalError, match=f'database "{name}" does not exist'):
                oid(world, place, own, name)


def test_a_database_made_with_sql_belongs_to_the_instance_that_it_is_attached_to(world):
    mine, other = instance(world), instance(world)
    uri = local.status(world.project, with_credentials=True)["superuser_uris"]["postgres"]
    with psycopg.connect(uri.reveal(), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE one_instances_own OWNER "{USER}"')
    attached = {"database_name": "one_instances_own", "permission": "CAN_CONNECT_AND_CREATE"}
    of_mine = {"name": "database", "database": {"instance_name": mine.removeprefix("instances/"), **attached}}
    app = App(name=world.name(), resources=[AppResource.from_dict(of_mine)])
    world.client.apps.create(app, no_compute=True)
    assert oid(world, mine, token(world, mine), "one_instances_own")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        oid(world, other, token(world, other), "one_instances_own")


def test_a_door_closes_with_its_endpoint(world):
    place = project(world)
    at = world.place(place)
    world.client.postgres.delete_project(place.partition("/branches/")[0]).wait()
    world.until(lambda: place not in local.status(world.project)["postgres"]["endpoints"])
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(**at, dbname=NAME, user=USER, password="any")


def test_nobody_connects_to_a_disabled_endpoint_and_its_port_stays(world):
    place = project(world)
    at, password = world.place(place), token(world, place)
    assert oid(world, place, password)

    def disable(disabled):
        spec = {"spec": {"disabled": disabled}}
        mask = {"update_mask": "spec.disabled"}
        world.client.api_client.do("PATCH", f"/api/2.0/postgres/{place}", query=mask, body=spec)
        world.until(lambda: bool(world.client.postgres.get_endpoint(place).status.disabled) is disabled)

    disable(True)
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(**at, dbname=NAME, user=USER, password=password)
    disable(False)
    assert world.place(place) == at
    assert oid(world, place, password)
