"""What the official command line, Terraform and the platform's descriptions say is accepted or refused, here too."""

from __future__ import annotations

import pytest
import requests
from databricks.sdk.errors import BadRequest, InvalidParameterValue
from databricks.sdk.service.apps import App
from databricks.sdk.service.postgres import (
    Project,
    ProjectCustomTag,
    ProjectSpec,
    Role,
    RoleAttributes,
    RoleRoleSpec,
)

from tests.local.embedded_world import World

# bundle/direct/dresources/app.go of databricks/cli: constant, whatever changes.
MASK = (
    "description,budget_policy_id,usage_policy_id,resources,user_api_scopes,forward_user_access_token,compute_size,"
    "compute_min_instances,compute_max_instances,git_repository,telemetry_export_destinations"
)


def test_the_constant_mask_of_the_official_command_line(world: World) -> None:
    name = world.name()
    world.client.apps.create(App(name=name, user_api_scopes=["sql"]), no_compute=True)
    body = {"update_mask": MASK, "app": {"name": name, "description": "new", "user_api_scopes": ["sql"]}}
    world.client.api_client.do("POST", f"/api/2.0/apps/{name}/update", body=body)
    found = world.client.apps.get(name)
    assert (found.description, found.user_api_scopes) == ("new", ["sql"])


@pytest.mark.parametrize(
    "mask",
    [
        "*",
        "capacity,custom_tags,enable_pg_native_login,enable_readable_secondaries,node_count,stopped,usage_policy_id",
    ],
)
def test_masks_of_instances(world: World, mask: str) -> None:
    name, do = world.name(), world.client.api_client.do
    do("POST", "/api/2.0/database/instances", body={"name": name, "capacity": "CU_1"})
    path = f"/api/2.0/database/instances/{name}"
    world.until(lambda: do("GET", path)["state"] == "AVAILABLE")
    tags = [{"key": "team", "value": "ai"}]
    body = {"name": name, "capacity": "CU_2", "stopped": False, "custom_tags": tags}
    do("PATCH", path, query={"update_mask": mask}, body=body)
    assert (do("GET", path)["capacity"], do("GET", path)["custom_tags"]) == ("CU_2", tags)


def test_every_answer_names_the_workspace(world: World) -> None:
    for path, headers in (("/api/2.0/preview/scim/v2/Me", world.headers), ("/api/2.0/apps", {})):
        answer = requests.get(world.running.url + path, headers=headers, timeout=60)
        assert answer.headers["X-Databricks-Org-Id"].isdecimal()


def test_roles_and_versions(world: World) -> None:
    name, postgres = world.name(), world.client.postgres
    with pytest.raises(InvalidParameterValue, match="pg_version"):
        postgres.create_project(Project(spec=ProjectSpec(pg_version=13)), name)
    postgres.create_project(Project(spec=ProjectSpec(pg_version=17)), name).wait()
    branch = f"projects/{name}/branches/production"
    attributes = RoleAttributes(createdb=True)
    spec = RoleRoleSpec(postgres_role="keeper", attributes=attributes)
    role = postgres.create_role(branch, Role(spec=spec), role_id="keeper").wait()
    assert role.status.attributes == attributes
    with pytest.raises(BadRequest, match="already exists"):
        postgres.create_role(branch, Role(spec=spec), role_id="keeper-again").wait()
    # The owner's role has the database that came with the project.
    with pytest.raises(BadRequest, match="owns"):
        postgres.delete_role(f"{branch}/roles/owner").wait()
    postgres.delete_role(f"{branch}/roles/owner", reassign_owned_to=str(role.name)).wait()
    postgres.delete_project(f"projects/{name}").wait()


def test_permissions_of_nobody_are_refused(world: World) -> None:
    name, do = world.name(), world.client.api_client.do
    world.client.apps.create(App(name=name), no_compute=True)
    path = f"/api/2.0/permissions/apps/{name}"
    for who in ({"user_name": "nobody@example.com"}, {"group_name": "platform"}):
        entry = {**who, "permission_level": "CAN_USE"}
        with pytest.raises(InvalidParameterValue, match=r"Principal: .* does not exist"):
            do("PATCH", path, body={"access_control_list": [entry]})
    do("POST", "/local/people", body={"name": "platform", "group": True})
    do("PATCH", path, body={"access_control_list": [entry]})


def test_tags_are_kept_and_the_wildcard_leaves_them(world: World) -> None:
    """SDK, ProjectSpec.custom_tags: cleared by naming the field, kept by a wildcard without tags."""
    name, do = world.name(), world.client.api_client.do
    tags = [{"key": "team", "value": "ai"}, {"key": "metamcp-deploy", "value": "0a"}]
    spec = ProjectSpec(custom_tags=[ProjectCustomTag(**tag) for tag in tags])
    world.client.postgres.create_project(Project(spec=spec), name).wait()
    path = f"/api/2.0/postgres/projects/{name}"
    for mask, kept in (("*", tags), ("spec.display_name", tags), ("spec.custom_tags", [])):
        do("PATCH", path, query={"update_mask": mask}, body={"spec": {"display_name": "x"}})
        assert do("GET", path)["status"].get("custom_tags", []) == kept
    for wrong in ({"team": "ai"}, [{"value": "ai"}], [tags[0], tags[0]], [{"key": "k", "value": "v" * 256}]):
        body = {"spec": {"custom_tags": wrong}}
        with pytest.raises(InvalidParameterValue):
            do("PATCH", path, query={"update_mask": "spec.custom_tags"}, body=body)
